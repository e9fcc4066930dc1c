"""A Hugging Face speech encoder: its inputs by name, and the valid frames of its layers."""

import inspect
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_llmasr.asr.modules import outputs_of
from espnet_llmasr.observe.extractor import Extractor, sound
from espnet_llmasr.observe.frames import Frames

MASKS = ("attention_mask", "input_features_mask", "padding_mask")  # 1 for the utterance, 0 for padding
ASKED = ("input_features_mask", "audio_mel_mask", "feature_lens")  # inputs for which the extractor must return a mask
MIN_S = 0.1
TRIALS = (1.0307, 2.0614, 1.3103, 1.7213, 2.2901)  # seconds of trial sounds; odd, since some encoders round lengths
GROWTH = (1.5, 2.5)  # allowed ratio of frames when the sound becomes twice as long
MULTIPLES = (1, 2, 4, 8, 16)  # some encoders need a multiple of so many frames of features
FRAMES = ("last_hidden_state", "latents")  # names of an encoder's output


class NoFrames(ValueError):
    """A part of a model runs, but returns no frames."""


class Inputs(NamedTuple):
    """The inputs of an encoder.

    Attributes:
        named: by the argument names of the encoder.
        valid, whole: length of the utterance, and with padding, in frames or samples; valid is None if unknown.
    """

    named: Dict[str, object]
    valid: Optional[int]
    whole: int


class HuggingFaceEncoder:
    """A Hugging Face speech encoder with its own feature extractor.

    Padding:
        - Masked frames at the end are cut off before the encoder, so that it gets the utterance alone. (With them the
          adapters of SeamlessM4T and w2v-BERT and NemotronH-Omni would use one frame of padding, Voxtral Realtime and
          Kyutai the silence that their processors add.) An encoder that needs a multiple of frames gets masked padding.
        - A waveform padded to whole frames stays padded, since its encoder needs that.
        - Whisper's extractor pads all audio to 30 s, and that stays, too. Valid are the frames of the audio itself (the
          last one perhaps in part); after pooling, the frames that cover valid frames only. Encoders of Whisper's
          features use the silence that follows, as Whisper does; Audio Flamingo 3 and Qwen-Omni mask it themselves; for
          Qwen2-Audio it is masked here, as in the whole model.

    Attributes:
        rate: sample rate in Hz.

    Raises:
        Exception: of any kind, if the extractor or the encoder does not take sound, or if twice the sound does not
            give twice the frames.
    """

    def __init__(self, encoder: nn.Module, extractor, options: Dict[str, object], device: str):
        """options: for the call of the extractor."""
        self.encoder, self.device = encoder, device
        self._takes = list(inspect.signature(encoder.forward).parameters)
        masked = {} if set(self._takes).isdisjoint(ASKED) else {"return_attention_mask": True}
        self._extractor = Extractor(extractor, {**options, **masked})
        self.rate = self._extractor.rate
        self._blocks = _blocks_of(encoder)
        self._tokens = sum(name.endswith("class_embedding") for name, _ in encoder.named_parameters())
        encoder.config.tie_last_hidden_states = False  # else the encoder's output replaces the last block's
        trials = self._trials()
        (_, short), (_, long), *_ = trials
        self._axes = [-2 if self._extractor.most else _growing_axis(*layers) for layers in zip(short, long)]
        self._has_norm_after = all(len(layers) > 1 and layers[-2].shape == layers[-1].shape for _, layers in trials)
        for inputs, layers in trials:
            self._valid(inputs, layers)

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio that is too long, shorter than MIN_S, or refused by the encoder."""
        seconds, most = len(samples) / self.rate, self._extractor.most
        if len(samples) < MIN_S * self.rate:  # extractors standardise over time
            raise ValueError(
                f"{len(samples)} samples are less than the {MIN_S:g} s that this encoder needs: leave the utterance out"
            )
        if most is not None and len(samples) > most:
            raise ValueError(
                f"{seconds:.1f} s of audio, this encoder takes {most / self.rate:g} s: "
                "leave longer utterances out (--max_duration of the data stage)"
            )
        try:
            inputs = self._inputs(samples)
            return Frames(self._valid(inputs, self._layers(inputs.named)))
        except RuntimeError as error:
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({first_line(error)}): leave it out if short"
            ) from error

    @torch.no_grad()
    def _trials(self) -> List[Tuple[Inputs, List[Tensor]]]:
        """Inputs and layers of trial sounds, with the smallest multiple of frames that the encoder takes.

        Raises the encoder's error without padding if no multiple helps.
        """
        errors = []
        can_pad = self._extractor.time == 1 and not set(self._takes).isdisjoint(MASKS)
        for self._multiple in MULTIPLES if can_pad else MULTIPLES[:1]:
            seconds = TRIALS if self._multiple > 1 else TRIALS[:2]
            try:
                trials = [self._inputs(sound(duration_s, self.rate)) for duration_s in seconds]
                return [(inputs, self._layers(inputs.named)) for inputs in trials]
            except Exception as error:  # an unknown encoder may raise anything
                errors.append(error)
        raise errors[0]

    def _inputs(self, samples: Tensor) -> Inputs:
        """The inputs for samples (N,). Raises ValueError as the extractor."""
        values, mask, lengths = self._extractor(samples)
        valid, whole = len(samples), self._extractor.padded_length(len(samples))
        if whole is None:
            values, mask, valid, whole = self._without_padding(values, mask)
        inputs = {"chunk_sample_lengths": lengths, "mask": None}
        if mask is not None:
            inputs.update(dict.fromkeys(MASKS, mask), audio_mel_mask=~mask.bool(), feature_lens=mask.sum(1))
        if self._extractor.most is not None:
            inputs["attention_mask"] = self._attention_mask(len(samples))
        if "feature_lens" in self._takes:  # utterances are concatenated, without a batch axis
            values = values[0][:, mask[0].bool()]
        named = {self._takes[0]: values, **{name: inputs[name] for name in self._takes[1:] if name in inputs}}
        on_device = {name: value if value is None else value.to(self.device) for name, value in named.items()}
        return Inputs(on_device, valid, whole)

    def _without_padding(
        self, values: Tensor, mask: Optional[Tensor]
    ) -> Tuple[Tensor, Optional[Tensor], Optional[int], int]:
        """Cuts off padding, then pads to the multiple that the encoder needs: values, mask, valid and whole length."""
        time = self._extractor.time
        if mask is not None and not mask.all():
            if mask.size(1) != values.size(time) or not (time == 1 or values.size(1) == 1):
                return values, mask, None, values.size(time)
            frames = mask[0].nonzero().squeeze(1)
            values, mask = values.index_select(time, frames), mask[:, frames]
        valid = values.size(time)
        if self._multiple > 1:
            more = -valid % self._multiple
            mask = torch.ones(1, valid, dtype=torch.long) if mask is None else mask
            values, mask = F.pad(values, (0, 0, 0, more)), F.pad(mask, (0, more))
        return values, mask, valid, values.size(time)

    def _attention_mask(self, samples: int) -> Optional[Tensor]:
        """For Qwen2-Audio: hides the silence that follows; (1, 1, L, L), added to the attention scores."""
        if self.encoder.config.model_type != "qwen2_audio_encoder":
            return None
        length = self.encoder.config.max_source_positions
        mask = torch.zeros(1, 1, length, length)
        mask[..., -(-samples * length // self._extractor.most) :] = torch.finfo(mask.dtype).min
        return mask

    def _layers(self, inputs: Dict[str, Tensor]) -> List[Tensor]:
        """The hidden states of all layers, and the output (one of FRAMES).

        The hidden states of an encoder that does not return them are the outputs of its blocks. Class tokens, which
        come first, are left out.

        Raises:
            NoFrames: the encoder returns no frames.
            ValueError: the blocks process the sound in pieces.
        """
        with outputs_of(self._blocks) as blocks:
            output = self.encoder(**inputs, output_hidden_states=True)
        frames = [output] if isinstance(output, Tensor) else [getattr(output, name, None) for name in FRAMES]
        last = next(filter(torch.is_tensor, frames), None)
        if last is None:
            raise NoFrames(f"{type(output).__name__} holds no {' or '.join(FRAMES)}")
        hidden = None if output is last else output.get("hidden_states")
        if not hidden and len(blocks) > len(self._blocks):
            raise ValueError("the encoder processes it in pieces: leave longer ones out")
        inner = hidden[1:] if hidden else blocks
        return [*(layer[:, self._tokens :] if self._tokens else layer for layer in inner), last]

    def _valid(self, inputs: Inputs, layers: List[Tensor]) -> List[Tensor]:
        """The frames (L, D) of every layer without padding.

        An output of the same shape replaces the last hidden states, because some models apply their final layer norm
        only to the output; with another shape it is one more layer. A layer (L, D) without a batch axis, which some
        encoders return, has no padding.

        Raises:
            ValueError: there is padding, and it is not known where.
        """
        layers = [layer if axis == -2 else layer.transpose(-1, -2) for layer, axis in zip(layers, self._axes)]
        if self._has_norm_after:
            del layers[-2]
        first = layers[0].size(-2)
        for layer in layers:
            if layer.dim() > 2 and inputs.valid is None:
                raise ValueError("the feature extractor pads the last frames, and the encoder does not tell which")
            if layer.shape[:-2] not in ((), (1,)):
                shape = tuple(layer.shape)
                raise ValueError(f"the encoder makes {shape} of it, not one utterance: leave longer ones out")
        return [x if x.dim() == 2 else x[0, : self._length(inputs, x.size(1), first)] for x in layers]

    def _length(self, inputs: Inputs, frames: int, first: int) -> int:
        """The valid ones among the frames of a layer, where the first layer has `first` frames."""
        if self._extractor.most is None:
            return -(-inputs.valid * frames // inputs.whole)
        return -(-inputs.valid * first // inputs.whole) * frames // first


def _growing_axis(short: Tensor, long: Tensor) -> int:
    """The axis of the frames in a layer for one second of sound and for two: -2, or -1 where channels come first.

    Raises ValueError if neither grows with the sound.
    """
    for axis in (-2, -1):
        if GROWTH[0] < long.size(axis) / short.size(axis) < GROWTH[1]:
            return axis
    raise ValueError(f"{short.size(-2)} frames of one second of sound, {long.size(-2)} of two")


def _blocks_of(encoder: nn.Module) -> List[nn.Module]:
    """The blocks of an encoder: its list of modules with the most parameters."""
    lists = (part for part in encoder.modules() if isinstance(part, nn.ModuleList))
    return list(max(lists, key=lambda blocks: sum(weight.numel() for weight in blocks.parameters()), default=()))


def first_line(error: Exception) -> str:
    """The first line of a message that is not empty."""
    return next(filter(None, str(error).splitlines()), type(error).__name__)
