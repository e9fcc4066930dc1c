"""Strategies compared over seeds: means with t intervals, paired differences with two tests, FLOPs of the stages.

Equal values, as of no hallucination in any run, would give a t interval without width, which claims certainty. Their
mean has no interval: (nan, nan) with `is_constant`.
"""

import math
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy import stats

from espnet_llmasr.experiments.runs import Run, strategies_of, values_of
from espnet_llmasr.metrics.intervals import Interval

MOST_EXACT = 16  # pairs up to which the sign-flip test takes all 2^n signs; of more it draws 2^16 at random
ROUNDING = 1e-9  # numbers that differ by a smaller share are equal
UNKNOWN = (math.nan, math.nan)
Table = Dict[str, Dict[int, Run]]
"""Strategy -> seed -> run."""


class MeanInterval(NamedTuple):
    """The mean of n numbers with its 95 % t interval."""

    n: int
    mean: float
    interval: Interval = UNKNOWN

    @property
    def is_constant(self) -> bool:
        """True for two or more numbers that are all equal."""
        return self.n >= 2 and math.isnan(self.interval[0])


class Difference(NamedTuple):
    """The mean difference of pairs, and two-sided p values without and with the correction of Holm."""

    mean: MeanInterval
    p_t: float
    """Paired t test; nan without an interval, 1 if all differences are 0."""
    p_sign_flip: float
    """Never below 2^(1 - n): five pairs cannot show p < 0.05."""
    p_t_holm: float = math.nan
    p_sign_flip_holm: float = math.nan


class Compute(NamedTuple):
    """FLOPs of a strategy."""

    runs: int
    mean: float
    deviation: float
    """FLOPs of the run farthest from the mean of the baseline, over that mean, less 1."""
    stages: Dict[str, float]
    """Means; a stage that only some runs have counts as 0 in the others."""


class Statistics(NamedTuple):
    """All figures; strategies, values and stages in the order in which they are printed."""

    baseline: str
    compute: Dict[str, Compute]
    means: Dict[str, Dict[str, MeanInterval]]
    """Strategy -> value -> mean over seeds."""
    differences: Dict[str, Dict[str, Difference]]
    """Value -> strategy -> difference to the baseline."""
    notes: List[str]
    """Runs without a partner."""


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Mean of (n,) values; t interval with n - 1 degrees of freedom, none for n < 2 and for equal values."""
    values = np.asarray(values, float)
    n, mean = len(values), float(values.mean()) if len(values) else math.nan
    if n < 2 or np.ptp(values) <= ROUNDING * np.abs(values).max():
        return MeanInterval(n, mean)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    return MeanInterval(n, mean, (float(low), float(high)))


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """values (n,) less baseline (n,), of the same seeds in the same order."""
    values, baseline = np.asarray(values, float), np.asarray(baseline, float)
    scale = ROUNDING * np.abs([values, baseline]).max(initial=0)
    differences = values - baseline
    differences[np.abs(differences) <= scale] = 0
    mean, p_signs = mean_interval(differences), sign_flip_p(differences)
    if mean.n < 2 or np.ptp(differences) <= scale:
        return Difference(
            mean._replace(interval=UNKNOWN), 1.0 if mean.n and not differences.any() else math.nan, p_signs
        )
    return Difference(mean, float(stats.ttest_rel(values, baseline).pvalue), p_signs)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Share of all choices of signs whose sum is at least as far from 0 as the sum of the (n,) differences.

    Exact for up to 16 pairs, if each difference is as likely to be its negative. nan for no pair.
    """
    differences = np.asarray(differences, float)
    if len(differences) < 2 or not differences.any():
        return 1.0 if len(differences) else math.nan
    step = ROUNDING * np.abs(differences).sum()

    def signed_sum(flipped: np.ndarray, axis: int) -> np.ndarray:
        return np.round(flipped.sum(axis=axis) / step)  # sums that are equal but for rounding errors are equal

    options = dict(permutation_type="samples", n_resamples=2**MOST_EXACT, rng=0)
    return float(stats.permutation_test((differences,), signed_sum, **options).pvalue)


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


def statistics_of(runs: Sequence[Run], baseline: str) -> Statistics:
    """Raises ValueError if a strategy has two runs of one seed."""
    table, values = by_seed(runs), values_of(runs)
    numbers = {
        name: {value: {seed: run.values.get(value) for seed, run in of_strategy.items()} for value in values}
        for name, of_strategy in table.items()
    }
    means = {
        name: {value: mean_interval([x for x in found.values() if x is not None]) for value, found in rows.items()}
        for name, rows in numbers.items()
    }
    others = [name for name in table if name != baseline]
    differences = {
        value: compare_all({name: numbers[name][value] for name in others}, numbers[baseline][value])
        for value in values
    }
    return Statistics(baseline, compute_of(table, baseline), means, differences, unpaired(table, baseline))


def by_seed(runs: Sequence[Run]) -> Table:
    """Raises ValueError if a strategy has two runs of one seed."""
    table: Table = {name: {} for name in strategies_of(runs)}
    for run in runs:
        first = table[run.strategy].setdefault(run.seed, run)
        if first is not run:
            raise ValueError(
                f"{run.title} repeats line {first.line}: give one run for each strategy and seed, of one budget "
                "(bin.fit_scaling compares budgets)"
            )
    return table


def compute_of(table: Table, baseline: str) -> Dict[str, Compute]:
    """FLOPs of every strategy; stages in the order of the file."""
    stages = list(dict.fromkeys(stage for runs in table.values() for run in runs.values() for stage in run.flops))
    totals = {name: [run.total for run in runs.values()] for name, runs in table.items()}
    expected = np.mean(totals[baseline])
    result = {}
    for name, runs in table.items():
        deviation = max((total / expected - 1 for total in totals[name]), key=abs)
        flops = {stage: [run.flops[stage] for run in runs.values() if stage in run.flops] for stage in stages}
        means = {stage: sum(found) / len(runs) for stage, found in flops.items() if found}
        result[name] = Compute(len(runs), float(np.mean(totals[name])), float(deviation), means)
    return result


Numbers = Dict[int, Optional[float]]
"""Seed -> value of the run."""


def compare_all(others: Dict[str, Numbers], baseline: Numbers) -> Dict[str, Difference]:
    """Pairs of the same seed; the p values are corrected for all strategies."""
    rows = {}
    for name, numbers in others.items():
        pairs = [(number, baseline.get(seed)) for seed, number in numbers.items()]
        rows[name] = paired_difference(*np.array([p for p in pairs if None not in p], float).reshape(-1, 2).T)
    p_t, p_signs = (holm([getattr(row, p) for row in rows.values()]) for p in ("p_t", "p_sign_flip"))
    corrected = [row._replace(p_t_holm=t, p_sign_flip_holm=p) for row, t, p in zip(rows.values(), p_t, p_signs)]
    return dict(zip(rows, corrected))


def unpaired(table: Table, baseline: str) -> List[str]:
    """A note on every strategy with seeds that the baseline lacks, or the other way round."""
    notes = []
    for name in table:
        for present, missing in ((name, baseline), (baseline, name)):
            seeds = ", ".join(map(str, sorted(table[present].keys() - table[missing].keys())))
            if seeds:
                notes.append(f"{missing} has no run of seed {seeds}, so that of {present} is in no pair.")
    return notes
