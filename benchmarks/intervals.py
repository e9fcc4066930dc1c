"""Do the 95 % intervals hold the true rate in 95 % of cases, and do equal systems get p < 0.05 in 5 %? And the speed.

python benchmarks/intervals.py    (some minutes on one core; prints the tables of intervals.md)
"""

import numpy as np
from common import cpu_s, peak_mb, table

from espnet_llmasr.metrics import intervals
from espnet_llmasr.metrics.significance import compare

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


def rare(share):
    """That share of the utterances is wrong, with 1 + Poisson(1.5) errors each."""

    def draw(size, rng):
        lengths = lengths_of(size, rng)
        wrong = rng.random(size) < share
        return wrong * np.minimum(lengths, 1 + rng.poisson(1.5, size)), lengths

    return draw


def percentile(errors, lengths):
    sums = intervals.resampled_sums(np.stack([errors, lengths]))
    return tuple(np.quantile(sums[0] / sums[1], [0.025, 0.975]))


def bca(errors, lengths):
    return intervals._bca(np.stack([errors, lengths]).astype(float), intervals.RESAMPLES, 0)


def coverage():
    """Percent of intervals that hold the true rate: percentiles, BCa, ours."""
    cases = [(draw.__name__, draw, size) for draw in (independent, clustered, looping) for size in SIZES]
    cases += [(f"{expected:g} wrong utterances", rare(expected / 300), 300) for expected in (0.5, 1, 2, 4, 8)]
    for name, draw, size in cases:
        rng = np.random.default_rng(size)
        errors, lengths = draw(POPULATION, rng)
        true, hits = errors.sum() / lengths.sum(), np.zeros(3)
        for _ in range(REPEATS):
            data = draw(size, rng)
            bounds = [method(*data) for method in (percentile, bca, intervals.bootstrap_interval)]
            hits += [low <= true <= high for low, high in bounds]
        yield name, size, f"{100 * true:.3f}", *(f"{100 * share:.1f}" for share in hits / REPEATS)


def pair(kind, size, rng):
    """Errors of A and of B, which are equally good and fail on the same utterances, and lengths."""
    lengths, hard = lengths_of(size, rng), rng.beta(0.15, 2.85, size)
    loops = [4 * lengths * (rng.random(size) < (0.01 if kind == "looping" else 0)) for _ in "AB"]
    return *(rng.binomial(lengths, hard) + loop for loop in loops), lengths


def null():
    for kind, size in ((kind, size) for kind in ("clustered", "looping") for size in SIZES):
        rng, events = np.random.default_rng(size), np.zeros(3)
        for _ in range(REPEATS):
            a, b, n = pair(kind, size, rng)
            p = compare(a, b, n).p
            low, high = np.quantile(intervals.resampled_sums(np.stack([b - a, n]))[0], [0.025, 0.975])
            events += [p < 0.05, p < 0.01, not low <= 0 <= high]
        yield kind, size, *(f"{100 * share:.1f}" for share in events / REPEATS)


def speed():
    for size in (300, 20_000, 1_000_000):
        a, b, lengths = pair("looping", size, np.random.default_rng(0))
        seconds = cpu_s(intervals.bootstrap_interval, a, lengths)[0], cpu_s(compare, a, b, lengths)[0]
        yield size, *(f"{value:.2f}" for value in seconds), f"{peak_mb():.0f}"


if __name__ == "__main__":
    table(("utterances", "interval, s", "comparison, s", "peak memory, MB"), speed())
    table(("errors", "utterances", "true rate %", "percentile", "BCa", "ours"), coverage())
    table(("equal systems", "utterances", "p < 0.05, %", "p < 0.01, %", "percentiles without 0, %"), null())
