"""Noise made from random numbers alone, quick enough for a data loader.

Each function: N samples wanted, random numbers, rate in Hz -> float32 (N,). The level is arbitrary: the mixer sets it.
Stationary kinds are drawn as a spectrum and transformed once; babble and music are sums of short pitched sounds.
"""

from functools import lru_cache
from typing import Callable, Dict, Sequence, Tuple

import numpy as np
from numpy.random import Generator

TABLE = 2048  # samples of one period of a pitched sound
LOWEST_HZ = 20.0  # below this, 1/f noise is only a drift
NUM_SYLLABLES, NUM_TALKERS, SYLLABLE_SHIFT_S = 64, 6, 0.22
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])  # half tones of a major key
NOTE_S = 0.8
CLICK_S = 0.02


def white(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    return rng.standard_normal(num_samples, dtype=np.float32)


def pink(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """Power ~ 1 / f."""
    return _coloured(num_samples, rng, rate, lambda hertz: hertz**-0.5)


def brown(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """Power ~ 1 / f^2."""
    return _coloured(num_samples, rng, rate, lambda hertz: hertz**-1.0)


def hum(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """The mains at 50 or 60 Hz with ten harmonics over a faint hiss."""
    lines = [(harmonic, rng.uniform(0.2, 1.0) / harmonic) for harmonic in range(1, 11)]
    mains = rng.choice([50.0, 60.0])
    hiss = 0.01
    return _coloured(num_samples, rng, rate, lambda hertz: np.full_like(hertz, hiss), mains, lines)


def vehicle(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """Rumble that falls by 12 dB per octave above some 80 Hz, the lines of an engine, a little wind."""
    corner, wind = rng.uniform(50.0, 120.0), rng.uniform(0.001, 0.01)
    lines = [(harmonic, rng.uniform(0.0, 0.3) / harmonic) for harmonic in range(1, 9)]
    firing = rng.uniform(25.0, 80.0)
    return _coloured(num_samples, rng, rate, lambda hertz: 1.0 / (1.0 + (hertz / corner) ** 2) + wind, firing, lines)


def babble(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """Six talkers at different distances, each a stream of vowel-like syllables with pauses."""
    bank = _syllables(rate)
    out = np.zeros(num_samples, dtype=np.float32)
    for level in rng.uniform(0.3, 1.0, NUM_TALKERS):
        begins = np.cumsum(rng.uniform(0.5, 1.5, 2 + int(num_samples / rate / SYLLABLE_SHIFT_S * 2)))
        begins = ((begins - rng.uniform(0.5, 1.5)) * SYLLABLE_SHIFT_S * rate).astype(int)
        spoken = begins[(begins < num_samples) & (rng.random(len(begins)) < 0.9)]
        for begin, number in zip(spoken, rng.integers(NUM_SYLLABLES, size=len(spoken))):
            _add(out, bank[number], begin, level)
    return out


def music(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """Chords of three plucked notes of one major key, in time with one beat."""
    root, beat = rng.uniform(80.0, 160.0), rng.uniform(0.25, 0.6)
    period = _period(1.0 / np.arange(1, 9) ** rng.uniform(0.5, 2.0), rng)
    time = np.arange(int(NOTE_S * rate), dtype=np.float32) / rate
    envelope = np.exp(-time / rng.uniform(0.15, 0.5)) * np.minimum(1.0, time / 0.005)
    out = np.zeros(num_samples, dtype=np.float32)
    for begin in range(0, num_samples, int(beat * rate)):
        for half_tones in rng.choice(SCALE, 3, replace=False) + 12 * rng.integers(0, 3, 3):
            hertz = root * 2.0 ** (half_tones / 12)
            _add(out, envelope * _look_up(period, time * hertz), begin, 1.0)
    return out


def clicks(num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """Short damped knocks, 1 to 20 a second at random times (one at least), each at its own pitch and level."""
    out = np.zeros(num_samples, dtype=np.float32)
    number = 1 + rng.poisson(rng.uniform(1.0, 20.0) * num_samples / rate)
    time = np.arange(int(CLICK_S * rate), dtype=np.float32) / rate
    for begin, level in zip(rng.integers(num_samples, size=number), rng.uniform(0.1, 1.0, number)):
        pitch, decay_s = rng.uniform(300.0, 0.45 * rate), rng.uniform(0.0003, 0.004)
        _add(out, np.exp(-time / decay_s) * np.cos(2 * np.pi * pitch * time), begin, level)
    return out


KINDS: Dict[str, Callable[[int, Generator, int], np.ndarray]] = dict(
    babble=babble, brown=brown, clicks=clicks, hum=hum, music=music, pink=pink, vehicle=vehicle, white=white
)


def _coloured(
    num_samples: int,
    rng: Generator,
    rate: int,
    amplitude: Callable[[np.ndarray], np.ndarray],
    fundamental_hz: float = 0.0,
    lines: Sequence[Tuple[int, float]] = (),
) -> np.ndarray:
    """Gaussian noise of an amplitude spectrum, with lines (harmonic, amplitude) on the nearest bins."""
    from scipy import fft  # slow to import

    size = fft.next_fast_len(num_samples, real=True)
    hertz = fft.rfftfreq(size, 1.0 / rate).astype(np.float32)
    parts = rng.standard_normal((2, len(hertz)), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * amplitude(np.maximum(hertz, LOWEST_HZ))
    spectrum[0] = 0.0
    for harmonic, level in lines:
        bin_ = min(round(harmonic * fundamental_hz * size / rate), len(hertz) - 1)
        spectrum[bin_] += level * np.sqrt(size) * np.exp(2j * np.pi * rng.random())
    return fft.irfft(spectrum, size)[:num_samples].astype(np.float32, copy=False)


def _add(out: np.ndarray, sound: np.ndarray, begin: int, level: float) -> None:
    """Adds `level` times `sound` at `begin` (may be negative), as far as it lies within `out`."""
    first, last = max(0, begin), min(len(out), begin + len(sound))
    if first < last:
        out[first:last] += np.float32(level) * sound[first - begin : last - begin]


def _period(amplitudes: np.ndarray, rng: Generator) -> np.ndarray:
    """One period (TABLE,) with these amplitudes of the harmonics 1, 2, ... and random phases."""
    spectrum = np.zeros(TABLE // 2 + 1, dtype=complex)
    spectrum[1 : 1 + len(amplitudes)] = amplitudes * np.exp(2j * np.pi * rng.random(len(amplitudes)))
    return np.fft.irfft(spectrum * TABLE).astype(np.float32)


def _look_up(period: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """The sound of a period at each time, given in cycles (N,)."""
    return period[(cycles * TABLE).astype(np.int64) % TABLE]


@lru_cache(maxsize=None)
def _syllables(rate: int) -> Tuple[np.ndarray, ...]:
    """NUM_SYLLABLES vowels of 0.12 to 0.35 s with a gliding pitch of 80 to 260 Hz; the same in every process."""
    rng = np.random.default_rng(0)
    return tuple(_syllable(rng, rate) for _ in range(NUM_SYLLABLES))


def _syllable(rng: Generator, rate: int) -> np.ndarray:
    size = int(rng.uniform(0.12, 0.35) * rate)
    pitch = rng.uniform(80.0, 260.0)
    harmonics = pitch * np.arange(1, int(min(4000.0, 0.4 * rate) / pitch) + 1)
    formants = rng.uniform([300.0, 900.0, 2300.0], [800.0, 2200.0, 3000.0])
    resonance = sum(1.0 / (1.0 + ((harmonics - formant) / 100.0) ** 2) for formant in formants)
    glide = np.linspace(pitch, pitch * rng.uniform(0.8, 1.2), size)
    vowel = _look_up(_period(resonance / np.sqrt(harmonics), rng), np.cumsum(glide) / rate)
    return (np.hanning(size) * vowel / np.sqrt(np.mean(vowel**2))).astype(np.float32)
