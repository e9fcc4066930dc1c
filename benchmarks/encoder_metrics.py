#!/usr/bin/env python3
"""Speed, memory and bias of NSE, PAI, CSAI and CKA at the paper's size (d = 1280, 25 Hz), on two cores.

    python benchmarks/encoder_metrics.py            (about 6 minutes; prints what stands in encoder_metrics.md)
    python benchmarks/encoder_metrics.py metrics    (one part: metrics, forms or bias)

Every part runs in a process of its own, so that its peak memory is its own. Features are random, drawn one utterance
at a time, and drawing them is not timed: it stands for the encoder, which has its own cost.
"""

import math
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool  # noqa: E402
from espnet_llmasr.metrics.cka import feature_cka, gram_cka, linear_cka  # noqa: E402
from espnet_llmasr.metrics.encoder_metrics import permutation_baseline, set_metrics  # noqa: E402
from espnet_llmasr.metrics.spectral_entropy import nse  # noqa: E402

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


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def metrics():
    """All four metrics of 1,000 utterances of 10 s."""
    generator, clock = torch.Generator().manual_seed(0), Clock()
    at_start, pooled, means, entropies, similarities = peak_mib(), [], [], [], []
    for _ in range(UTTERANCES):
        frames = draw(FRAMES, WIDTH, generator)
        other = frames + 0.3 * draw(FRAMES, WIDTH, generator)
        entropies.append(clock.time("NSE", nse, frames))
        similarities.append(clock.time("CKA between two encoders (Eq. 12)", linear_cka, frames, other))
        pooled.append(clock.time("PAI and CSAI: pooling", pool, frames))
        means.append(clock.time("CKA with text (Eq. 10)", frames.mean, 0))
    phonetic = torch.rand(UTTERANCES, PHONES, generator=generator)
    phonetic /= phonetic.sum(dim=1, keepdim=True)
    targets = torch.stack(pooled), phonetic, torch.randn(UTTERANCES, EMBEDDING, generator=generator)
    text = torch.randn(UTTERANCES, LLM_WIDTH, generator=generator)
    clock.time("CKA with text (Eq. 10)", linear_cka, torch.stack(means), text)
    clock.time("PAI and CSAI", set_metrics, *targets)
    print("| figure | seconds |\n|---|---|")
    for name, seconds in [*clock.items(), ("all four metrics", clock.total())]:
        print(f"| {name} | {seconds:.1f} |")
    clock.time("20 permutations", permutation_baseline, *targets)
    print(f"| their permutation baseline (20 permutations), besides | {clock['20 permutations']:.1f} |")
    mean_nse, mean_cka = (torch.stack(values).mean().item() for values in (entropies, similarities))
    print(f"\nPeak memory {peak_mib():.0f} MiB, of which {at_start:.0f} MiB are Python and torch.")
    print(f"Mean NSE {mean_nse:.4f}, mean CKA {mean_cka:.4f}.")


def forms():
    """The Gram form against the feature form."""
    generator, repeats = torch.Generator().manual_seed(0), 5
    print("| frames | d | Gram ms | feature ms | taken | difference |\n|---|---|---|---|---|---|")
    for length, width in ((250, 1280), (750, 1280), (2500, 1280), (250, 256), (1500, 256)):
        a = draw(length, width, generator)
        b = a + 0.3 * draw(length, width, generator)
        clock = Clock()
        for _ in range(repeats):
            by_gram, by_features = clock.time("gram", gram_cka, a, b), clock.time("features", feature_cka, a, b)
        taken = "Gram" if linear_cka(a, b) == by_gram else "feature"
        seconds = " | ".join(f"{1000 * clock[name] / repeats:.1f}" for name in ("gram", "features"))
        print(f"| {length} | {width} | {seconds} | {taken} | {abs(by_gram - by_features):.1e} |")


def expected_bias(count, k, given=0):
    """Bits that independent Gaussian u and P (or C, `given` k coordinates of P) seem to share at ridge 0."""
    degrees, order = count - 1 - given, torch.arange(k, dtype=torch.float64)
    gap = torch.digamma((degrees - order) / 2) - torch.digamma((degrees - k - order) / 2)
    return gap.sum().item() / (2 * math.log(2))


def bias():
    """PAI and CSAI of independent noise: what the permutation baseline says and what theory does."""
    generator = torch.Generator().manual_seed(0)
    print("| utterances | k | lambda | PAI of noise | baseline | theory | CSAI of noise | baseline | theory |")
    print("|---" * 9 + "|")
    for count, k, ridge in ((100, 8, 0.0), (300, 16, 0.0), (1000, 16, 0.0), (1000, 16, 0.01), (1000, 64, 0.01)):
        noise = [torch.randn(count, width, generator=generator) for width in (512, PHONES, 256)]
        found = set_metrics(*noise, EstimatorConfig(k, ridge))
        mean = permutation_baseline(*noise, EstimatorConfig(k, ridge))
        row = [f"{found['pai']:.3f}", f"{mean['pai']:.3f} ± {mean['pai_std']:.3f}", f"{expected_bias(count, k):.3f}"]
        row += [f"{found['csai']:.3f}", f"{mean['csai']:.3f} ± {mean['csai_std']:.3f}", f"{expected_bias(count, k, k):.3f}"]
        print(f"| {count} | {k} | {ridge} | {' | '.join(row)} |")


PARTS = {function.__name__: function for function in (metrics, forms, bias)}

if __name__ == "__main__":
    torch.set_num_threads(2)
    for name in sys.argv[1:]:
        PARTS[name]()
    for name, function in PARTS.items() if len(sys.argv) == 1 else ():
        print(f"\n## {function.__doc__}\n", flush=True)
        subprocess.run([sys.executable, __file__, name], check=True)
