"""Clips in which nobody says anything, and voices so many at once that nobody can be understood.

N samples of a clip at `rate` Hz, float32.
"""

from typing import Callable, Dict, List, Sequence

import numpy as np
from numpy.random import Generator

from espnet_llmasr import audio
from espnet_llmasr.files import read_rows
from espnet_llmasr.data.noise import KINDS

VOICES = 24  # at any time; each lies 14 dB below the others together
PIECE_S = 0.1, 0.4  # shorter than most words, cut anywhere
POOL, POOL_S = 200, 4.0  # utterances that the pieces come from, and what is read of each

Sound = Callable[[int, Generator], np.ndarray]


def sounds(voices: Sequence[np.ndarray], rate: int) -> Dict[str, Sound]:
    """Kind -> generator (N, random numbers) -> (N,); the level means nothing but that of silence."""

    def noise(kind: str) -> Sound:
        return lambda num_samples, rng: KINDS[kind](num_samples, rng, rate)

    return {
        "silence": silence,
        **{kind: noise(kind) for kind in ("white", "pink", "brown", "hum", "clicks", "music")},
        "babble": lambda num_samples, rng: babble(voices, num_samples, rng, rate),
    }


def silence(num_samples: int, rng: Generator) -> np.ndarray:
    """Digital zeros, or as often triangular dither of one step of 16 bits."""
    if rng.random() < 0.5:
        return np.zeros(num_samples, dtype=np.float32)
    return (rng.random(num_samples, dtype=np.float32) - rng.random(num_samples, dtype=np.float32)) / 32768


def babble(voices: Sequence[np.ndarray], num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """VOICES streams of pieces of random utterances, one piece faded into the next, all equally loud."""
    margin = int(PIECE_S[1] * rate)
    out = np.zeros(margin + num_samples + margin, dtype=np.float32)
    for _ in range(VOICES):
        begin = rng.integers(margin)
        while begin < margin + num_samples:
            piece = _piece(voices[rng.integers(len(voices))], int(rng.uniform(*PIECE_S) * rate), rng)
            out[begin : begin + len(piece)] += piece
            begin += max(1, len(piece) // 2)
    return out[margin : margin + num_samples]


def _piece(voice: np.ndarray, size: int, rng: Generator) -> np.ndarray:
    """`size` samples from anywhere in an utterance, or all of a shorter one, faded in and out."""
    begin = rng.integers(max(1, len(voice) - size + 1))
    piece = voice[begin : begin + size]
    return piece * np.hanning(len(piece)).astype(np.float32)


def read_voices(wav_scp: str, seed: int, rate: int) -> List[np.ndarray]:
    """Up to POOL utterances of a training set drawn at random, POOL_S seconds of each, all at one level.

    Raises:
        ValueError: no such table, fewer than VOICES utterances, or audio that cannot be read (audio.AudioError).
    """
    total = sum(1 for _ in read_rows(wav_scp))
    if total < VOICES:
        raise ValueError(
            f"{wav_scp} has {total} utterances, babble needs {VOICES} or more: give the table of a training set"
        )
    drawn = set(np.random.default_rng(seed).choice(total, min(POOL, total), replace=False).tolist())
    entries = [entry for number, (_, entry) in enumerate(read_rows(wav_scp)) if number in drawn]
    voices = [audio.read(entry, rate)[: int(POOL_S * rate)] for entry in entries]
    return [voice / (np.sqrt(np.mean(voice**2)) + 1e-6) for voice in voices]
