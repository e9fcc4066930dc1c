"""Is one system better than another on the same utterances? (Bisani and Ney, ICASSP 2004: the paired bootstrap)

Utterances are taken as independent. Where many are of one speaker, the true uncertainty is larger.
"""

import math
from typing import NamedTuple, Tuple

import numpy as np

from espnet_llmasr.metrics.intervals import Interval, as_counts, resampled_sums, wilson_interval

RESAMPLES = 2000
POWER_Z = 1.959964 + 0.841621  # quantiles of 97.5 % and 80 %
DIFFERING = 8  # with that mean, six or more differ in 80 % of sets
_ROUNDING = 1e-9


class Comparison(NamedTuple):
    """Two systems A and B; rates are errors over reference tokens, positive differences say that A is better."""

    utterances: int
    wins_a: int
    wins_b: int
    rate_a: float = math.nan
    rate_b: float = math.nan
    difference: float = math.nan  # rate_b - rate_a
    interval: Interval = (math.nan, math.nan)  # 95 %, around `difference`; leaves out 0 exactly when p < 0.05
    relative: float = math.nan  # share of B's errors that A does not make; nan where B makes none
    relative_interval: Interval = (math.nan, math.nan)
    p: float = 1.0  # two-sided: how often equally good systems differ this much by chance
    a_is_better: float = 0.5  # share of the resamples in which A makes fewer errors (ties count half)
    needed: float = math.inf  # utterances for a chance of 80 % of p < 0.05, if the true difference is the one seen

    @property
    def ties(self) -> int:
        return self.utterances - self.wins_a - self.wins_b


def compare(
    errors_a: np.ndarray, errors_b: np.ndarray, lengths: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """errors_a, errors_b and lengths (U,): errors of both systems and tokens of the reference, of each utterance.

    With D the difference and D* that of a resample, p is the share of |D* - D| >= |D|, as (k + 1) / (resamples + 1),
    and the interval is D +- the 95 % quantile of |D* - D|. Plain percentiles of D* call 9 % of equal systems different
    when tails are heavy; these do about 5 % or less (benchmarks/intervals.md). If k utterances differ, p is at least
    2 / 2^k, as equal systems may all be parted in one direction by chance: less than six show nothing. Systems that
    differ on no utterance get the interval that Wilson's allows for a difference of one token in an utterance.

    Utterances without tokens on any side are left out; less than two others, or none with reference tokens, give nan
    and p = 1.

    Raises ValueError for arrays of different lengths, negative or non-finite numbers.
    """
    a, b, n = as_counts(errors_a, errors_b, lengths)
    wins = dict(wins_a=int(np.count_nonzero(a < b)), wins_b=int(np.count_nonzero(b < a)))
    if len(n) < 2 or not n.sum():
        return Comparison(utterances=len(n), **wins)
    sums = resampled_sums(np.stack([b - a, n, b]), resamples, seed)
    difference, moved = _ratio_and_moves(b - a, n, sums[0], sums[1])
    relative, moved_relative = _ratio_and_moves(b - a, b, sums[0], sums[2])
    chance = 2.0 ** (1 - sum(wins.values()))
    p = int(np.count_nonzero(moved >= abs(difference) * (1 - _ROUNDING)) + 1) / (resamples + 1)
    return Comparison(
        utterances=len(n),
        rate_a=float(a.sum() / n.sum()),
        rate_b=float(b.sum() / n.sum()),
        difference=difference,
        interval=_around(difference, moved, chance),
        relative=relative,
        relative_interval=_around(relative, moved_relative, chance),
        p=min(1.0, max(p, chance)),
        a_is_better=float(np.mean(sums[0] > 0) + np.mean(sums[0] == 0) / 2),
        needed=needed_utterances(b - a, n),
        **wins,
    )


def needed_utterances(differences: np.ndarray, lengths: np.ndarray) -> float:
    """Utterances (U,) like these for a chance of 80 % of p < 0.05, if the seen sum(differences) / sum(lengths) is true.

    From the variance of the linearised differences: ((1.96 + 0.84) * deviation / mean)^2; and so many that 8 of them
    differ on average, since less than six show nothing. Infinite for no difference.
    """
    mean = differences.mean()
    if not mean:
        return math.inf
    influence = differences - lengths * (differences.sum() / lengths.sum())
    by_variance = POWER_Z**2 * influence.var(ddof=1) / mean**2
    return float(math.ceil(max(by_variance, DIFFERING / np.mean(differences != 0))))


def _ratio_and_moves(
    numerators: np.ndarray, denominators: np.ndarray, sums: np.ndarray, sums_below: np.ndarray
) -> Tuple[float, np.ndarray]:
    """(U,), (U,) and their resampled sums (B,), (B,) -> the ratio, and how far the resampled ones are from it (B,).

    Infinitely far where a resample has no denominator; nan without any denominator.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = numerators.sum() / denominators.sum()
        moved = np.abs(sums / sums_below - ratio)
        if not numerators.any():  # no resample can move, but utterances not seen can
            moved[:] = wilson_interval(0, len(numerators))[1] * len(numerators) / denominators.sum()
    return float(ratio), np.where(np.isfinite(moved), moved, np.inf)


def _around(estimate: float, moved: np.ndarray, chance: float) -> Interval:
    """By the 95 % quantile of `moved`; not without 0 if `chance` alone is 5 %. So 0 is in it exactly when p >= 0.05."""
    half = float(np.quantile(moved, 0.95, method="higher"))
    if chance >= 0.05:
        half = max(half, abs(estimate))
    return estimate - half, estimate + half
