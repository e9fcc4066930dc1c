"""A Hugging Face feature extractor: its features of one utterance, and a check that they cover the whole utterance."""

import inspect
import math
from typing import Dict, NamedTuple, Optional

import torch
from torch import Tensor

# Seconds of two sounds that give the feature rate; odd numbers, since some extractors round lengths.
RULER = (1.0307, 20.614)
# Seconds of sounds that show to which multiple an extractor rounds lengths.
TRIALS = (0.5571, 0.9173, 1.0307, 1.3103, 1.4947, 1.7213, 2.2901)
ALONE = {"end_on_pause": False}  # options that stop an extractor from adding audio (PocketTTS adds a pause)
CUT_S = 0.03  # largest difference between the sound and its features, besides rounding


class Features(NamedTuple):
    """The output of a feature extractor for one utterance.

    Attributes:
        values: features or a waveform, first axis 1; more if the extractor splits the utterance into pieces.
        mask: (1, length of values, or one more or less), true for the utterance, false for padding; None without one.
        lengths: (1,) samples of the utterance; None if the extractor does not return them.
    """

    values: Tensor
    mask: Optional[Tensor]
    lengths: Optional[Tensor]

    def size(self) -> int:
        """Features or samples that belong to the utterance; grows with its length at a constant rate."""
        counts = self.lengths if self.mask is None else self.mask
        return self.values.numel() if counts is None else int(counts.sum())


class Extractor:
    """Calls a feature extractor, and checks that it neither cuts the sound nor pads it without a mask.

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
        """options: for the extractor's call; options that it does not have are left out."""
        self.extractor, self.name, self.rate = extractor, extractor.model_input_names[0], int(extractor.sampling_rate)
        known = inspect.signature(extractor.__call__).parameters
        options = {**ALONE, **options, "sampling_rate": self.rate, "return_tensors": "pt"}
        self._options = {name: value for name, value in options.items() if name in known}
        short, long = ruler = [self._call(sound(seconds, self.rate)) for seconds in RULER]
        shapes = zip(short[self.name].shape, long[self.name].shape)
        self.time = next((axis for axis, (first, second) in enumerate(shapes) if first != second), None)
        self.most = getattr(extractor, "n_samples", None) if self.time is None else None
        if self.time is None and self.most is None:
            raise ValueError("the feature extractor makes as much of one second of sound as of twenty")
        self._mask = next(
            (name for name in short if "mask" in name and all(self._fits(name, outputs) for outputs in ruler)), ""
        )
        self._sizes = [self._features(outputs).size() for outputs in ruler]
        self._waveform = self.time is not None and short[self.name].size(self.time) > self.rate / 2
        self.unit = self._find_unit() if self._waveform else 1

    def __call__(self, samples: Tensor) -> Features:
        """samples (N,) float32 in [-1, 1] -> their features.

        Raises:
            ValueError: the extractor cut or split the samples, or padded them without a mask.
        """
        features = self._features(self._call(samples))
        if features.mask is not None or self.most is None:
            self._check_complete(len(samples), features)
        return features

    def padded_length(self, samples: int) -> Optional[int]:
        """The length to which so many samples are padded; None if only the mask shows it."""
        if self.most is not None:
            return self.most
        return -(-samples // self.unit) * self.unit if self.unit > 1 else None

    def _call(self, samples: Tensor) -> Dict[str, Tensor]:
        return self.extractor([samples.numpy()], **self._options)

    def _fits(self, name: str, outputs: Dict[str, Tensor]) -> bool:
        """True if a mask is as long as the values, or one longer or shorter."""
        sizes = outputs[self.name].shape if self.time is None else [outputs[self.name].size(self.time)]
        return any(abs(outputs[name].size(-1) - size) <= 1 for size in sizes)

    def _features(self, outputs: Dict[str, Tensor]) -> Features:
        return Features(outputs[self.name], outputs.get(self._mask), outputs.get("chunk_sample_lengths"))

    def _find_unit(self) -> int:
        """The common divisor of all lengths of waveforms, if padding to it explains these lengths; else 1."""
        sounds = [sound(seconds, self.rate) for seconds in TRIALS]
        sizes = [self._call(samples)[self.name].size(self.time) for samples in sounds]
        unit = math.gcd(*sizes)
        return unit if sizes == [-(-len(samples) // unit) * unit for samples in sounds] else 1

    def _check_complete(self, samples: int, features: Features) -> None:
        """A waveform must have so many samples; features may differ by the rounding at both ends of the ruler."""
        seconds = samples / self.rate
        if self._waveform:
            size = features.values.size(self.time)
            size = size if features.mask is None or size == self.padded_length(samples) else int(features.mask.sum())
            covered, complete = size / self.rate, size in (samples, self.padded_length(samples))
        else:
            step = (RULER[1] - RULER[0]) / (self._sizes[1] - self._sizes[0])
            covered = RULER[0] + step * (features.size() - self._sizes[0])
            complete = abs(covered - seconds) <= CUT_S + step * (1 + seconds / RULER[1])
        if len(features.values) > 1 or not complete:
            pieces = f" in {len(features.values)} pieces" if len(features.values) > 1 else ""
            raise ValueError(
                f"the feature extractor makes {covered:.2f} s of {seconds:.2f} s of audio{pieces}: "
                "leave longer or shorter ones out"
            )


def sound(seconds: float, rate: int) -> Tensor:
    """Samples (N,) for a trial."""
    return torch.linspace(-1, 1, round(seconds * rate))
