"""The scaling law error = a * C^-b + c of training compute C, which arXiv 2508.04096 announces, with its intervals.

The law is fitted to log errors: the spread over seeds grows with the error, so a relative miss counts the same at every
budget, where absolute ones would let the smallest and worst budget decide. What it describes is thus the geometric mean
over seeds, and an error of 0 cannot be used. C is divided by its geometric mean C0: `a` is the part of the error at C0
that more compute takes away, `c` the part that stays, both in the unit of the error.

How many of its 95 % intervals hold the truth of made data: benchmarks/scaling.md. Fewest, 83 to 88 of 100, hold the error
at the smallest budget where the spread over seeds falls with the budget, and a and b where the truth has no floor c.

Shapes: N runs, R resamples, P amounts of compute.
"""

import math
from typing import List, NamedTuple, Sequence, Tuple, Union

import numpy as np
from scipy.stats import bartlett
from scipy.stats import f as f_distribution

from espnet_llmasr.metrics.intervals import Interval
from espnet_llmasr.experiments.scaling_search import B_RANGE, TOLERANCE, centred, fit_laws

RESAMPLES = 1000
MIN_BUDGETS = 4  # one more than the law has parameters
MIN_SPAN = 4.0
MIN_SEEDS = 3  # of a budget, to speak of its own spread
MIN_FREEDOM = 4  # runs less budgets, to speak of the spread over seeds at all
RESAMPLING = {
    "seeds": "seeds, their deviations from the mean of a budget shared by all budgets",
    "seeds within budgets": "seeds within each budget, as their spread differs between budgets",
    "residuals": "distances from the law, as too few budgets have several runs",
}
SAME_BUDGET = 1.1  # runs whose compute differs by less than this factor share a budget: seeds differ in their batches
FLAT = 1.02  # a law that falls by less than this factor over the measured range says nothing
_STARTS = 5


class Law(NamedTuple):
    """error = a * (C / scale)^-b + c; numbers, or (R, 1) of R resamples."""

    a: Union[float, np.ndarray]
    b: Union[float, np.ndarray]
    c: Union[float, np.ndarray]
    scale: float
    """FLOPs; the geometric mean of the compute that was fitted."""

    def predict(self, compute: np.ndarray) -> np.ndarray:
        """Error at a compute of () or (P,) FLOPs; (R, P) for resamples."""
        return self.a * (compute / self.scale) ** -self.b + self.c

    def inverse(self, error: np.ndarray) -> np.ndarray:
        """FLOPs at which the error is reached; infinite for an error that is not above c."""
        with np.errstate(divide="ignore", over="ignore"):
            return self.scale * (np.maximum(error - self.c, 0.0) / self.a) ** (-1 / self.b)


class Fit(NamedTuple):
    """A law with its resamples, and what they can be trusted for."""

    law: Law
    resamples: Law
    compute: np.ndarray
    errors: np.ndarray
    budgets: np.ndarray
    """Number of the budget of each run, (N,)."""
    resampling: str
    warnings: Tuple[str, ...]

    def interval(self, name: str) -> Interval:
        """95 % of a, b or c, by percentiles of the resamples."""
        low, high = np.quantile(getattr(self.resamples, name), (0.025, 0.975))
        return float(low), float(high)

    def band(self, compute: np.ndarray) -> np.ndarray:
        """(P,) FLOPs -> (2, P): ends of the 95 % interval of the law, each for itself."""
        return np.quantile(self.resamples.predict(compute), (0.025, 0.975), axis=0)

    @property
    def centres(self) -> np.ndarray:
        """Geometric mean of the compute of each budget."""
        return np.exp(_means(np.log(self.compute), self.budgets))


class Saving(NamedTuple):
    """What one strategy needs to reach the error that another one has at one of its budgets."""

    compute: float
    error: float
    share: float
    """Needed compute over `compute`."""
    interval: Interval
    """95 %; an end outside of the measured range is moved to it, and is open."""
    is_open: Tuple[bool, bool]


def group_budgets(compute: np.ndarray) -> np.ndarray:
    """(N,) FLOPs -> (N,) numbers of budgets, from the smallest; a gap of more than SAME_BUDGET parts two."""
    order = np.argsort(compute)
    gaps = np.diff(np.log(compute[order]), prepend=np.log(compute[order[0]])) > math.log(SAME_BUDGET)
    budgets = np.empty(len(compute), int)
    budgets[order] = np.cumsum(gaps)
    return budgets


def fit_scaling(compute: Sequence[float], errors: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Fit:
    """The law of N runs; compute (N,) in FLOPs, errors (N,) in any unit.

    How the bootstrap draws is told by `resample`.

    Raises:
        ValueError: fewer than four budgets, or numbers that are not finite and above 0.
    """
    compute, errors = np.asarray(compute, float), np.asarray(errors, float)
    if not all(np.isfinite(x).all() and (x > 0).all() for x in (compute, errors)):
        raise ValueError("compute and errors must be finite and above 0, as the law is fitted to their logarithms")
    budgets = group_budgets(compute)
    count = int(budgets.max()) + 1
    if count < MIN_BUDGETS:
        raise ValueError(
            f"{count} different budgets cannot identify a law of three parameters: train at {MIN_BUDGETS} or more, "
            "spread by equal factors over a range of 10 or more"
        )
    scale = float(np.exp(np.log(compute).mean()))
    x, y = np.log(compute / scale), np.log(errors)
    law = Law(*(float(value) for value in fit_laws(x, y[None], _STARTS)[0]), scale)
    resampled, resampling = resample(np.log(law.predict(compute)), y, budgets, resamples, seed)
    a, b, c = fit_laws(x, resampled, 1).T[..., None]
    fit = Fit(law, Law(a, b, c, scale), compute, errors, budgets, resampling, ())
    return fit._replace(warnings=tuple(_warnings(fit)))


def savings(fit: Fit, other: Fit) -> List[Saving]:
    """For each budget of `other` whose error `fit` reaches within its own measured range of compute.

    The resamples of both are paired at random, as of independent runs. That is cautious where they share seeds.
    """
    result = []
    for compute in other.centres:
        error = float(other.law.predict(compute))
        ends = np.array([fit.compute.min(), fit.compute.max()]) / compute
        share = float(fit.law.inverse(error) / compute)
        if not ends[0] * (1 - TOLERANCE) <= share <= ends[1] * (1 + TOLERANCE):
            continue
        shares = fit.resamples.inverse(other.resamples.predict(compute)) / compute
        low, high = np.quantile(shares, (0.025, 0.975), method="nearest")  # next to infinity no interpolation
        interval = (float(max(low, ends[0])), float(min(high, ends[1])))
        result.append(Saving(float(compute), error, share, interval, (bool(low < ends[0]), bool(high > ends[1]))))
    return result


def _means(values: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    return np.bincount(budgets, values) / np.bincount(budgets)


def resample(
    fitted: np.ndarray, y: np.ndarray, budgets: np.ndarray, resamples: int, seed: int
) -> Tuple[np.ndarray, str]:
    """Log errors (resamples, N) like y (N,), whose law is `fitted` (N,), and how they were drawn (RESAMPLING).

    Of seeds: to the law is added how far each budget's mean is from it, and for each run the deviation of some run from
    the mean of its budget. All deviations are drawn from, as the relative spread of few seeds is known better from all
    budgets; only those of the same budget, where a test shows that the spread differs (Bartlett, p < 0.05). Without
    enough budgets that have several runs, distances of all runs from the law are drawn, which takes the law for true.

    Deviations around means of the same runs are too small, and their spread is itself uncertain: with f degrees of
    freedom (runs less means) the sum of squares is divided by a draw of chi2(f), which makes of the normal the t
    distribution. Without that, 88 % of the intervals hold the error at the ends, with 5 seeds.
    """
    rng, residuals, sizes = np.random.default_rng(seed), y - fitted, np.bincount(budgets)
    if len(y) - len(sizes) < MIN_FREEDOM:
        return fitted + _draw(centred(residuals), len(y) - 3, (resamples, len(y)), rng), "residuals"
    centres = _means(residuals, budgets)[budgets]
    deviations = residuals - centres
    groups = [deviations[budgets == budget] for budget in range(len(sizes))]
    if sizes.min() < MIN_SEEDS or not _spread_differs(groups):
        several = deviations[sizes[budgets] > 1]
        return fitted + centres + _draw(several, len(y) - len(sizes), (resamples, len(y)), rng), "seeds"
    drawn = np.empty((resamples, len(y)))
    for budget, group in enumerate(groups):
        drawn[:, budgets == budget] = _draw(group, len(group) - 1, (resamples, len(group)), rng)
    return fitted + centres + drawn, "seeds within budgets"


def _draw(deviations: np.ndarray, freedom: int, shape: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(n,) -> (R, N), each row with its own spread."""
    return rng.choice(deviations, shape) * np.sqrt(len(deviations) / rng.chisquare(freedom, (shape[0], 1)))


def _spread_differs(groups: Sequence[np.ndarray]) -> bool:
    with np.errstate(all="ignore"):  # groups without spread
        return bool(bartlett(*groups).pvalue < 0.05)


def _warnings(fit: Fit) -> List[str]:
    """Why the data may not identify the law, in words."""
    found, (b_low, b_high) = [], fit.interval("b")
    span = fit.compute.max() / fit.compute.min()
    if span < MIN_SPAN:
        found.append(f"the budgets span a factor of {span:.2g} only: below {MIN_SPAN:g}, b and c cannot be told apart")
    if fit.law.c == 0:
        found.append(
            "c is at its bound 0: no floor shows in the measured range, which does not mean that there is none"
        )
    elif fit.interval("c")[0] == 0:
        found.append("the interval of c begins at its bound 0: a power law without a floor is possible, too")
    falls = fit.resamples.predict(fit.compute.min()) / fit.resamples.predict(fit.compute.max())
    if np.quantile(falls, 0.025) < FLAT:
        found.append("the error may not fall with compute at all in the measured range: a, b and c mean nothing then")
    if b_low <= B_RANGE[0] * 1.01 or b_high >= B_RANGE[1] * 0.99:
        ends = " to ".join(f"{end:g}" for end in B_RANGE)
        found.append(f"the interval of b reaches the bounds of the search ({ends}): the exponent is not identified")
    if fit.resampling == "residuals":
        found.append("too few budgets have several runs: the spread over seeds is unknown, and intervals trust the law")
    p = _lack_of_fit(fit)
    if p < 0.05:
        found.append(f"the budgets' means miss the law by more than the seeds explain (F test, p = {p:.2g})")
    return found


def _lack_of_fit(fit: Fit) -> float:
    """p of the F test of the budgets' means against the law, by the spread in budgets; 1 where there is none."""
    residuals = np.log(fit.errors / fit.law.predict(fit.compute))
    means, sizes = _means(residuals, fit.budgets), np.bincount(fit.budgets)
    freedom = len(means) - (3 if fit.law.c else 2), len(residuals) - len(means)
    spread = np.sum((residuals - means[fit.budgets]) ** 2)
    if not freedom[1] or spread < TOLERANCE**2:
        return 1.0
    return float(f_distribution.sf(sizes @ means**2 / freedom[0] / (spread / freedom[1]), *freedom))
