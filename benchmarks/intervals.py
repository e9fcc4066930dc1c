#!/usr/bin/env python3
"""Do the 95 % intervals hold the true rate in 95 % of cases, and do equal systems get p < 0.05 in 5 %? And the speed.

python benchmarks/intervals.py    (some minutes on one core; prints the tables of intervals.md)
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from espnet_llmasr.metrics import intervals  # noqa: E402
from espnet_llmasr.metrics.significance import compare  # noqa: E402

SIZES = (30, 100, 300, 1000)
REPEATS = 500
POPULATION = 2_000_000


def lengths_of(size, rng):
    """Tokens of references: log-normal, median 9, mean 14, 1 % above 70."""
    return np.ceil(rng.lognormal(2.2, 0.9, size)).astype(int)


def independent(size, rng):
    """Every token fails by itself, 5 %; short lengths."""
    lengths = 1 + rng.poisson(12, size)
    return rng.binomial(lengths, 0.05, size), lengths


def clustered(size, rng):
    """Most utterances are right, some are bad: Beta(0.15, 2.85), mean 5 %, heavy-tailed lengths."""
    lengths = lengths_of(size, rng)
    return rng.binomial(lengths, rng.beta(0.15, 2.85, size)), lengths


def looping(size, rng):
    """As before, and 1 % of the utterances insert four times their length."""
    errors, lengths = clustered(size, rng)
    return errors + 4 * lengths * (rng.random(size) < 0.01), lengths


def rare(expected):
    """That many wrong utterances are expected in a set, with 1 + Poisson(1.5) errors each."""

    def draw(size, rng, of=None):
        lengths = lengths_of(size, rng)
        wrong = rng.random(size) < expected / (of or size)
        return wrong * np.minimum(lengths, 1 + rng.poisson(1.5, size)), lengths

    draw.__name__, draw.__doc__ = f"{expected:g} wrong utterances", rare.__doc__
    return draw


def percentile(errors, lengths):
    sums = intervals.resampled_sums(np.stack([errors, lengths]))
    return tuple(np.quantile(sums[0] / sums[1], [0.025, 0.975]))


def bca(errors, lengths):
    return intervals._bca(np.stack([errors, lengths]).astype(float), intervals.RESAMPLES, 0)


def coverage(draw, size, true, rng):
    """Percent of intervals that hold the true rate: percentiles, BCa, ours."""
    hits = np.zeros(3)
    for _ in range(REPEATS):
        data = draw(size, rng)
        bounds = [method(*data) for method in (percentile, bca, intervals.bootstrap_interval)]
        hits += [low <= true <= high for low, high in bounds]
    return 100 * hits / REPEATS


def coverage_tables():
    print("| errors | utterances | true rate % | percentile | BCa | ours |\n|---|---|---|---|---|---|")
    for draw in (independent, clustered, looping, *map(rare, (0.5, 1, 2, 4, 8))):
        few = draw.__name__.endswith("wrong utterances")
        for size in (300,) if few else SIZES:
            rng = np.random.default_rng(size)
            errors, lengths = draw(POPULATION, rng, of=size) if few else draw(POPULATION, rng)
            true = errors.sum() / lengths.sum()
            shares = " | ".join(f"{share:.1f}" for share in coverage(draw, size, true, rng))
            print(f"| {draw.__name__} | {size} | {100 * true:.3f} | {shares} |", flush=True)


def pair(draw, size, rng, worse=0.0):
    """Errors of A and of B, which has `worse` of the tokens wrong in addition, and lengths; both fail on the same."""
    lengths, hard = lengths_of(size, rng), rng.beta(0.15, 2.85, size)
    loops = [4 * lengths * (rng.random(size) < (0.01 if draw == "looping" else 0)) for _ in "AB"]
    a, b = (rng.binomial(lengths, hard) + loop for loop in loops)
    return a, b + rng.binomial(lengths, worse), lengths


def null_table():
    print(
        "\n| equal systems | utterances | p < 0.05, % | p < 0.01, % | percentiles without 0, % |\n|---|---|---|---|---|"
    )
    for kind in ("clustered", "looping"):
        for size in SIZES:
            rng = np.random.default_rng(size)
            ps, out = [], 0
            for _ in range(REPEATS):
                a, b, n = pair(kind, size, rng)
                ps.append(compare(a, b, n).p)
                low, high = np.quantile(intervals.resampled_sums(np.stack([b - a, n]))[0], [0.025, 0.975])
                out += not low <= 0 <= high
            shares = [100 * np.mean(np.array(ps) < level) for level in (0.05, 0.01)]
            print(f"| {kind} | {size} | {shares[0]:.1f} | {shares[1]:.1f} | {100 * out / REPEATS:.1f} |", flush=True)


def power_table():
    print("\n| errors | B is worse by, points | utterances needed | p < 0.05 in so many, % |\n|---|---|---|---|")
    for kind, worse in (("clustered", 0.01), ("clustered", 0.003), ("looping", 0.01)):
        rng = np.random.default_rng(7)
        needed = int(compare(*pair(kind, 200_000, rng, worse), resamples=10).needed)
        found = np.mean([compare(*pair(kind, needed, rng, worse)).p < 0.05 for _ in range(REPEATS // 2)])
        print(f"| {kind} | {100 * worse:.1f} | {needed} | {100 * found:.1f} |", flush=True)


def speed_table():
    print("\n| utterances | interval, s | comparison, s | peak memory, MB |\n|---|---|---|---|")
    for size in (300, 20_000, 1_000_000):
        a, b, lengths = pair("looping", size, np.random.default_rng(0))
        start = time.perf_counter()
        intervals.bootstrap_interval(a, lengths)
        middle = time.perf_counter()
        compare(a, b, lengths)
        spent = time.perf_counter() - middle
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"| {size} | {middle - start:.2f} | {spent:.2f} | {memory} |", flush=True)


if __name__ == "__main__":
    speed_table()
    coverage_tables()
    null_table()
    power_table()
