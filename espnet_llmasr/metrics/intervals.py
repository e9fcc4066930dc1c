"""95 % intervals: bootstrap over utterances for error rates, Wilson's for shares of utterances.

Utterances are drawn, not tokens, since errors come in clusters. What is measured in benchmarks/intervals.md: BCa covers
better than percentiles; with few utterances and heavy tails both are too narrow, so read those intervals as "at least".
"""

import math
from statistics import NormalDist
from typing import Sequence, Tuple

import numpy as np

RESAMPLES = 1000
_CELLS = 1 << 22  # weights held at once; bounds the memory
_Z = 1.959964

Interval = Tuple[float, float]


def wilson_interval(hits: int, total: int, z: float = _Z) -> Interval:
    """Wilson score interval of the rate hits / total (95 % by default); (0, 1) when nothing was observed."""
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} hits of {total}: hits must lie between 0 and the total")
    if total == 0:
        return 0.0, 1.0
    rate, spread = hits / total, z * z / total
    middle = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / total + spread / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(
    errors: Sequence[float], lengths: Sequence[float], resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """95 % interval of sum(errors) / sum(lengths) over utterances like these; errors (U,), lengths (U,), in tokens.

    BCa bootstrap (Efron, 1987) over utterances (Bisani and Ney, 2004), widened where needed to Wilson's interval of the
    share of wrong utterances times the mean errors of one. This matters only with a few wrong utterances, and without
    any: there, the upper end is Wilson's for wrong utterances of one error each (about 3.84 over all tokens), where a
    bootstrap alone would say (0, 0).

    (nan, nan) for references without tokens and for less than two utterances with tokens. The upper end is infinite if
    so many utterances are insertions on empty references that a resample may have no token. The order of the
    utterances does not matter.

    Raises ValueError for negative or non-finite numbers.
    """
    rows = as_counts(errors, lengths)
    total_errors, total_length = rows.sum(axis=1)
    utterances = rows.shape[1]
    if not total_length or utterances < 2:
        return math.nan, math.nan
    low, high = _bca(rows, resamples, seed)
    wrong = int(np.count_nonzero(rows[0]))
    errors_of_one = total_errors / wrong if wrong else 1.0
    floor, ceiling = (share * errors_of_one * utterances / total_length for share in wilson_interval(wrong, utterances))
    return float(min(low, floor)), float(max(high, ceiling))


def as_counts(*rows: Sequence[float]) -> np.ndarray:
    """Errors and lengths (R, U) in float64, without utterances that have neither. Raises ValueError for no counts."""
    counts = np.stack(rows).astype(np.float64)
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError("errors and lengths must be counts: finite and not negative")
    return counts[:, counts.any(axis=0)]


def _bca(rows: np.ndarray, resamples: int, seed: int) -> Interval:
    """Percentiles of the resampled ratios, corrected for their bias and for a spread that grows with the ratio."""
    ratio = rows[0].sum() / rows[1].sum()
    sums = resampled_sums(rows, resamples, seed)
    with np.errstate(divide="ignore"):
        ratios = sums[0] / sums[1]
    below = np.mean(ratios < ratio) + np.mean(ratios == ratio) / 2
    normal = NormalDist()
    bias = normal.inv_cdf(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))
    influence = rows[0] - ratio * rows[1]
    spread = np.sum(influence**2) ** 1.5
    skew = np.sum(influence**3) / (6 * spread) if spread else 0.0
    levels = [normal.cdf(bias + (bias + z) / (1 - skew * (bias + z))) for z in (-_Z, _Z)]
    low, high = np.quantile(ratios, levels, method="nearest")  # interpolation next to infinity would give nan
    return float(low), float(high)


def resampled_sums(rows: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """rows (R, U) -> (R, resamples): sums over U utterances drawn with replacement, the same draw for all rows.

    Equal utterances are drawn together: how often each distinct column occurs in a resample is multinomial. So a
    million utterances cost what their few thousand distinct columns cost, and the order of utterances has no influence.
    """
    rng = np.random.default_rng(seed)
    distinct, counts = np.unique(rows, axis=1, return_counts=True)
    shares, size, values = counts / counts.sum(), rows.shape[1], distinct.T.astype(np.float64)
    step = max(1, _CELLS // len(shares))
    sizes = [min(step, resamples - first) for first in range(0, resamples, step)]
    return np.concatenate([rng.multinomial(size, shares, draws).astype(np.float64) @ values for draws in sizes]).T
