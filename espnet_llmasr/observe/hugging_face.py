"""A speech encoder in a Hugging Face directory: the outermost part of its model that makes frames of sound.

It is not looked up by name, but tried: a part of the model is the encoder if it takes what the feature extractor
makes, and nothing of a decoder, and gives back frames that grow with the sound.
"""

import inspect
from pathlib import Path
from typing import Dict, List, Tuple

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedModel

from espnet_llmasr.observe.frames import Frames
from espnet_llmasr.observe.pretrained import check_weights, load_model

RENAMED = {"attention_mask": "input_features_mask"}  # a mask that some processors hand over under another name
MIN_S = 0.1
TRIALS = (1.0307, 2.0614)  # seconds of sound for the encoder; odd, since some take round numbers only
GROWTH = (1.5, 2.5)  # of the frames, when the sound becomes twice as long
RULER = (1.0307, 20.614)  # seconds for the extractor, whose rate they give
CUT_S = 0.03  # by so much, and a frame, may what it makes differ from the sound


def open_hugging_face(directory: Path, device: str = "cpu") -> "HuggingFaceEncoder":
    """The speech encoder in a directory that `save_pretrained` wrote (model and feature extractor), alone or as a part.

    Raises:
        ValueError: it holds no feature extractor of audio, no part that is an encoder for what that makes, or weights
            that are broken or do not hold all of the encoder.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(directory)
        model, missing = load_model(directory, torch.float32, _class_of(directory))
    except Exception as error:  # what a directory from elsewhere may end in is not known
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
            except Exception as error:  # nor in what a part of it does
                reason = f"{type(part).__name__}: {error}"
            else:
                check_weights(directory, [key for key in missing if key.startswith(f"{path}." if path else "")])
                return encoder
    raise ValueError(
        f"{directory}: no part of {type(model).__name__} makes frames of what preprocessor_config.json makes of sound "
        f"({reason}): it is of another model, or this one is no speech encoder, or takes more than that"
    )


def _class_of(directory: Path) -> type:
    """The class that config.json names, because AutoModel leaves parts out (SpeechT5's convolutions on waveforms)."""
    names = AutoConfig.from_pretrained(directory).architectures or [""]
    return getattr(transformers, names[0], AutoModel)


def _takes_only(part: nn.Module, name: str) -> bool:
    """Whether a part of a model takes `name` first, and nothing that a decoder or a loss would want."""
    if not isinstance(part, PreTrainedModel):
        return False
    first, *others = inspect.signature(part.forward).parameters
    return first == name and not any(other == "labels" or other.startswith("decoder") for other in others)


class HuggingFaceEncoder:
    """A speech encoder of Hugging Face, with the feature extractor that it was trained with.

    Frames that the extractor fills up at the end, and masks, are cut off before the encoder, which so hears the
    utterance alone. Whisper's extractor fills up any audio to 30 s (`n_samples`), and encoders of its features need
    that: there the frames of the audio itself are valid, in each layer in proportion. Such an encoder hears the silence
    that follows, as Whisper does; Audio Flamingo 3 and Qwen3-ASR mask it themselves. (The whole Qwen2-Audio masks it
    from outside, which is not repeated here.)

    Attributes:
        rate: samples a second that it hears.
        most: samples that it takes at most, where the extractor fills up to that; else None.

    Raises:
        Exception: of any kind, if the extractor or the encoder cannot take sound, or if twice the sound does not make
            twice the frames.
    """

    def __init__(self, encoder: nn.Module, extractor, device: str):
        self.encoder, self.extractor, self.device = encoder, extractor, device
        self.rate, self.most = int(extractor.sampling_rate), None
        self._takes = set(inspect.signature(encoder.forward).parameters)
        self._unit = round(self.rate * getattr(encoder.config, "frame_ms", 0) / 1000) or 1  # samples, whole ones only
        encoder.config.tie_last_hidden_states = False  # else the last block's output is replaced by the encoder's
        one, two = (self._made(self._sound(seconds)) for seconds in RULER)
        self._sizes = _size(*one), _size(*two)
        grown = [axis for axis, (first, second) in enumerate(zip(one[0].shape, two[0].shape)) if first != second]
        self._time = grown[0] if grown else None
        if self._time is None:
            if not hasattr(extractor, "n_samples"):
                raise ValueError("the feature extractor makes as much of one second of sound as of twenty")
            self.most = extractor.n_samples
        self._check()

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
    def _check(self) -> None:
        """Raises what the encoder raises, and ValueError if twice the sound does not make twice the frames."""
        one = self._frames(self._sound(TRIALS[0]))
        if self.most is None:
            for first, second in zip(one, self._frames(self._sound(TRIALS[1]))):
                if not GROWTH[0] < len(second) / len(first) < GROWTH[1]:
                    raise ValueError(f"{len(first)} frames of one second of sound, {len(second)} of two")

    def _sound(self, seconds: float) -> Tensor:
        """Samples (N,) for a trial."""
        return torch.linspace(-1, 1, round(seconds * self.rate))

    def _frames(self, samples: Tensor) -> List[Tensor]:
        """The valid frames (L, D) of every layer."""
        values, masks, filled = self._inputs(samples[: len(samples) - len(samples) % self._unit])
        found = self.encoder(values, **masks, output_hidden_states=True)
        return [self._valid(layer, len(samples), filled) for layer in _layers(found)]

    def _made(self, samples: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
        """What the extractor makes of the samples (N,): features or a waveform, and its masks if it makes any."""
        asked = {"return_attention_mask": True} if self._takes & set(RENAMED.values()) else {}
        made = self.extractor([samples.numpy()], sampling_rate=self.rate, return_tensors="pt", **asked)
        masks = {name: values for name, values in made.items() if "mask" in name}
        return made[self.extractor.model_input_names[0]], masks

    def _inputs(self, samples: Tensor) -> Tuple[Tensor, Dict[str, Tensor], bool]:
        """The encoder's input, its masks, and whether frames that were filled up are still among them.

        They are cut off where the frames are the second axis. Raises ValueError as `_check_heard`.
        """
        values, masks = self._made(samples)
        if masks or self.most is None:
            self._check_heard(len(samples) / self.rate, values, masks)
        mask = next(iter(masks.values()), torch.ones(1))
        filled = self.most is None and not bool(mask.all())
        if filled and self._time == 1 and mask.size(1) == values.size(1):
            length, filled = int(mask.sum()), False
            values, masks = values[:, :length], {name: mask[:, :length] for name, mask in masks.items()}
        kept = self._takes if self.most is None else set()  # encoders of Whisper's features use no attention_mask
        named = {name if name in kept else RENAMED.get(name, name): mask for name, mask in masks.items()}
        return values.to(self.device), {k: v.to(self.device) for k, v in named.items() if k in self._takes}, filled

    def _check_heard(self, seconds: float, values: Tensor, masks: Dict[str, Tensor]) -> None:
        """Raises ValueError if the extractor cut the sound, or filled it up and does not tell."""
        one, two = self._sizes
        step = (RULER[1] - RULER[0]) / (two - one)
        heard = RULER[0] + step * (_size(values, masks) - one)
        if len(values) > 1 or abs(heard - seconds) > CUT_S + step:
            pieces = f" in {len(values)} pieces" if len(values) > 1 else ""
            raise ValueError(
                f"the feature extractor makes {heard:.2f} s of {seconds:.2f} s of audio{pieces}: "
                "leave longer or shorter ones out"
            )

    def _valid(self, layer: Tensor, samples: int, filled: bool) -> Tensor:
        """The frames (L, D) of a layer that are of the audio itself, the last one perhaps in part.

        A layer (L, D) without a batch axis, which some encoders return, has no others.

        Raises:
            ValueError: some are not, and nothing tells which.
        """
        if layer.dim() == 2:
            return layer
        if filled:
            raise ValueError("the feature extractor fills up the last frames, and the encoder does not tell which")
        return layer[0] if self.most is None else layer[0, : -(-samples * layer.size(1) // self.most)]


def _size(values: Tensor, masks: Dict[str, Tensor]) -> int:
    """How much an extractor made of a sound: grows with it at a constant rate."""
    return int(next(iter(masks.values())).sum()) if masks else values.numel()


def _layers(found) -> List[Tensor]:
    """Outputs of all layers; hidden_states[0] is the input of the first one.

    The last layer is last_hidden_state, because some models apply their final layer norm only there. Where it has
    another number of frames than the last of the hidden states, it is one layer more.
    """
    last, inner = found.last_hidden_state, list(found.get("hidden_states") or ())
    if inner and inner[-1].shape[:-1] == last.shape[:-1]:
        inner.pop()
    return [*inner[1:], last]
