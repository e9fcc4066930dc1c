"""Speech encoders of Hugging Face directories: found by trial, not by name.

A part of a model is the encoder if its inputs are the outputs of the feature extractor and none of a decoder, and if
its output has frames whose number grows with the sound.  N samples, L encoder frames, D encoder width.
"""

import inspect
import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedModel, ProcessorMixin

from espnet_llmasr.asr.modules import outputs_of
from espnet_llmasr.asr.pretrained import check_weights, load_model
from espnet_llmasr.observe.frames import Frames

SOUND = ("audio_mel", "hidden_states")  # other names of an encoder's first input
OTHERS = ("labels", "decoder", "pixel")  # prefixes of inputs for a loss, a decoder or images
# Seconds of trial sounds, odd numbers since some extractors and encoders round lengths.
RULER = (1.0307, 20.614)  # give the rate of features
UNIT_TRIALS = (0.5571, 0.9173, 1.0307, 1.3103, 1.4947, 1.7213, 2.2901)  # show a multiple to which lengths are rounded
TRIALS = (1.0307, 2.0614, 1.3103, 1.7213, 2.2901)  # show how the frames of every layer grow
GROWTH = (1.5, 2.5)  # allowed ratio of frames when the sound becomes twice as long
CUT_S = 0.03  # largest difference between the sound and its features, besides rounding
MIN_S = 0.1  # extractors standardise over time
ALONE = {"end_on_pause": False}  # options that stop an extractor from adding audio (PocketTTS adds a pause)
MASKS = ("attention_mask", "input_features_mask", "padding_mask")  # 1 for the utterance, 0 for padding
ASKED = ("input_features_mask", "audio_mel_mask", "feature_lens")  # inputs for which the extractor must return a mask
MULTIPLES = (1, 2, 4, 8, 16)  # some encoders need a multiple of so many frames of features
FRAMES = ("last_hidden_state", "latents")  # names of an encoder's output


class Features(NamedTuple):
    """The output of a feature extractor for one utterance; mask and lengths are None where it returns none."""

    values: Tensor  # features or a waveform, first axis 1; more if the extractor splits the utterance into pieces
    mask: Optional[Tensor]  # (1, length of values, or one more or less), true for the utterance, false for padding
    lengths: Optional[Tensor]  # (1,) samples of the utterance

    def size(self) -> int:
        """Features or samples that belong to the utterance."""
        counts = self.lengths if self.mask is None else self.mask
        return self.values.numel() if counts is None else int(counts.sum())


class Extractor:
    """Calls a feature extractor, and checks that it neither cuts the sound nor pads it without a mask.

    Args:
        options: for the extractor's call; options that it does not have are left out.

    Attributes:
        name: the extractor's key for its features or waveform.
        rate: sample rate in Hz.
        time: the axis of `values` that grows with the sound; None if the extractor pads every sound to `most`.
        most: samples to which every sound is padded (Whisper's 30 s); else None.
        unit: a waveform is padded to a multiple of so many samples; 1 without padding.

    Raises:
        Exception: of any kind, if the extractor does not take sound.
        ValueError: the output has one size for all sounds, and the extractor does not tell to which length it pads.
    """

    def __init__(self, extractor, options: Dict[str, object]):
        self.name, self.rate = extractor.model_input_names[0], int(extractor.sampling_rate)
        known = inspect.signature(extractor.__call__).parameters
        options = {**ALONE, **options, "sampling_rate": self.rate, "return_tensors": "pt"}
        options = {name: value for name, value in options.items() if name in known}
        self._call = lambda samples: extractor([samples.numpy()], **options)
        short, long = ruler = [self._call(sound(seconds, self.rate)) for seconds in RULER]
        shapes = zip(short[self.name].shape, long[self.name].shape)
        self.time = next((axis for axis, (first, second) in enumerate(shapes) if first != second), None)
        self.most = getattr(extractor, "n_samples", None) if self.time is None else None
        if self.time is None and self.most is None:
            raise ValueError("the feature extractor makes as much of one second of sound as of twenty")
        masks = (name for name in short if "mask" in name and all(self._fits(name, outputs) for outputs in ruler))
        self._mask = next(masks, "")
        self._sizes = [self._features(outputs).size() for outputs in ruler]
        self._waveform = self.time is not None and short[self.name].size(self.time) > self.rate / 2
        self.unit = self._find_unit() if self._waveform else 1

    def __call__(self, samples: Tensor) -> Features:
        """Features of samples (N,) float32 in [-1, 1]. Raises ValueError if the extractor cut, split or padded them."""
        features = self._features(self._call(samples))
        if features.mask is not None or self.most is None:
            self._check_complete(len(samples), features)
        return features

    def padded_length(self, samples: int) -> Optional[int]:
        """The length to which so many samples are padded; None if only the mask shows it."""
        return self.most or (-(-samples // self.unit) * self.unit if self.unit > 1 else None)

    def _fits(self, name: str, outputs: Dict[str, Tensor]) -> bool:
        """True if a mask is as long as the values, or one longer or shorter."""
        sizes = outputs[self.name].shape if self.time is None else [outputs[self.name].size(self.time)]
        return any(abs(outputs[name].size(-1) - size) <= 1 for size in sizes)

    def _features(self, outputs: Dict[str, Tensor]) -> Features:
        return Features(outputs[self.name], outputs.get(self._mask), outputs.get("chunk_sample_lengths"))

    def _find_unit(self) -> int:
        """The common divisor of all lengths of waveforms, if padding to it explains these lengths; else 1."""
        sounds = [sound(seconds, self.rate) for seconds in UNIT_TRIALS]
        sizes = [self._call(samples)[self.name].size(self.time) for samples in sounds]
        unit = math.gcd(*sizes)
        return unit if sizes == [-(-len(samples) // unit) * unit for samples in sounds] else 1

    def _check_complete(self, samples: int, features: Features) -> None:
        """A waveform must have so many samples; features may differ by the rounding at both ends of the ruler."""
        seconds, pieces = samples / self.rate, len(features.values)
        if self._waveform:
            size, padded = features.values.size(self.time), self.padded_length(samples)
            size = size if features.mask is None or size == padded else int(features.mask.sum())
            covered, complete = size / self.rate, size in (samples, padded)
        else:
            step = (RULER[1] - RULER[0]) / (self._sizes[1] - self._sizes[0])
            covered = RULER[0] + step * (features.size() - self._sizes[0])
            complete = abs(covered - seconds) <= CUT_S + step * (1 + seconds / RULER[1])
        if pieces > 1 or not complete:
            raise ValueError(
                f"the feature extractor makes {covered:.2f} s of {seconds:.2f} s of audio"
                f"{f' in {pieces} pieces' if pieces > 1 else ''}: leave longer or shorter ones out"
            )


class NoFrames(ValueError):
    """A part of a model runs, but returns no frames."""


class Inputs(NamedTuple):
    """The inputs of an encoder by its argument names, and lengths in frames or samples."""

    named: Dict[str, object]
    valid: Optional[int]  # of the utterance; None if unknown
    whole: int  # with padding


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

    Args:
        options: for the call of the extractor.

    Raises:
        Exception: of any kind, if the extractor or the encoder does not take sound, or if twice the sound does not
            give twice the frames.
    """

    def __init__(self, encoder: nn.Module, extractor, options: Dict[str, object], device: str):
        self.encoder, self.device = encoder, device
        self._takes = list(inspect.signature(encoder.forward).parameters)
        masked = {} if set(self._takes).isdisjoint(ASKED) else {"return_attention_mask": True}
        self._extractor = Extractor(extractor, {**options, **masked})
        self.rate = self._extractor.rate
        # an encoder's blocks are its list of modules with the most parameters
        lists = [part for part in encoder.modules() if isinstance(part, nn.ModuleList)]
        self._blocks = list(max(lists, key=lambda part: sum(p.numel() for p in part.parameters()), default=()))
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
        if seconds < MIN_S:
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
            reason = first_line(error)
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({reason}): leave it out if short"
            ) from error

    @torch.no_grad()
    def _trials(self) -> List[Tuple[Inputs, List[Tensor]]]:
        """Inputs and layers of trial sounds, with the smallest multiple of frames that the encoder takes."""
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
        """The inputs for samples (N,)."""
        values, mask, lengths = self._extractor(samples)
        valid, whole = len(samples), self._extractor.padded_length(len(samples))
        if whole is None:
            values, mask, valid = self._without_padding(values, mask)
            whole = values.size(self._extractor.time)
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
    ) -> Tuple[Tensor, Optional[Tensor], Optional[int]]:
        """Cuts off padding, then pads to the multiple that the encoder needs: values, mask and valid length."""
        time = self._extractor.time
        if mask is not None and not mask.all():
            if mask.size(1) != values.size(time) or not (time == 1 or values.size(1) == 1):
                return values, mask, None
            frames = mask[0].nonzero().squeeze(1)
            values, mask = values.index_select(time, frames), mask[:, frames]
        valid = values.size(time)
        if self._multiple > 1:
            more = -valid % self._multiple
            mask = torch.ones(1, valid, dtype=torch.long) if mask is None else mask
            values, mask = F.pad(values, (0, 0, 0, more)), F.pad(mask, (0, more))
        return values, mask, valid

    def _attention_mask(self, samples: int) -> Optional[Tensor]:
        """For Qwen2-Audio: hides the silence that follows; (1, 1, L, L), added to the attention scores."""
        if self.encoder.config.model_type != "qwen2_audio_encoder":
            return None
        length = self.encoder.config.max_source_positions
        mask = torch.zeros(1, 1, length, length)
        mask[..., -(-samples * length // self._extractor.most) :] = torch.finfo(mask.dtype).min
        return mask

    def _layers(self, inputs: Dict[str, Tensor]) -> List[Tensor]:
        """The hidden states of all layers (else the outputs of the blocks), and the output (one of FRAMES).

        Class tokens, which come first, are left out. Raises NoFrames; ValueError if blocks process the sound in pieces.
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
        """The frames (L, D) of every layer without padding. Raises ValueError if it is not known where padding is.

        An output of the same shape replaces the last hidden states, because some models apply their final layer norm
        only to the output; with another shape it is one more layer. A layer (L, D) without a batch axis, which some
        encoders return, has no padding.
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
    """The axis of the frames in a layer of one second of sound and of two: -2, or -1 where channels come first."""
    for axis in (-2, -1):
        if GROWTH[0] < long.size(axis) / short.size(axis) < GROWTH[1]:
            return axis
    raise ValueError(f"{short.size(-2)} frames of one second of sound, {long.size(-2)} of two")


def sound(seconds: float, rate: int) -> Tensor:
    """Samples (N,) for a trial."""
    return torch.linspace(-1, 1, round(seconds * rate))


def first_line(error: Exception) -> str:
    """The first line of a message that is not empty."""
    return next(filter(None, str(error).splitlines()), type(error).__name__)


def open_hugging_face(directory: Path, device: str = "cpu") -> HuggingFaceEncoder:
    """The speech encoder in a directory that `save_pretrained` wrote (model and feature extractor), alone or as a part.

    Raises:
        ValueError: there is no feature extractor of audio, no part of the model is an encoder for its features, or the
            weights are broken or incomplete.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(directory, trust_remote_code=False)
        model, missing = load_model(directory, torch.float32, _class_of(directory))
    except Exception as error:  # files from elsewhere may raise anything
        raise ValueError(
            f"{directory} holds no speech encoder that can be opened ({first_line(error)}): "
            "expected config.json, preprocessor_config.json and weights, as save_pretrained writes them"
        ) from error
    name, options, reasons = extractor.model_input_names[0], _options_of(type(model.config)), []
    for path, part in model.eval().named_modules():
        if not _takes_only(part, name):
            continue
        try:
            encoder = HuggingFaceEncoder(part.to(device), extractor, options, device)
        except Exception as error:  # and so may a part of the model
            reasons.append(f"{type(part).__name__}: {first_line(error)}")
            if name == next(iter(inspect.signature(part.forward).parameters)) and not isinstance(error, NoFrames):
                break  # the inputs of its parts are not known
        else:
            check_weights(directory, [key for key in missing if key.startswith(f"{path}." if path else "")])
            return encoder
    reason = reasons[0] if reasons else f"none takes {name} alone"
    raise ValueError(
        f"{directory}: no part of {type(model).__name__} makes frames from the features of preprocessor_config.json "
        f"({reason}): this file is of another model, or the model is no speech encoder, or needs other inputs, too"
    )


def _class_of(directory: Path) -> type:
    """The class that config.json names: AutoModel leaves parts out (SpeechT5's convolutions) or adds a decoder.

    If that class is unknown (the released Qwen2.5-Omni is a "Qwen2_5OmniModel"), AutoModel's class, or the last class
    of the configuration.
    """
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    name = str((config.architectures or [""])[0])
    models = import_module(_module_of(type(config), "modeling"))
    of_config = [kind for kind in vars(models).values() if getattr(kind, "config_class", None) is type(config)]
    other = AutoModel if type(config) in MODEL_MAPPING or not of_config else of_config[-1]
    named = getattr(models, name, getattr(transformers, name, None))
    return named if isinstance(named, type) and issubclass(named, PreTrainedModel) else other


def _takes_only(part: nn.Module, name: str) -> bool:
    """True if a part takes `name` (or one of SOUND) first and none of OTHERS, and has no decoder."""
    if not isinstance(part, PreTrainedModel) or hasattr(part, "decoder"):
        return False
    first, *others = inspect.signature(part.forward).parameters
    return first in (name, *SOUND) and not any(other.startswith(OTHERS) for other in others)


def _options_of(config: type) -> Dict[str, object]:
    """The options with which the processor of a model family calls the feature extractor; none without a processor."""
    module = _module_of(config, "processing")
    if find_spec(module) is None:
        return {}
    kinds = vars(import_module(module)).values()
    processors = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, ProcessorMixin))
    return next((kind.audio_kwargs for kind in processors if hasattr(kind, "audio_kwargs")), {})


def _module_of(config: type, kind: str) -> str:
    """The module of transformers with the code of a kind (modeling, processing) for a model family."""
    return config.__module__.replace(".configuration_", f".{kind}_")
