"""A speech encoder of Hugging Face: called by the names that it has for its inputs, and the frames that are valid."""

import inspect
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_llmasr.asr.modules import outputs_of
from espnet_llmasr.observe.extractor import Extractor, sound
from espnet_llmasr.observe.frames import Frames

MASKS = ("attention_mask", "input_features_mask", "padding_mask")  # 1 for what is to be heard
ASKED = ("input_features_mask", "audio_mel_mask", "feature_lens")  # inputs that the extractor must make a mask for
MIN_S = 0.1
TRIALS = (1.0307, 2.0614, 1.3103, 1.7213, 2.2901)  # seconds of sound; odd, since some take round numbers only
GROWTH = (1.5, 2.5)  # of the frames, when the sound becomes twice as long
MULTIPLES = (1, 2, 4, 8, 16)  # of which some encoders need so many frames of features
FRAMES = ("last_hidden_state", "latents")  # what an encoder calls them


class NoFrames(ValueError):
    """A part of a model runs, but gives back no frames."""


class Inputs(NamedTuple):
    """What an encoder is called with.

    Attributes:
        named: by the names that it has for them.
        valid, whole: how much is of the utterance, and how much there is, in frames or samples; valid is None where it
            is not known.
    """

    named: Dict[str, object]
    valid: Optional[int]
    whole: int


class HuggingFaceEncoder:
    """A speech encoder of Hugging Face, with the feature extractor that it was trained with.

    Frames that the extractor fills up at the end, and masks, are cut off before the encoder, which so hears the
    utterance alone; one that takes only whole groups of frames gets them filled up again, and masked. (The adapters of
    SeamlessM4T and w2v-BERT and NemotronH-Omni would hear one such frame; Voxtral Realtime and Kyutai's the silence
    that their processors add.) A waveform filled up to whole frames stays, as its encoder needs it,
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
        trials = self._trials()
        (_, one), (_, two), *_ = trials
        self._axes = [-2 if self._extractor.most else _growing_axis(*layers) for layers in zip(one, two)]
        self._has_norm_after = all(len(each) > 1 and each[-2].shape == each[-1].shape for _, each in trials)
        for inputs, layers in trials:
            self._valid(inputs, layers)

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
            inputs = self._inputs(samples)
            return Frames(self._valid(inputs, self._layers(inputs.named)))
        except RuntimeError as error:
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({first_line(error)}): leave it out if short"
            ) from error

    @torch.no_grad()
    def _trials(self) -> List[Tuple[Inputs, List[Tensor]]]:
        """Inputs and layers of trial sounds, with the smallest multiple of frames that the encoder takes.

        Raises what it raises when frames are not filled up.
        """
        errors = []
        can_fill_up = self._extractor.time == 1 and not set(self._takes).isdisjoint(MASKS)
        for self._multiple in MULTIPLES if can_fill_up else MULTIPLES[:1]:
            seconds = TRIALS if self._multiple > 1 else TRIALS[:2]
            try:
                inputs = [self._inputs(sound(each, self.rate)) for each in seconds]
                return [(each, self._layers(each.named)) for each in inputs]
            except Exception as error:  # what an encoder may end in is not known
                errors.append(error)
        raise errors[0]

    def _inputs(self, samples: Tensor) -> Inputs:
        """Raises ValueError as the extractor."""
        values, mask, lengths = self._extractor(samples)
        valid, whole = len(samples), self._extractor.filled_up(len(samples))
        if whole is None:
            values, mask, valid, whole = self._fitted(values, mask)
        inputs = {"chunk_sample_lengths": lengths, "mask": None}
        if mask is not None:
            inputs.update(dict.fromkeys(MASKS, mask), audio_mel_mask=~mask.bool(), feature_lens=mask.sum(1))
        if self._extractor.most is not None:
            inputs["attention_mask"] = self._attention_mask(len(samples))
        if "feature_lens" in self._takes:  # utterances without an axis, one after the other
            values = values[0][:, mask[0].bool()]
        named = {self._takes[0]: values, **{name: inputs[name] for name in self._takes[1:] if name in inputs}}
        on_device = {name: each if each is None else each.to(self.device) for name, each in named.items()}
        return Inputs(on_device, valid, whole)

    def _fitted(self, values: Tensor, mask: Optional[Tensor]) -> Tuple[Tensor, Optional[Tensor], Optional[int], int]:
        """Cuts off what is filled up, then fills up to a multiple: -> values, mask, valid and whole length."""
        time = self._extractor.time
        if mask is not None and not mask.all():
            if mask.size(1) != values.size(time) or not (time == 1 or values.size(1) == 1):
                return values, mask, None, values.size(time)
            heard = mask[0].nonzero().squeeze(1)
            values, mask = values.index_select(time, heard), mask[:, heard]
        valid = values.size(time)
        if self._multiple > 1:
            more = -valid % self._multiple
            mask = torch.ones(1, valid, dtype=torch.long) if mask is None else mask
            values, mask = F.pad(values, (0, 0, 0, more)), F.pad(mask, (0, more))
        return values, mask, valid, values.size(time)

    def _attention_mask(self, samples: int) -> Optional[Tensor]:
        """What keeps Qwen2-Audio from hearing the silence that follows, (1, 1, L, L), is added to the scores."""
        if self.encoder.config.model_type != "qwen2_audio_encoder":
            return None
        length = self.encoder.config.max_source_positions
        mask = torch.zeros(1, 1, length, length)
        mask[..., -(-samples * length // self._extractor.most) :] = torch.finfo(mask.dtype).min
        return mask

    def _layers(self, inputs: Dict[str, Tensor]) -> List[Tensor]:
        """The hidden states of all layers, and what the encoder calls its FRAMES.

        Of an encoder that does not hand over its hidden states, they are the outputs of its blocks. Class tokens, which
        come first, are left out.

        Raises:
            NoFrames: there are none.
            ValueError: the blocks hear the sound in pieces.
        """
        with outputs_of(self._blocks) as blocks:
            found = self.encoder(**inputs, output_hidden_states=True)
        frames = [found] if isinstance(found, Tensor) else [getattr(found, name, None) for name in FRAMES]
        last = next(filter(torch.is_tensor, frames), None)
        if last is None:
            raise NoFrames(f"{type(found).__name__} holds no {' or '.join(FRAMES)}")
        hidden = None if found is last else found.get("hidden_states")
        if not hidden and len(blocks) > len(self._blocks):
            raise ValueError("the encoder hears it in pieces: leave longer ones out")
        inner = hidden[1:] if hidden else blocks
        return [*(layer[:, self._tokens :] if self._tokens else layer for layer in inner), last]

    def _valid(self, inputs: Inputs, layers: List[Tensor]) -> List[Tensor]:
        """The frames (L, D) of every layer that are of the audio itself.

        FRAMES of the shape of the last hidden states replace these, because some models apply their final layer norm
        only there; else they are one layer more. A layer (L, D) without a batch axis, which some encoders return, is
        all of the audio.

        Raises:
            ValueError: some frames are not, and nothing tells which.
        """
        layers = [layer if axis == -2 else layer.transpose(-1, -2) for layer, axis in zip(layers, self._axes)]
        if self._has_norm_after:
            del layers[-2]
        first = layers[0].size(-2)
        for layer in layers:
            if layer.dim() > 2 and inputs.valid is None:
                raise ValueError("the feature extractor fills up the last frames, and the encoder does not tell which")
            if layer.shape[:-2] not in ((), (1,)):
                shape = tuple(layer.shape)
                raise ValueError(f"the encoder makes {shape} of it, not one utterance: leave longer ones out")
        return [each if each.dim() == 2 else each[0, : self._length(inputs, each.size(1), first)] for each in layers]

    def _length(self, inputs: Inputs, frames: int, first: int) -> int:
        """How many of the frames of a layer are of the audio itself, where the first layer has `first` frames."""
        if self._extractor.most is None:
            return -(-inputs.valid * frames // inputs.whole)
        return -(-inputs.valid * first // inputs.whole) * frames // first


def _growing_axis(one: Tensor, two: Tensor) -> int:
    """The axis of the frames in a layer of one second of sound and of two: -2, or -1 where the channels come first.

    Raises ValueError if neither grows with the sound.
    """
    for axis in (-2, -1):
        if GROWTH[0] < two.size(axis) / one.size(axis) < GROWTH[1]:
            return axis
    raise ValueError(f"{one.size(-2)} frames of one second of sound, {two.size(-2)} of two")


def _blocks_of(encoder: nn.Module) -> List[nn.Module]:
    """Its blocks, if they cannot be asked for their outputs: the list of modules with the most parameters."""
    lists = (part for part in encoder.modules() if isinstance(part, nn.ModuleList))
    return list(max(lists, key=lambda blocks: sum(weight.numel() for weight in blocks.parameters()), default=()))


def first_line(error: Exception) -> str:
    """The first line of its message that is not empty."""
    return next(filter(None, str(error).splitlines()), type(error).__name__)
