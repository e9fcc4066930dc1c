"""Noise to mix into training audio: pieces of the audio files in a folder, or generated without any file.

A source maps (number of samples, random numbers) to float32 samples (N,) of any level.
"""

import logging
import math
from functools import lru_cache, partial
from pathlib import Path
from typing import Callable, Tuple

import numpy as np
from numpy.random import Generator

from espnet_llmasr import audio
from espnet_llmasr.data.sounds import KINDS

Source = Callable[[int, Generator], np.ndarray]


def noise_source(name: str, rate: int) -> Source:
    """The generator of that name, or a folder of audio files.

    Raises ValueError for neither, for a folder without audio, or for a file in it that cannot be read.
    """
    if name in KINDS:
        return partial(KINDS[name], rate=rate)
    if not Path(name).is_dir():
        raise ValueError(f"noise '{name}' is neither a folder of audio files nor one of {', '.join(KINDS)}")
    return NoiseFolder(name, rate)


class NoiseFolder:
    """A random piece of a random file; a file that is too short is looped.

    Every file is as likely, however long it is. All headers are read at the start. To find a piece of an mp3, all that
    precedes it is decoded: cut or convert mp3 files of 10 minutes and more.
    """

    def __init__(self, folder: str, rate: int):
        self.files, self.rate = audio_files(folder), rate

    def __call__(self, num_samples: int, rng: Generator) -> np.ndarray:
        """Raises ValueError if a file is damaged behind its header."""
        path, seconds = self.files[rng.integers(len(self.files))]
        wanted_s = num_samples / self.rate
        if wanted_s < seconds:
            start = rng.uniform(0.0, seconds - wanted_s)
            return np.resize(self._read(audio.Entry(path, start=start, end=start + wanted_s)), num_samples)
        whole = self._read(audio.Entry(path))
        return np.resize(np.roll(whole, -rng.integers(len(whole))), num_samples)

    def _read(self, entry: audio.Entry) -> np.ndarray:
        try:
            return audio.read(str(entry), self.rate)
        except audio.AudioError as error:  # a type of its own would not come through from a data-loading process
            raise ValueError(f"noise {error}: repair or remove the file") from error


@lru_cache(maxsize=None)
def audio_files(folder: str) -> Tuple[Tuple[str, float], ...]:
    """Paths and seconds of all audio files below `folder` (links are followed), sorted.

    Raises ValueError if there is none, or for a file that cannot be read.
    """
    paths = sorted(map(str, audio.find_files(folder)))
    if not paths:
        raise ValueError(f"noise folder {folder} has no audio files ({' '.join(audio.SUFFIXES)})")
    try:
        files = tuple((path, audio.info(path).seconds) for path in paths)
    except audio.AudioError as error:
        raise ValueError(f"noise {error}: repair or remove the file") from error
    logging.info("noise: %d files of %s, %.2f h", len(files), folder, sum(seconds for _, seconds in files) / 3600)
    return files


def power(samples: np.ndarray) -> float:
    """Mean square of (N,)."""
    return float(np.mean(np.square(samples, dtype=np.float64)))


def mix(speech: np.ndarray, noise: np.ndarray, speech_power: float, snr_db: float) -> np.ndarray:
    """Adds noise (N,) to padded speech (N,), float32; the whole is scaled down if its peak would exceed 1.

    The ratio is that of the mean power of the whole speech without its padding (pauses within count as speech) to
    the mean power of the whole noise. Nothing is added if either is silent.
    """
    noise_power = power(noise)
    if not speech_power or not noise_power:
        return speech
    gain = math.sqrt(speech_power / noise_power) * 10.0 ** (-snr_db / 20)
    mixed = speech + gain * noise.astype(np.float64)
    return (mixed / max(1.0, np.abs(mixed).max())).astype(np.float32)
