"""The scaling law error = a * (C / C0)^-b + c of training compute C, which arXiv 2508.04096 announces.

The law is fitted to log errors: the spread over seeds grows with the error, so a relative miss counts the same at
every budget. It therefore describes the geometric mean over seeds, and an error of 0 cannot be used. C0 is the
geometric mean of C: `a` is the part of the error at C0 that more compute takes away, `c` is the floor, both in the unit
of the error.

Intervals are percentiles of a bootstrap over seeds. benchmarks/scaling.md says how many of them hold the truth.

Shapes: N runs, R resamples, P amounts of compute.
"""

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from scipy.optimize import curve_fit

from espnet_llmasr.metrics.intervals import Interval

RESAMPLES = 1000
MIN_BUDGETS = 4  # the law has three parameters
MIN_SPAN = 4.0
MIN_FREEDOM = 4  # runs less budgets; with fewer the spread over seeds is unknown
SAME_BUDGET = 1.1  # seeds differ in their batches: compute that differs by a smaller factor is the same budget
B_RANGE = (0.01, 10.0)
STARTS_B, STARTS_C = (0.03, 0.1, 0.3, 1.0, 3.0), (0.01, 0.5, 0.9, 0.99)
TOLERANCE = 1e-12


class Law(NamedTuple):
    """error = a * (C / scale)^-b + c; numbers, or (R, 1) of R resamples."""

    a: Union[float, np.ndarray]
    b: Union[float, np.ndarray]
    c: Union[float, np.ndarray]
    scale: float
    """C0 in FLOPs."""

    def predict(self, compute: np.ndarray) -> np.ndarray:
        """Error at a compute of () or (P,) FLOPs; (R, P) for resamples."""
        return self.a * (compute / self.scale) ** -self.b + self.c

    def inverse(self, error: np.ndarray) -> np.ndarray:
        """FLOPs at which the error is reached; infinite for an error that is not above c."""
        with np.errstate(divide="ignore", over="ignore"):
            return self.scale * (np.maximum(error - self.c, 0.0) / self.a) ** (-1 / self.b)


class Fit(NamedTuple):
    """A law with its resamples; compute (N,), errors (N,), number of the budget of each run (N,)."""

    law: Law
    resamples: Law
    compute: np.ndarray
    errors: np.ndarray
    budgets: np.ndarray

    def interval(self, name: str) -> Interval:
        """95 % of a, b or c."""
        return quantiles(getattr(self.resamples, name))

    def band(self, compute: np.ndarray) -> np.ndarray:
        """(P,) FLOPs -> (2, P): ends of the 95 % interval of the law at each amount of compute."""
        return np.quantile(self.resamples.predict(compute), (0.025, 0.975), axis=0)

    @property
    def centres(self) -> np.ndarray:
        """Geometric mean of the compute of each budget."""
        return np.exp(budget_means(np.log(self.compute), self.budgets))


class Saving(NamedTuple):
    """Compute that one strategy needs to reach the error of another."""

    compute: float
    """FLOPs of the other strategy: its largest budget whose error lies in the measured range of the first one."""
    error: float
    share: float
    """Needed compute over `compute`."""
    interval: Interval


def quantiles(values: np.ndarray) -> Interval:
    """Ends of the 95 % interval; without interpolation, as values may be infinite."""
    low, high = np.quantile(values, (0.025, 0.975), method="nearest")
    return float(low), float(high)


def group_budgets(compute: np.ndarray) -> np.ndarray:
    """(N,) FLOPs -> (N,) numbers of budgets, from the smallest; a gap of more than SAME_BUDGET parts two."""
    order = np.argsort(compute)
    gaps = np.diff(np.log(compute[order]), prepend=np.log(compute[order[:1]])) > math.log(SAME_BUDGET)
    budgets = np.empty(len(compute), int)
    budgets[order] = np.cumsum(gaps)
    return budgets


def budget_means(values: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """(N,) -> mean of each budget."""
    return np.bincount(budgets, values) / np.bincount(budgets)


def fit_scaling(compute: Sequence[float], errors: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Fit:
    """The law of N runs; compute (N,) in FLOPs, errors (N,) in any unit.

    Raises:
        ValueError: fewer than four budgets, or numbers that are not finite and above 0.
    """
    compute, errors = np.asarray(compute, float), np.asarray(errors, float)
    if not all(np.isfinite(x).all() and (x > 0).all() for x in (compute, errors)):
        raise ValueError("compute and errors must be finite and above 0, as the law is fitted to their logarithms")
    budgets = group_budgets(compute)
    if (count := budgets.max() + 1) < MIN_BUDGETS:
        raise ValueError(
            f"{count} different budgets cannot identify a law of three parameters: train at {MIN_BUDGETS} or more, "
            "spread by equal factors over a range of 10 or more"
        )
    scale = float(np.exp(np.log(compute).mean()))
    x, y = np.log(compute / scale), np.log(errors)
    a, b, c = fit_law(x, y, [(b, c * errors.min()) for b in STARTS_B for c in STARTS_C])
    drawn = [fit_law(x, row, [(b, c)]) for row in resample(y, budgets, resamples, seed)]
    laws = np.array(drawn or [[math.nan] * 3]).T[..., None]
    return Fit(Law(a, b, c, scale), Law(*laws, scale), compute, errors, budgets)


def fit_law(x: np.ndarray, y: np.ndarray, starts: Sequence[Tuple[float, float]]) -> Tuple[float, float, float]:
    """log compute (N,), log errors (N,), starts (b, c) -> a, b, c of the least squares of log errors."""
    bounds, fits = ([-np.inf, B_RANGE[0], 0], [np.inf, B_RANGE[1], np.inf]), []
    options = dict(bounds=bounds, jac=jacobian, x_scale="jac", max_nfev=10_000)
    for b, c in starts:
        c = min(c, 0.99 * math.exp(y.min()))
        log_a = float(np.mean(np.log(np.exp(y) - c) + b * x))
        start = (log_a, np.clip(b, B_RANGE[0] * 1.01, B_RANGE[1] * 0.99), c)
        best, _ = curve_fit(log_error, x, y, start, ftol=TOLERANCE, xtol=TOLERANCE, gtol=TOLERANCE, **options)
        fits.append((float(np.sum((log_error(x, *best) - y) ** 2)), *best))
    b = float(np.clip(-(x @ (y - y.mean())) / (x @ x), *B_RANGE))  # without a floor the law is a straight line
    fits.append((float(np.sum((y.mean() - b * x - y) ** 2)) * (1 - 1e-9), y.mean(), b, 0.0))
    _, log_a, b, c = min(fits)
    return math.exp(log_a), float(b), float(c)


def log_error(x: np.ndarray, log_a: float, b: float, c: float) -> np.ndarray:
    """The law in logarithms at x = log(C / C0), (N,)."""
    return np.log(np.exp(log_a - b * x) + c)


def jacobian(x: np.ndarray, log_a: float, b: float, c: float) -> np.ndarray:
    """Derivatives of `log_error` by log_a, b and c, (N, 3)."""
    falling = np.exp(log_a - b * x)
    return np.stack([falling, -x * falling, np.ones_like(x)], axis=1) / (falling + c)[:, None]


def resample(y: np.ndarray, budgets: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Log errors (R, N) like y (N,): the mean of each budget plus drawn deviations of seeds from such means.

    All budgets share their deviations, as the relative spread of few seeds is known better from all. With f degrees of
    freedom (runs less budgets) this spread is itself uncertain: each of the R rows has f times the variance of the
    deviations over a draw of chi2(f), as a t distribution has. (0, N) for fewer than MIN_FREEDOM.
    """
    means, freedom = budget_means(y, budgets)[budgets], len(y) - len(np.bincount(budgets))
    if freedom < MIN_FREEDOM:
        return np.empty((0, len(y)))
    deviations = (y - means)[np.bincount(budgets)[budgets] > 1]
    rng = np.random.default_rng(seed)
    spread = np.sqrt(len(deviations) / rng.chisquare(freedom, (resamples, 1)))
    return means + spread * rng.choice(deviations, (resamples, len(y)))


def saving(fit: Fit, other: Fit) -> Optional[Saving]:
    """What `fit` needs for the error of `other`; None if no budget of `other` allows a comparison.

    The resamples of both are paired at random, as of independent runs. This is cautious where strategies share seeds.
    """
    for compute in other.centres[::-1]:
        error = other.law.predict(compute)
        needed = fit.law.inverse(error)
        if fit.compute.min() * (1 - 1e-9) <= needed <= fit.compute.max() * (1 + 1e-9):
            shares = fit.resamples.inverse(other.resamples.predict(compute)) / compute
            return Saving(float(compute), float(error), float(needed / compute), quantiles(shares))
    return None


def warnings_of(fit: Fit) -> List[str]:
    """Reasons why the data may not identify the law."""
    found, span, (b_low, b_high) = [], fit.compute.max() / fit.compute.min(), fit.interval("b")
    if span < MIN_SPAN:
        found.append(f"the budgets span a factor of {span:.2g} only: below {MIN_SPAN:g}, b and c cannot be told apart")
    if fit.law.c == 0:
        found.append("c is at its bound 0: the measured range shows no floor, which does not mean that there is none")
    elif fit.interval("c")[0] == 0:
        found.append("the interval of c begins at its bound 0: a power law without a floor is possible, too")
    if b_low <= B_RANGE[0] * 1.01 or b_high >= B_RANGE[1] * 0.99:
        ends = " to ".join(f"{end:g}" for end in B_RANGE)
        found.append(f"the interval of b reaches the bounds of the search ({ends}): the exponent is not identified")
    if math.isnan(b_low):
        found.append("too few budgets have several runs: the spread over seeds is unknown, so there are no intervals")
    return found
