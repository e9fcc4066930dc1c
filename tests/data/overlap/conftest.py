import numpy as np
import pytest
from scipy.signal import lfilter

PITCH, FORMANTS = 110.0, np.array([[700, 1100], [300, 2200], [400, 800], [550, 1800], [350, 1200], [600, 1500]])


def say(text: int, speaker: int, seconds: float, take: int = 0, rate: int = 16000) -> np.ndarray:
    """A made-up voice: `text` chooses the sounds, `speaker` pitch and formants, `take` tempo and intonation."""
    words, person, how = (np.random.default_rng([seed, 7]) for seed in (text, 1000 + speaker, 2000 + take))
    scale, pitch = person.uniform(0.85, 1.2), PITCH * person.uniform(0.8, 2.0)
    drift, noise = np.random.default_rng([speaker, take]), np.random.default_rng([text, speaker, take])
    pieces = []
    while sum(map(len, pieces)) < seconds * rate:
        n = int(rate * words.uniform(0.08, 0.25) * how.uniform(0.85, 1.15))
        formants = FORMANTS[words.integers(len(FORMANTS))] * scale * drift.uniform(0.95, 1.05, 2)
        hz = pitch * drift.uniform(0.85, 1.15) * np.linspace(1, drift.uniform(0.9, 1.1), n)
        source = np.mod(np.cumsum(hz) / rate, 1.0) - 0.5 + 0.05 * noise.standard_normal(n)
        for formant in formants:
            r = np.exp(-np.pi * 90 / rate)
            source = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * formant / rate), r * r], source)
        pieces.append(source * np.hanning(n) ** 0.3 / np.abs(source).max() * words.uniform(0.3, 1.0))
    return (0.3 * np.concatenate(pieces)[: int(seconds * rate)]).astype(np.float32)


@pytest.fixture
def voice():
    return say
