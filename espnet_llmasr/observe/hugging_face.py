"""Any speech encoder in a Hugging Face directory: the outermost part of its model that makes frames of sound.

What it is made for is not looked up by name. A part of the model is an encoder of speech if it takes what the feature
extractor makes, and nothing of a decoder, and gives back frames that grow with the sound.
"""

import inspect
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedModel

from espnet_llmasr.observe.frames import Frames
from espnet_llmasr.observe.pretrained import check_weights, load_model

MASKS = ("attention_mask", "input_features_mask")  # of the features; some processors give it the second name
MIN_S = 0.1
GROWTH = (1.5, 2.5)  # of the frames, when the sound becomes twice as long
REFUSALS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)  # of a model, whatever it is


def open_hugging_face(directory: Path, device: str = "cpu"):
    """The speech encoder in a directory that `save_pretrained` wrote (model and feature extractor), alone or in a model.

    Raises:
        ValueError: it holds no feature extractor of audio, no part that is an encoder for what that makes, or weights
            that are broken or do not hold all of the encoder.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(directory)
        model, missing = load_model(directory, torch.float32, _class_of(directory))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{directory} holds no speech encoder that can be opened ({error}): "
            "expected config.json, preprocessor_config.json and weights, as save_pretrained writes them"
        ) from error
    name = extractor.model_input_names[0]
    reason = f"none takes {name} alone"
    for path, part in model.eval().named_modules():
        if _takes_only(part, name):
            try:
                encoder = HuggingFaceEncoder(part.to(device), extractor, device)
                encoder.check()
            except REFUSALS as error:
                reason = f"{type(part).__name__}: {_first_line(error)}"
            else:
                check_weights(directory, [key for key in missing if key.startswith(f"{path}." if path else "")])
                return encoder
    raise ValueError(
        f"{directory}: no part of {type(model).__name__} is a speech encoder for what preprocessor_config.json makes "
        f"({reason}): give a model of speech, with the feature extractor that it was trained with"
    )


def _class_of(directory: Path):
    """The class that config.json names, because AutoModel leaves parts out (SpeechT5's convolutions on the waveform)."""
    names = AutoConfig.from_pretrained(directory).architectures or [""]
    return getattr(transformers, names[0], AutoModel)


def _takes_only(part: nn.Module, name: str) -> bool:
    """Whether a part of a model takes `name` first, and nothing that a decoder or a loss would want."""
    if not isinstance(part, PreTrainedModel):
        return False
    first, *others = inspect.signature(part.forward).parameters
    return first == name and not any(other == "labels" or other.startswith("decoder") for other in others)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class HuggingFaceEncoder:
    """A speech encoder of Hugging Face, with the feature extractor that it was trained with.

    Frames that the extractor fills up at the end, and masks, are cut off before the encoder, which so hears the
    utterance alone. Whisper's extractor fills up any audio to 30 s (`n_samples`), and encoders of its features need
    that: there the frames of the audio itself are valid, in each layer in proportion.
    """

    def __init__(self, encoder: nn.Module, extractor, device: str):
        self.encoder, self.extractor, self.device = encoder, extractor, device
        self.rate, self.most = extractor.sampling_rate, None
        self._takes = set(inspect.signature(encoder.forward).parameters)
        self._asked = {"return_attention_mask": True} if MASKS[1] in self._takes else {}
        if self._made(_sound(self.rate))[0].shape == self._made(_sound(2 * self.rate))[0].shape:
            self.most = getattr(extractor, "n_samples", None)

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio longer than the encoder's input, of less than MIN_S, or that it refuses."""
        seconds = len(samples) / self.rate
        if len(samples) < MIN_S * self.rate:  # extractors standardise over time, which needs some frames
            raise ValueError(
                f"{len(samples)} samples are less than the {MIN_S:g} s that this encoder needs: leave the utterance out"
            )
        if self.most is not None and len(samples) > self.most:
            raise ValueError(
                f"{seconds:.1f} s of audio, this encoder takes {self.most / self.rate:g} s: "
                "leave longer utterances out (--max_duration of the data stage)"
            )
        try:
            return Frames(self._frames(samples))
        except RuntimeError as error:
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({error}): leave it out if short"
            ) from error

    @torch.no_grad()
    def check(self) -> None:
        """Raises one of REFUSALS if it cannot take a second of sound, or if two do not make twice the frames."""
        one = self._frames(_sound(self.rate))
        if self.most is None:
            for first, second in zip(one, self._frames(_sound(2 * self.rate))):
                if not GROWTH[0] < len(second) / len(first) < GROWTH[1]:
                    raise ValueError(f"{len(first)} frames of one second of sound, {len(second)} of two")

    def _frames(self, samples: Tensor) -> List[Tensor]:
        """The valid frames (L, D) of every layer."""
        values, masks = self._inputs(samples)
        found = self.encoder(values, **masks, output_hidden_states=True)
        return [self._valid(layer, len(samples)) for layer in _layers(found)]

    def _made(self, samples: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """What the extractor makes of the samples (N,): features or a waveform, and its mask if it makes one."""
        made = self.extractor(samples.numpy(), sampling_rate=self.rate, return_tensors="pt", **self._asked)
        masks = [made[name] for name in MASKS if name in made]
        return made[self.extractor.model_input_names[0]], masks[0] if masks else None

    def _inputs(self, samples: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
        """The encoder's input and masks, without frames that were filled up, if the frames are the second axis."""
        values, mask = self._made(samples)
        if mask is None:
            return values.to(self.device), {}
        if values.size(1) == mask.size(1) != values.size(-1):
            values, mask = values[:, : int(mask.sum())], mask[:, : int(mask.sum())]
        return values.to(self.device), {name: mask.to(self.device) for name in MASKS if name in self._takes}

    def _valid(self, layer: Tensor, samples: int) -> Tensor:
        """The frames (L, D) of a layer that are of the audio itself, the last one perhaps in part.

        A layer (L, D) without a batch axis, which some encoders return, has no others.
        """
        if layer.dim() == 2:
            return layer
        return layer[0] if self.most is None else layer[0, : -(-samples * layer.size(1) // self.most)]


def _sound(samples: int) -> Tensor:
    """Samples (N,) for a trial."""
    return torch.linspace(-1, 1, samples)


def _layers(found) -> List[Tensor]:
    """Outputs of all layers; hidden_states[0] is the input of the first one.

    The last layer is last_hidden_state, because some models apply their final layer norm only there. Where it has
    another number of frames than the last of the hidden states, it is one layer more.
    """
    last, inner = found.last_hidden_state, list(found.get("hidden_states") or ())
    if inner and inner[-1].shape[:-1] == last.shape[:-1]:
        inner.pop()
    return [*inner[1:], last]
