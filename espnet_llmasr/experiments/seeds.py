"""Means over seeds, and differences of two strategies that share their seeds: t intervals, an exact test, Holm.

A run is one number of one seed. Where runs do not differ at all, as with no hallucination in any of them, a t interval
would have no width and claim certainty; there is none (nan), which `MeanInterval.is_constant` tells from too few runs.
"""

import math
from typing import List, NamedTuple, Sequence

import numpy as np
from scipy import stats

from espnet_llmasr.metrics.intervals import Interval

MOST_PAIRS = 40
_ROUNDING = 1e-9
_UNKNOWN = (math.nan, math.nan)


class MeanInterval(NamedTuple):
    """The mean of n numbers and the 95 % t interval of it."""

    n: int
    mean: float
    interval: Interval
    is_constant: bool
    """There are two numbers or more, and they are all equal."""


class Difference(NamedTuple):
    """Mean difference of pairs with its interval, and two-sided p values."""

    mean: MeanInterval
    p_t: float
    """Paired t test; nan without an interval, and 1 if all differences are 0."""
    p_sign_flip: float
    """Exact; never below 2^(1 - n)."""


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Mean of (n,) values; t interval with n - 1 degrees of freedom, (nan, nan) for n < 2 and for equal values."""
    return _mean_interval(np.asarray(values, float), np.abs(values).max(initial=0))


def _mean_interval(values: np.ndarray, scale: float) -> MeanInterval:
    """`scale` is the size of the numbers that `values` come from: less than its rounding is no spread."""
    n = len(values)
    if not n:
        return MeanInterval(0, math.nan, _UNKNOWN, False)
    mean = float(values.mean())
    if n < 2 or np.ptp(values) <= _ROUNDING * scale:
        return MeanInterval(n, mean, _UNKNOWN, n >= 2)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return MeanInterval(n, mean, (mean - half, mean + half), False)


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """values (n,) less baseline (n,), of the same seeds in the same order."""
    values, baseline = np.asarray(values, float), np.asarray(baseline, float)
    scale = np.abs([values, baseline]).max(initial=0)
    differences = values - baseline
    differences[np.abs(differences) <= _ROUNDING * scale] = 0
    mean = _mean_interval(differences, scale)
    if not math.isnan(mean.interval[0]):
        half = (mean.interval[1] - mean.interval[0]) / 2
        t = mean.mean / (half / stats.t.ppf(0.975, mean.n - 1))
        p_t = float(2 * stats.t.sf(abs(t), mean.n - 1))
    else:
        p_t = 1.0 if mean.n and not differences.any() else math.nan
    return Difference(mean, p_t, sign_flip_p(differences))


def sign_flip_p(differences: Sequence[float]) -> float:
    """Share of all 2^n choices of signs whose sum is at least as far from 0 as the sum of the n differences.

    Exact if each difference is as likely to be its negative. With 5 pairs it is at least 2/32 = 0.0625, so 5 seeds
    alone never show p < 0.05; 6 can. The sums of either half of the pairs are matched by bisection: 2^(n/2) memory.
    nan for no pair.

    Raises:
        ValueError: more than 40 pairs.
    """
    sizes = np.abs(np.asarray(differences, float))
    n = len(sizes)
    if n > MOST_PAIRS:
        raise ValueError(f"{n} pairs are too many for all 2^n signs (at most {MOST_PAIRS}): use the paired t test")
    if not n:
        return math.nan
    reached = abs(float(np.sum(differences))) - _ROUNDING * sizes.sum()
    left, right = _signed_sums(sizes[: n // 2]), np.sort(_signed_sums(sizes[n // 2 :]))
    above = len(right) - np.searchsorted(right, reached - left)
    return min(1.0, 2 * int(above.sum()) / 2**n)  # as many sums are below as above; both count those of 0


def _signed_sums(sizes: np.ndarray) -> np.ndarray:
    """(n,) -> (2^n,)."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return sums


def holm(p_values: Sequence[float]) -> List[float]:
    """Adjusted p values (Holm, 1979), in the same order: below 0.05 with a chance of 5 % that any of them is wrong.

    nan stays nan and does not count as a test.
    """
    adjusted, lowest = [math.nan] * len(p_values), 0.0
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    for rank, (p, place) in enumerate(known):
        lowest = max(lowest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = lowest
    return adjusted
