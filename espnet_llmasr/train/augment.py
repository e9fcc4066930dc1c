"""Augmentation of training audio: speed, then silence around it and noise over all (NIM4-ASR, arXiv 2604.18105).

An utterance may also become noise alone, with an empty target: a model learns from it that noise has no words.

The random numbers of an utterance follow from the seed, the pass over the data and its id. Neither the number of
loading processes nor a restart changes them, and an utterance that comes again in the same epoch is drawn anew.
"""

import hashlib
import math
from fractions import Fraction
from functools import lru_cache
from typing import Callable, Dict, Iterator, List, Mapping, Sequence, Tuple, Union

import numpy as np
from espnet2.samplers.abs_sampler import AbsSampler
from torch.utils.data import Dataset

from espnet_llmasr import audio
from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.data.noise import mix, noise_source, power
from espnet_llmasr.train.preprocessor import Utterance

SLOWEST, FASTEST = 0.5, 2.0
BETA = (1.0, 3.0)  # of the padding, as NIM4-ASR


class Augmentation:
    """Changes the speech of a training utterance; its target stays as it is, unless nothing of the speech is left.

    Args:
        frontend: its rate and windows tell how many feature frames an utterance has.
        output_lengths: encoder frames for a number of feature frames.
        seed: of the training.
        frames_needed: encoder frames that the target of an utterance needs (CTC). An utterance that would have fewer at
            a drawn speed keeps its speed.
        emptied: an utterance -> the same with the target of audio without speech.
        speed: factors, drawn with equal chances; 0.9 makes longer and lower. Empty: off.
        noise_prob: share of utterances that get silence and noise.
        nonspeech_prob: share of utterances whose speech is replaced by noise of the same length and the level that the
            ratio gives; their target is empty.
        noise: a folder of audio files, a kind of `sounds.KINDS`, or a list of such, drawn with equal chances.
        snr_db: mean and standard deviation of the normal distribution of the signal-to-noise ratio.
        max_pad_s: silence of max_pad_s * Beta(1, 3) seconds is put before, and another after, the speech.
    Raises ValueError for a value that is not allowed, or noise that does not exist.
    """

    def __init__(
        self,
        frontend: Frontend,
        output_lengths: Callable[[int], int],
        seed: int,
        frames_needed: Callable[[Utterance], int],
        emptied: Callable[[Utterance], Utterance],
        speed: Sequence[float] = (),
        noise_prob: float = 0.0,
        nonspeech_prob: float = 0.0,
        noise: Union[str, Sequence[str]] = "",
        snr_db: Tuple[float, float] = (10.0, 5.0),
        max_pad_s: float = 1.0,
    ):
        self.rate, self.windows, self.output_lengths = frontend.fs, frontend.windows, output_lengths
        self.seed, self.frames_needed, self.emptied = seed, frames_needed, emptied
        self.speeds = [_speed(factor) for factor in _as_list(speed)]
        self.noise_prob = _number("noise_prob", noise_prob, 0.0, 1.0)
        self.nonspeech_prob = _number("nonspeech_prob", nonspeech_prob, 0.0, 1.0)
        if not isinstance(snr_db, (list, tuple)) or len(snr_db) != 2:
            raise ValueError(f"--augment_conf has snr_db={snr_db!r}, expected mean and standard deviation: [10.0, 5.0]")
        limits = (("mean of snr_db", -100.0, 100.0), ("deviation of snr_db", 0.0, 50.0))
        self.snr_db = tuple(_number(name, value, *ends) for value, (name, *ends) in zip(snr_db, limits))
        self.max_pad_s = _number("max_pad_s", max_pad_s, 0.0, 10.0)
        names = _as_list(noise)
        if bool(names) != (self.noise_prob + self.nonspeech_prob > 0):
            raise ValueError(
                f"--augment_conf has noise_prob={noise_prob}, nonspeech_prob={nonspeech_prob} and noise={noise!r}: give "
                "noise and a probability, or none, such as noise_prob=0.2 and noise=[babble, vehicle, music]"
            )
        self.sources = [noise_source(str(name), self.rate) for name in names]

    @property
    def is_on(self) -> bool:
        return bool(self.speeds or self.sources)

    def __call__(self, pass_seed: int, uid: str, data: Utterance) -> Utterance:
        """One utterance in one pass over the data: a copy whose "speech" (N,) is changed, float32."""
        rng = _random_numbers(self.seed, pass_seed, uid)
        speech = data["speech"]
        if self.nonspeech_prob and rng.random() < self.nonspeech_prob:
            return {**self.emptied(data), "speech": self._noise_alone(speech, rng)}
        if self.speeds:
            speech = self._at_speed(speech, self.speeds[rng.integers(len(self.speeds))], self.frames_needed(data))
        if rng.random() < self.noise_prob:
            speech = self._with_noise(speech, rng)
        return {**data, "speech": speech}

    def _at_speed(self, speech: np.ndarray, speed: Fraction, frames_needed: int) -> np.ndarray:
        """(N,) -> (ceil(N / speed),), unless that leaves too few frames."""
        encoder_frames = self.output_lengths(self.windows.count(_ceil_div(len(speech), speed)))
        if speed == 1 or encoder_frames < max(1, frames_needed):
            return speech
        return audio.resample(speech, speed.numerator, speed.denominator).astype(np.float32, copy=False)

    def _with_noise(self, speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Silence before and after, and noise over all of it."""
        before, after = (rng.beta(*BETA, size=2) * self.max_pad_s * self.rate).astype(int)
        snr_db = rng.normal(*self.snr_db)
        noise = self.sources[rng.integers(len(self.sources))](before + len(speech) + after, rng)
        return mix(np.pad(speech, (before, after)), noise, power(speech), snr_db)

    def _noise_alone(self, speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noise as long as speech (N,), quieter than it by the ratio that is drawn."""
        noise = self.sources[rng.integers(len(self.sources))](len(speech), rng)
        return mix(np.zeros_like(speech), noise, power(speech), rng.normal(*self.snr_db))

    def longest(self, frames: Mapping[str, int]) -> Dict[str, int]:
        """The most feature frames of each utterance after augmentation, by id; `frames` are those of the files."""
        slowest = min([Fraction(1), *self.speeds])
        padding = 2 * math.ceil(self.max_pad_s * self.rate) if self.noise_prob else 0

        @lru_cache(None)
        def most(count: int) -> int:
            samples = self.windows.size + count * self.windows.shift - 1  # one more would be another frame
            return self.windows.count(_ceil_div(samples, slowest) + padding)

        return {uid: most(count) for uid, count in frames.items()}


class NumberedBatches(AbsSampler):
    """Batches as (seed of the pass over the data, ids): ESPnet asks for each pass, in any epoch, after any restart."""

    def __init__(self, batches: AbsSampler):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[List[str]]:
        return iter(self.batches)

    def generate(self, seed: int) -> List[Tuple[int, List[str]]]:
        return [(seed, batch) for batch in self.batches.generate(seed)]


class AugmentedDataset(Dataset):
    """The utterances of a `NumberedBatches` batch, augmented."""

    def __init__(self, dataset: Dataset, augmentation: Augmentation):
        self.dataset, self.augmentation = dataset, augmentation

    def __getitems__(self, batch: Tuple[int, List[str]]) -> List[Tuple[str, Utterance]]:
        """What torch's loader calls with a whole batch."""
        pass_seed, uids = batch
        return [(uid, self.augmentation(pass_seed, uid, data)) for uid, data in map(self.dataset.__getitem__, uids)]


def _random_numbers(*key: object) -> np.random.Generator:
    digest = hashlib.blake2b(" ".join(map(str, key)).encode("utf-8"), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def _ceil_div(count: int, speed: Fraction) -> int:
    return -(-count * speed.denominator // speed.numerator)


def _as_list(value: object) -> list:
    """A list as it is, [] for None or "", else [value]."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return [] if value in (None, "") else [value]


def _speed(factor: float) -> Fraction:
    hundredths = round(100 * _number("speed", factor, SLOWEST, FASTEST))
    if abs(hundredths - 100 * factor) > 1e-6:
        raise ValueError(f"--augment_conf has speed {factor}, allowed are steps of 0.01, such as 0.9 or 1.05")
    return Fraction(hundredths, 100)


def _number(name: str, value: object, least: float, most: float) -> float:
    if not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"--augment_conf has {name} {value!r}, allowed are numbers from {least:g} to {most:g}")
    return float(value)
