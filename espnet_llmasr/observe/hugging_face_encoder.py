"""A speech encoder of Hugging Face: called by the names that it has for its inputs, and the frames that are valid."""

import inspect
from contextlib import contextmanager
from typing import Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.observe.extractor import Extractor, sound
from espnet_llmasr.observe.frames import Frames

MASKS = ("attention_mask", "input_features_mask", "padding_mask")  # 1 for what is to be heard
ASKED = ("input_features_mask", "audio_mel_mask", "feature_lens")  # inputs that the extractor must make a mask for
MIN_S = 0.1
TRIALS = (1.0307, 2.0614)  # seconds of sound for the encoder; odd, since some take round numbers only
GROWTH = (1.5, 2.5)  # of the frames, when the sound becomes twice as long


class NoFrames(ValueError):
    """A part of a model runs, but gives back no frames."""


class HuggingFaceEncoder:
    """A speech encoder of Hugging Face, with the feature extractor that it was trained with.

    Frames that the extractor fills up at the end, and masks, are cut off before the encoder, which so hears the
    utterance alone. (The adapters of SeamlessM4T and w2v-BERT and NemotronH-Omni would hear one such frame; Voxtral
    Realtime the silence that its processor adds.) A waveform filled up to whole frames stays, as its encoder needs it,
    and so do the 30 s to which Whisper's extractor fills up any audio: there the frames of the audio itself are valid,
    the last one perhaps in part, and of pooled ones those that hold only valid ones. Encoders of Whisper's features
    hear the silence that follows, as Whisper does; Audio Flamingo 3 and Qwen-Omni mask it themselves, for Qwen2-Audio
    it is masked here, as the whole model does.

    Attributes:
        rate: samples a second that it hears.

    Raises:
        Exception: of any kind, if the extractor or the encoder cannot take sound, or if twice the sound does not make
            twice the frames.
    """

    def __init__(self, encoder: nn.Module, extractor, options: Dict[str, object], device: str):
        """options: with which the extractor is called."""
        self.encoder, self.device = encoder, device
        self._takes = list(inspect.signature(encoder.forward).parameters)
        masked = {} if set(self._takes).isdisjoint(ASKED) else {"return_attention_mask": True}
        self._extractor = Extractor(extractor, {**options, **masked})
        self.rate = self._extractor.rate
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
                f"this encoder refuses {seconds:.3f} s of audio ({first_line(error)}): leave it out if short"
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
        layers = self._layers(inputs)
        first = layers[0].size(-2)
        return [self._valid(layer, self._length(layer.size(-2), first, len(samples)), filled) for layer in layers]

    def _length(self, frames: int, first: int, samples: int) -> int:
        """How many of the frames of a layer are of the audio itself, where the first layer has `first` frames."""
        most, unit = self._extractor.most, self._extractor.unit
        if most is None:
            filled = -(-samples // unit) * unit
            return -(-samples * frames // filled)
        return -(-samples * first // most) * frames // first

    def _inputs(self, samples: Tensor) -> Tuple[Dict[str, Tensor], bool]:
        """The encoder's inputs, by the names that it has for them, and whether filled-up frames are still among them.

        Those are cut off where the frames are the second axis. Raises ValueError as the extractor.
        """
        values, mask, lengths = self._extractor(samples)
        whole = mask is None or self._extractor.unit > 1 or bool(mask.all())
        filled = self._extractor.most is None and not whole
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
        """What keeps Qwen2-Audio from hearing the silence that follows, (1, 1, L, L), is added to the scores."""
        if self.encoder.config.model_type != "qwen2_audio_encoder":
            return None
        length = self.encoder.config.max_source_positions
        mask = torch.zeros(1, 1, length, length)
        mask[..., -(-samples * length // self._extractor.most) :] = torch.finfo(mask.dtype).min
        return mask

    def _layers(self, inputs: Dict[str, Tensor]) -> List[Tensor]:
        """Outputs of all layers.

        The last layer is last_hidden_state, because some models apply their final layer norm only there. Where it has
        another shape than the last of the hidden states, it is one layer more. Of an encoder that does not hand over
        its hidden states, they are the outputs of its blocks. Class tokens, which come first, are left out.

        Raises:
            NoFrames: there are none.
        """
        with _outputs_of(self._blocks) as blocks:
            found = self.encoder(**inputs, output_hidden_states=True)
        last = found if isinstance(found, Tensor) else getattr(found, "last_hidden_state", None)
        if last is None:
            raise NoFrames(f"{type(found).__name__} holds no last_hidden_state")
        hidden = None if found is last else found.get("hidden_states")
        inner = hidden[1:] if hidden else blocks
        inner = [layer[:, self._tokens :] for layer in inner] if self._tokens else list(inner)
        if inner and inner[-1].shape == last.shape:
            inner.pop()
        return [*inner, last]

    @staticmethod
    def _valid(layer: Tensor, length: int, filled: bool) -> Tensor:
        """The frames (L, D) of a layer that are of the audio itself.

        A layer (L, D) without a batch axis, which some encoders return, has no others.

        Raises:
            ValueError: some are not, and nothing tells which.
        """
        if layer.dim() == 2:
            return layer
        if filled:
            raise ValueError("the feature extractor fills up the last frames, and the encoder does not tell which")
        if len(layer) > 1 or layer.dim() != 3:
            raise ValueError(f"the encoder makes {tuple(layer.shape)} of it, not one utterance: leave longer ones out")
        return layer[0, :length]


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


def first_line(error: Exception) -> str:
    """The first line of its message that is not empty."""
    return next(filter(None, str(error).splitlines()), type(error).__name__)
