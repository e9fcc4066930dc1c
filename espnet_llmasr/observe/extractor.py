"""A feature extractor of Hugging Face: what it makes of one utterance, and whether that is the utterance alone."""

import inspect
import math
from typing import Dict, NamedTuple, Optional

import torch
from torch import Tensor

RULER = (1.0307, 20.614)  # seconds of sound that give its rate; odd, since some make round numbers only
# Seconds of sound that show which numbers of samples are round.
TRIALS = (0.5571, 0.9173, 1.0307, 1.3103, 1.4947, 1.7213, 2.2901)
ALONE = {"end_on_pause": False}  # options without which it would add something (PocketTTS's a pause)
CUT_S = 0.03  # by so much, and what it rounds, may what it makes differ from the sound


class Features(NamedTuple):
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
        unit: samples to whole numbers of which it fills up a waveform; else 1.

    Raises:
        Exception: of any kind, if it is none of sound.
        ValueError: it makes as much of any sound, and does not tell of how much.
    """

    def __init__(self, extractor, options: Dict[str, object]):
        """options: with which to call it; those that it does not have are left out."""
        self.extractor, self.name, self.rate = extractor, extractor.model_input_names[0], int(extractor.sampling_rate)
        known = inspect.signature(extractor.__call__).parameters
        options = {**ALONE, **options, "sampling_rate": self.rate, "return_tensors": "pt"}
        self._options = {name: value for name, value in options.items() if name in known}
        one, two = ruler = [self._call(sound(seconds, self.rate)) for seconds in RULER]
        shapes = zip(one[self.name].shape, two[self.name].shape)
        self.time = next((axis for axis, (first, second) in enumerate(shapes) if first != second), None)
        self.most = getattr(extractor, "n_samples", None) if self.time is None else None
        if self.time is None and self.most is None:
            raise ValueError("the feature extractor makes as much of one second of sound as of twenty")
        self._mask = next(
            (name for name in one if "mask" in name and all(self._fits(name, made) for made in ruler)), ""
        )
        self._sizes = [self._made(made).size() for made in ruler]
        self._waveform = self.time is not None and one[self.name].size(self.time) > self.rate / 2
        self.unit = self._find_unit() if self._waveform else 1

    def __call__(self, samples: Tensor) -> Features:
        """samples (N,) float32 in [-1, 1] -> what it makes of them.

        Raises:
            ValueError: it cut or split them, or filled them up and does not tell.
        """
        made = self._made(self._call(samples))
        if made.mask is not None or self.most is None:
            self._check_heard(len(samples), made)
        return made

    def filled_up(self, samples: int) -> Optional[int]:
        """To how many it fills up so many samples; None if only the mask tells."""
        if self.most is not None:
            return self.most
        return -(-samples // self.unit) * self.unit if self.unit > 1 else None

    def _call(self, samples: Tensor) -> Dict[str, Tensor]:
        return self.extractor([samples.numpy()], **self._options)

    def _fits(self, name: str, made: Dict[str, Tensor]) -> bool:
        """Whether a mask is as long as the values, or one longer or shorter."""
        sizes = made[self.name].shape if self.time is None else [made[self.name].size(self.time)]
        return any(abs(made[name].size(-1) - size) <= 1 for size in sizes)

    def _made(self, made: Dict[str, Tensor]) -> Features:
        return Features(made[self.name], made.get(self._mask), made.get("chunk_sample_lengths"))

    def _find_unit(self) -> int:
        """What all lengths of waveforms have in common, if that is why they are not those of the sounds."""
        sounds = [sound(seconds, self.rate) for seconds in TRIALS]
        sizes = [self._call(samples)[self.name].size(self.time) for samples in sounds]
        unit = math.gcd(*sizes)
        return unit if sizes == [-(-len(samples) // unit) * unit for samples in sounds] else 1

    def _check_heard(self, samples: int, made: Features) -> None:
        """A waveform must be of so many samples; the rate of features may be wrong by what the ruler's ends round."""
        seconds = samples / self.rate
        if self._waveform:
            size = made.values.size(self.time)
            size = size if made.mask is None or size == self.filled_up(samples) else int(made.mask.sum())
            heard, right = size / self.rate, size in (samples, self.filled_up(samples))
        else:
            step = (RULER[1] - RULER[0]) / (self._sizes[1] - self._sizes[0])
            heard = RULER[0] + step * (made.size() - self._sizes[0])
            right = abs(heard - seconds) <= CUT_S + step * (1 + seconds / RULER[1])
        if len(made.values) > 1 or not right:
            pieces = f" in {len(made.values)} pieces" if len(made.values) > 1 else ""
            raise ValueError(
                f"the feature extractor makes {heard:.2f} s of {seconds:.2f} s of audio{pieces}: "
                "leave longer or shorter ones out"
            )


def sound(seconds: float, rate: int) -> Tensor:
    """Samples (N,) for a trial."""
    return torch.linspace(-1, 1, round(seconds * rate))
