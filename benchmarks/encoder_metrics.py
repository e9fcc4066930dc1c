"""Speed and memory of NSE, PAI, CSAI and CKA at the paper's size (d = 1280, 25 Hz), on two cores.

    python benchmarks/encoder_metrics.py            (about a minute; prints the table of encoder_metrics.md)

Features are random, drawn one utterance at a time; drawing them is not timed, since an encoder has its own cost.
"""

import time
from collections import Counter

import torch
from common import peak_mb, table

from espnet_llmasr.metrics.accessible_information import pool
from espnet_llmasr.metrics.cka import linear_cka
from espnet_llmasr.metrics.encoder_metrics import permutation_baseline, set_metrics
from espnet_llmasr.metrics.spectral_entropy import nse

UTTERANCES, FRAMES, WIDTH = 1000, 250, 1280
PHONES, EMBEDDING, LLM_WIDTH = 150, 4096, 2048  # Qwen3-Embedding-8B has 4096, an LLM of 1.7B has 2048


class Clock(Counter):
    """Seconds by name."""

    def time(self, name, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        self[name] += time.perf_counter() - start
        return result


def draw(length, width, generator):
    """(length, width) in float32, directions of unequal strength, as encoders give."""
    return torch.randn(length, width, generator=generator) * torch.logspace(0, -2, width) + 0.1


def metrics():
    generator, clock = torch.Generator().manual_seed(0), Clock()
    at_start, pooled, means = peak_mb(), [], []
    for _ in range(UTTERANCES):
        frames = draw(FRAMES, WIDTH, generator)
        other = frames + 0.3 * draw(FRAMES, WIDTH, generator)
        clock.time("NSE", nse, frames)
        clock.time("CKA between two encoders (Eq. 12)", linear_cka, frames, other)
        pooled.append(clock.time("PAI and CSAI: pooling", pool, frames))
        means.append(clock.time("CKA with text (Eq. 10)", frames.mean, 0))
    phonetic = torch.rand(UTTERANCES, PHONES, generator=generator)
    phonetic /= phonetic.sum(dim=1, keepdim=True)
    targets = torch.stack(pooled), phonetic, torch.randn(UTTERANCES, EMBEDDING, generator=generator)
    text = torch.randn(UTTERANCES, LLM_WIDTH, generator=generator)
    clock.time("CKA with text (Eq. 10)", linear_cka, torch.stack(means), text)
    clock.time("PAI and CSAI", set_metrics, *targets)
    clock["all four metrics"] = clock.total()
    clock.time("their permutation baseline (20 permutations), besides", permutation_baseline, *targets)
    table(("figure", "seconds"), ((name, f"{seconds:.1f}") for name, seconds in clock.items()))
    print(f"\nPeak memory {peak_mb():.0f} MiB, of which {at_start:.0f} MiB are Python and torch.")


if __name__ == "__main__":
    torch.set_num_threads(2)
    metrics()
