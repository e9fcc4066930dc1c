"""Speed, memory and bias of NSE, PAI, CSAI and CKA at the paper's size (d = 1280, 25 Hz), on two cores.

    python benchmarks/encoder_metrics.py            (about 6 minutes; prints the tables of encoder_metrics.md)

Features are random, drawn one utterance at a time; drawing them is not timed, since an encoder has its own cost.
"""

import math
import time
from collections import Counter

import torch
from common import head, peak_mb, row

from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool
from espnet_llmasr.metrics.cka import feature_cka, gram_cka, linear_cka
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
    head("figure", "seconds")
    for name, seconds in [*clock.items(), ("all four metrics", clock.total())]:
        row(name, f"{seconds:.1f}")
    clock.time("20 permutations", permutation_baseline, *targets)
    row("their permutation baseline (20 permutations), besides", f"{clock['20 permutations']:.1f}")
    print(f"\nPeak memory {peak_mb():.0f} MiB, of which {at_start:.0f} MiB are Python and torch.")


def forms():
    """The Gram form against the feature form."""
    generator, repeats = torch.Generator().manual_seed(0), 5
    head("frames", "d", "Gram ms", "feature ms", "taken", "difference")
    for length, width in ((250, 1280), (750, 1280), (2500, 1280), (250, 256), (1500, 256)):
        a = draw(length, width, generator)
        b = a + 0.3 * draw(length, width, generator)
        clock = Clock()
        for _ in range(repeats):
            by_gram, by_features = clock.time("gram", gram_cka, a, b), clock.time("features", feature_cka, a, b)
        taken = "Gram" if linear_cka(a, b) == by_gram else "feature"
        times = (f"{1000 * clock[name] / repeats:.1f}" for name in ("gram", "features"))
        row(length, width, *times, taken, f"{abs(by_gram - by_features):.1e}")


def expected_bias(count, k, given=0):
    """Bits that independent Gaussian u and P (or C, `given` k coordinates of P) seem to share at ridge 0."""
    degrees, order = count - 1 - given, torch.arange(k, dtype=torch.float64)
    gap = torch.digamma((degrees - order) / 2) - torch.digamma((degrees - k - order) / 2)
    return gap.sum().item() / (2 * math.log(2))


def bias():
    """PAI and CSAI of independent noise, the permutation baseline and the theory."""
    generator = torch.Generator().manual_seed(0)
    head("utterances", "k", "lambda", *("PAI of noise", "baseline", "theory"), *("CSAI of noise", "baseline", "theory"))
    for count, k, ridge in ((100, 8, 0.0), (300, 16, 0.0), (1000, 16, 0.0), (1000, 16, 0.01), (1000, 64, 0.01)):
        noise = [torch.randn(count, width, generator=generator) for width in (512, PHONES, 256)]
        bits = set_metrics(*noise, EstimatorConfig(k, ridge))
        mean = permutation_baseline(*noise, EstimatorConfig(k, ridge))
        cells = []
        for name, given in (("pai", 0), ("csai", k)):
            cells += [f"{bits[name]:.3f}", f"{mean[name]:.3f} ± {mean[f'{name}_std']:.3f}"]
            cells += [f"{expected_bias(count, k, given):.3f}"]
        row(count, k, ridge, *cells)


if __name__ == "__main__":
    torch.set_num_threads(2)
    metrics()  # first: the peak memory is its own
    forms()
    bias()
