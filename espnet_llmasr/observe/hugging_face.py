"""A speech encoder in a Hugging Face directory: the outermost part of its model that makes frames of sound.

It is not looked up by name, but tried: a part of the model is the encoder if it takes what the feature extractor
makes, and nothing of a decoder, and gives back frames that grow with the sound.
"""

import inspect
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedModel

from espnet_llmasr.observe.extractor import Extractor, sound
from espnet_llmasr.observe.frames import Frames
from espnet_llmasr.observe.pretrained import check_weights, load_model

SOUND = ("audio_mel", "hidden_states")  # other names of an encoder's first input
MASKS = ("attention_mask", "input_features_mask", "padding_mask")  # 1 for what is to be heard
ASKED = ("input_features_mask", "audio_mel_mask", "feature_lens")  # inputs that the extractor must make a mask for
MIN_S = 0.1
TRIALS = (1.0307, 2.0614)  # seconds of sound for the encoder; odd, since some take round numbers only
GROWTH = (1.5, 2.5)  # of the frames, when the sound becomes twice as long


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
            f"{directory} holds no speech encoder that can be opened ({_line(error)}): "
            "expected config.json, preprocessor_config.json and weights, as save_pretrained writes them"
        ) from error
    name = extractor.model_input_names[0]
    reasons = []
    for path, part in model.eval().named_modules():
        if _takes_only(part, name):
            try:
                encoder = HuggingFaceEncoder(part.to(device), extractor, device)
            except Exception as error:  # nor in what a part of it does
                reasons.append(f"{type(part).__name__}: {_line(error)}")
            else:
                check_weights(directory, [key for key in missing if key.startswith(f"{path}." if path else "")])
                return encoder
    raise ValueError(
        f"{directory}: no part of {type(model).__name__} makes frames of what preprocessor_config.json makes of sound "
        f"({[*reasons, f'none takes {name} alone'][0]}): it is of another model, or this one is no speech encoder, or takes more than that"
    )


def _class_of(directory: Path) -> type:
    """The class that config.json names: AutoModel leaves parts out (SpeechT5's convolutions) or adds a decoder."""
    config = AutoConfig.from_pretrained(directory)
    name = (config.architectures or [""])[0]
    models = import_module(type(config).__module__.replace(".configuration_", ".modeling_"))
    return getattr(models, name, getattr(transformers, name, AutoModel))


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _takes_only(part: nn.Module, name: str) -> bool:
    """Whether a part of a model takes `name`, or sound by another name, and nothing for a decoder or a loss."""
    if not isinstance(part, PreTrainedModel):
        return False
    first, *others = inspect.signature(part.forward).parameters
    return first in (name, *SOUND) and not any(other == "labels" or other.startswith("decoder") for other in others)


class HuggingFaceEncoder:
    """A speech encoder of Hugging Face, with the feature extractor that it was trained with.

    Frames that the extractor fills up at the end, and masks, are cut off before the encoder, which so hears the
    utterance alone. Whisper's extractor fills up any audio to 30 s, and encoders of its features need that: there the
    frames of the audio itself are valid, in each layer in proportion. Such an encoder hears the silence that follows,
    as Whisper does; Audio Flamingo 3 and Qwen3-ASR mask it themselves, for Qwen2-Audio it is masked here, as the whole
    model does.

    Attributes:
        rate: samples a second that it hears.

    Raises:
        Exception: of any kind, if the extractor or the encoder cannot take sound, or if twice the sound does not make
            twice the frames.
    """

    def __init__(self, encoder: nn.Module, extractor, device: str):
        self.encoder, self.device = encoder, device
        self._takes = list(inspect.signature(encoder.forward).parameters)
        self._extractor = Extractor(extractor, masked=not set(self._takes).isdisjoint(ASKED))
        self.rate = self._extractor.rate
        self._unit = round(self.rate * getattr(encoder.config, "frame_ms", 0) / 1000) or self._extractor.unit
        self._blocks = _blocks_of(encoder)
        self._tokens = sum(name.endswith("class_embedding") for name, _ in encoder.named_parameters())
        encoder.config.tie_last_hidden_states = False  # else the last block's output is replaced by the encoder's
        self._check()

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio longer than the encoder's input, of less than MIN_S, or that it refuses."""
        seconds, most = len(samples) / self.rate, self._extractor.most
        if len(samples) < MIN_S * self.rate:  # extractors standardise over time, which needs some frames
            raise ValueError(
                f"{len(samples)} samples are less than the {MIN_S:g} s that this encoder needs: leave the utterance out"
            )
        if most is not None and len(samples) > most:
            raise ValueError(
                f"{seconds:.1f} s of audio, this encoder takes {most / self.rate:g} s: "
                "leave longer utterances out (--max_duration of the data stage)"
            )
        try:
            return Frames(self._frames(samples))
        except RuntimeError as error:
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({_line(error)}): leave it out if short"
            ) from error

    @torch.no_grad()
    def _check(self) -> None:
        """Raises what the encoder raises, and ValueError if twice the sound does not make twice the frames."""
        one, two = (self._frames(sound(seconds, self.rate)) for seconds in TRIALS)
        if self._extractor.most is None:
            for first, second in zip(one, two):
                if not GROWTH[0] < len(second) / len(first) < GROWTH[1]:
                    raise ValueError(f"{len(first)} frames of one second of sound, {len(second)} of two")

    def _frames(self, samples: Tensor) -> List[Tensor]:
        """The valid frames (L, D) of every layer."""
        inputs, filled = self._inputs(samples)
        return [self._valid(layer, len(samples), filled) for layer in self._layers(inputs)]

    def _inputs(self, samples: Tensor) -> Tuple[Dict[str, Tensor], bool]:
        """The encoder's inputs, by the names that it has for them, and whether filled-up frames are still among them.

        Those are cut off where the frames are the second axis. Raises ValueError as the extractor.
        """
        values, mask, lengths = self._extractor(samples[: len(samples) - len(samples) % self._unit])
        filled = self._extractor.most is None and mask is not None and not bool(mask.all())
        if filled and self._extractor.time == 1 and mask.size(1) == values.size(1):
            length, filled = int(mask.sum()), False
            values, mask = values[:, :length], mask[:, :length]
        inputs = {"chunk_sample_lengths": lengths, "mask": None}
        if mask is not None:
            inputs.update(dict.fromkeys(MASKS, mask), audio_mel_mask=~mask.bool(), feature_lens=mask.sum(1))
        if self._extractor.most is not None:
            inputs["attention_mask"] = self._attention_mask(len(samples))
        if "feature_lens" in self._takes:  # utterances without an axis, one after the other
            values = values[0][:, mask[0].bool()]
        named = {self._takes[0]: values, **{name: inputs[name] for name in self._takes[1:] if name in inputs}}
        return {name: value if value is None else value.to(self.device) for name, value in named.items()}, filled

    def _attention_mask(self, samples: int) -> Optional[Tensor]:
        """What keeps an encoder of Whisper's features from hearing the silence that follows, (1, 1, L, L) for scores."""
        if self.encoder.config.model_type != "qwen2_audio_encoder":
            return None
        length = self.encoder.config.max_source_positions
        mask = torch.zeros(1, 1, length, length)
        mask[..., -(-samples * length // self._extractor.most) :] = torch.finfo(mask.dtype).min
        return mask

    def _layers(self, inputs: Dict[str, Tensor]) -> List[Tensor]:
        """Outputs of all layers.

        The last layer is last_hidden_state, because some models apply their final layer norm only there. Where it has
        another number of frames than the last of the hidden states, it is one layer more. Of an encoder that does not
        hand over its hidden states, they are the outputs of its blocks. Class tokens, which come first, are left out.
        """
        with _outputs_of(self._blocks) as blocks:
            found = self.encoder(**inputs, output_hidden_states=True)
        last = found if isinstance(found, Tensor) else found.last_hidden_state
        hidden = None if found is last else found.get("hidden_states")
        inner = hidden[1:] if hidden else blocks
        inner = [layer[:, self._tokens :] for layer in inner] if self._tokens else list(inner)
        if inner and inner[-1].shape[:-1] == last.shape[:-1]:
            inner.pop()
        return [*inner, last]

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
        if len(layer) > 1 or layer.dim() != 3:
            raise ValueError(f"the encoder makes {tuple(layer.shape)} of it, not frames of one utterance")
        most = self._extractor.most
        return layer[0] if most is None else layer[0, : -(-samples * layer.size(1) // most)]


def _blocks_of(encoder: nn.Module) -> List[nn.Module]:
    """Its blocks, if they cannot be asked for their outputs: the list of modules with the most parameters."""
    lists = (part for part in encoder.modules() if isinstance(part, nn.ModuleList))
    return list(max(lists, key=lambda blocks: sum(weight.numel() for weight in blocks.parameters()), default=()))


@contextmanager
def _outputs_of(blocks: List[nn.Module]) -> Iterator[List[Tensor]]:
    """Collects what they return when they are called, of tuples the first."""
    outputs: List[Tensor] = []

    def collect(block, inputs, output):
        outputs.append(output[0] if isinstance(output, tuple) else output)

    hooks = [block.register_forward_hook(collect) for block in blocks]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
