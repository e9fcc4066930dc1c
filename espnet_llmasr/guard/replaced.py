"""Audio that does not belong to its transcript: noise, or what another utterance says.  N samples."""

from typing import Dict, Mapping

import numpy as np

from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.data.sounds import KINDS

TRIES = 1000  # draws of another utterance before all transcripts are taken to be the same


def noise_like(samples: np.ndarray, number: int, seed: int, rate: int) -> np.ndarray:
    """Synthetic noise as long and as loud (RMS) as samples (N,); utterance `number` has the kind number % kinds."""
    kind = list(KINDS.values())[number % len(KINDS)]
    noise = kind(len(samples), np.random.default_rng([seed, number]), rate)
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)) / max(np.mean(np.square(noise)), 1e-20))
    return (noise * level).astype(np.float32)


def others(texts: Mapping[str, str], seed: int) -> Dict[str, str]:
    """id -> the id of another utterance, drawn at random among those with other words.

    Raises:
        ValueError: all utterances have the same words.
    """
    ids, rng = sorted(texts), np.random.default_rng(seed)
    words = {uid: score_tokens(text) for uid, text in texts.items()}
    found = {}
    for uid in ids:
        draws = (ids[rng.integers(len(ids))] for _ in range(TRIES))
        found[uid] = next((other for other in draws if words[other] != words[uid]), None)
        if found[uid] is None:
            raise ValueError(f"no utterance has other words than {uid}: the test needs a set with several transcripts")
    return found


def half_replaced(samples: np.ndarray, other: np.ndarray) -> np.ndarray:
    """samples (N,) whose second half comes from `other` (M,), repeated if it is short."""
    half = len(samples) // 2
    return np.concatenate([samples[:half], np.resize(other, len(samples) - half)])
