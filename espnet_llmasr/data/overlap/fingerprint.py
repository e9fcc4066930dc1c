"""Fingerprints of audio that stay the same in another container, at another rate or gain, and cut elsewhere.

After Haitsma and Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002): the signs of the differences of
band energies between neighbouring bands and two moments, 32 bits for each moment. Unlike there, the moments are 96 ms
apart; so the indexed side may step in 12 ms and the side that is looked up in 96 ms, which costs an eighth.
"""

from typing import NamedTuple

import numpy as np
import scipy.fft

RATE = 5000  # Hz; only what lies below 2 kHz counts
WINDOW, STEP, LAG = 1800, 60, 480  # samples: 360, 12 and 96 ms
STEPS_PER_LAG = LAG // STEP
BANDS, LOWEST_HZ, HIGHEST_HZ = 33, 300.0, 2000.0
QUIET = 1e-5  # of the loudest window, in power: 50 dB below
MIN_CHANGE = 0.05  # mean change of a band energy, relative: less is a steady tone
BLOCK = 2048  # windows transformed at once

WEAK = 4  # bits of a word that are tried both ways when it is looked up

_BIN_HZ = RATE / WINDOW
_EDGES = np.round(np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1) / _BIN_HZ).astype(int)
_HANN = np.hanning(WINDOW).astype(np.float32)
_BITS = (1 << np.arange(BANDS - 1, dtype=np.uint64)).astype(np.uint32)


class Fingerprint(NamedTuple):
    words: np.ndarray
    """(F,) uint32, 32 signs for each moment."""
    valid: np.ndarray
    """(F,) bool; False where it is too quiet or too steady for the signs to mean anything."""
    weakest: np.ndarray
    """(F, WEAK) uint32, the least certain bits of each word, one set bit each."""


def fingerprint(samples: np.ndarray, rate_hz: int, step: int) -> Fingerprint:
    """Of mono samples (N,); a moment every `step` samples of RATE: STEP or LAG. F is 0 below WINDOW + LAG."""
    bands = band_energies(to_low_rate(samples, rate_hz), step)
    power = bands.sum(axis=1)
    lag = LAG // step
    level = np.sqrt(bands)
    slope = level[:, :-1] - level[:, 1:]
    change = slope[lag:] - slope[:-lag]
    size = np.abs(change)
    loud = power > max(QUIET * power.max(initial=0.0), 1e-12)
    moved = size.sum(axis=1) > MIN_CHANGE * level[lag:].sum(axis=1)
    weakest = np.argpartition(size, WEAK, axis=1)[:, :WEAK] if len(size) else np.zeros((0, WEAK), int)
    words = ((change > 0) * _BITS).sum(axis=1, dtype=np.uint32)
    return Fingerprint(words, loud[lag:] & loud[:-lag] & moved, _BITS[weakest])


def to_low_rate(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """(N,) -> (N * RATE / rate_hz,): the spectrum of the whole is cut off, which is exact and fast at every rate."""
    unit = rate_hz * WINDOW // RATE
    units = max(1, -(-len(samples) // unit))
    low = scipy.fft.irfft(scipy.fft.rfft(samples, units * unit)[: units * WINDOW // 2 + 1], units * WINDOW)
    return low[: len(samples) * RATE // rate_hz] * np.float32(WINDOW / unit)


def band_energies(samples: np.ndarray, step: int) -> np.ndarray:
    """(N,) at RATE -> (1 + (N - WINDOW) // step, BANDS)"""
    if len(samples) < WINDOW:
        return np.zeros((0, BANDS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::step]
    return np.concatenate([_band_energies(windows[at : at + BLOCK]) for at in range(0, len(windows), BLOCK)])


def _band_energies(windows: np.ndarray) -> np.ndarray:
    spectrum = scipy.fft.rfft(windows * _HANN)[:, : _EDGES[-1]]
    return np.add.reduceat(spectrum.real**2 + spectrum.imag**2, _EDGES[:-1], axis=1)
