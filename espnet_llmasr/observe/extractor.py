"""A feature extractor of Hugging Face: what it makes of one utterance, and whether that is the utterance alone."""

import inspect
import math
from typing import NamedTuple, Optional

import torch
from torch import Tensor

RULER = (1.0307, 20.614)  # seconds of sound that give its rate; odd, since some make round numbers only
TRIALS = (1.0307, 1.3103, 1.7213, 2.2901)  # seconds of sound that show which numbers of samples are round
CUT_S = 0.03  # by so much, and a frame, may what it makes differ from the sound


class Made(NamedTuple):
    """What a feature extractor makes of one utterance.

    Attributes:
        values: features or a waveform, first axis 1 (more are the pieces into which it split the utterance).
        mask: (1, their length or one more or less), true for what is of the utterance; None if it makes none.
        lengths: (1,) samples, where it tells them; else None.
    """

    values: Tensor
    mask: Optional[Tensor]
    lengths: Optional[Tensor]

    def size(self) -> int:
        """How much of it is of the utterance: grows at a constant rate."""
        told = self.lengths if self.mask is None else self.mask
        return self.values.numel() if told is None else int(told.sum())


class Extractor:
    """Calls a feature extractor, and checks that it neither cuts the sound nor fills it up without telling.

    Attributes:
        name: what it calls its features or the waveform.
        rate: samples a second that it hears.
        time: the axis of what it makes that grows with the sound; None if it fills up all sound to `most`.
        most: samples to which it fills up any sound (Whisper's 30 s); else None.
        unit: samples of which a waveform holds whole ones; 1 for features.

    Raises:
        Exception: of any kind, if it is none of sound.
        ValueError: it makes as much of any sound, and does not tell of how much.
    """

    def __init__(self, extractor, masked: bool):
        """masked: whether to ask for a mask, which some make only then."""
        self.extractor, self.name, self.rate = extractor, extractor.model_input_names[0], int(extractor.sampling_rate)
        options = {"sampling_rate": self.rate, "return_tensors": "pt", "return_attention_mask": masked or None}
        known = inspect.signature(extractor.__call__).parameters
        self._options = {name: value for name, value in options.items() if name in known and value is not None}
        one, two = (self._make(sound(seconds, self.rate)) for seconds in RULER)
        self._sizes = one.size(), two.size()
        grown = [axis for axis, sizes in enumerate(zip(one.values.shape, two.values.shape)) if sizes[0] != sizes[1]]
        self.time = grown[0] if grown else None
        self.most = None if grown else getattr(extractor, "n_samples", None)
        if self.time is None and self.most is None:
            raise ValueError("the feature extractor makes as much of one second of sound as of twenty")
        self.unit = self._unit() if grown and one.values.size(grown[0]) > self.rate / 2 else 1

    def __call__(self, samples: Tensor) -> Made:
        """samples (N,) -> what it makes of them. Raises ValueError if it cut or split them, or filled them up."""
        made = self._make(samples)
        if made.mask is not None or self.most is None:
            self._check_heard(len(samples) / self.rate, made)
        return made

    def _make(self, samples: Tensor) -> Made:
        made = self.extractor([samples.numpy()], **self._options)
        values = made[self.name]
        masks = (mask for name, mask in made.items() if "mask" in name)
        of_values = (mask for mask in masks if any(abs(mask.size(-1) - size) <= 1 for size in values.shape))
        return Made(values, next(of_values, None), made.get("chunk_sample_lengths"))

    def _unit(self) -> int:
        """Samples to whole numbers of which it fills up a waveform."""
        sounds = [sound(seconds, self.rate) for seconds in TRIALS]
        sizes = [self._make(samples).values.size(self.time) for samples in sounds]
        return 1 if sizes == [len(samples) for samples in sounds] else math.gcd(*sizes)

    def _check_heard(self, seconds: float, made: Made) -> None:
        one, two = self._sizes
        step = (RULER[1] - RULER[0]) / (two - one)
        heard = RULER[0] + step * (made.size() - one)
        if len(made.values) > 1 or abs(heard - seconds) > CUT_S + step:
            pieces = f" in {len(made.values)} pieces" if len(made.values) > 1 else ""
            raise ValueError(
                f"the feature extractor makes {heard:.2f} s of {seconds:.2f} s of audio{pieces}: "
                "leave longer or shorter ones out"
            )


def sound(seconds: float, rate: int) -> Tensor:
    """Samples (N,) for a trial."""
    return torch.linspace(-1, 1, round(seconds * rate))
