"""Strategies compared over seeds: means with t intervals, paired differences with two tests, FLOPs of the stages.

Where values do not differ at all, as with no hallucination in any run, a t interval would have no width and claim
certainty. Such a mean has no interval: (nan, nan) with `is_constant`.
"""

import math
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
from scipy import stats

from espnet_llmasr.experiments.runs import Run, strategies_of, values_of
from espnet_llmasr.metrics.intervals import Interval

MOST_EXACT = 16
"""Pairs up to which the sign-flip test takes all 2^n signs; beyond, it draws 2^16 of them at random."""
ROUNDING = 1e-9
"""Numbers that differ by a smaller share are equal."""
UNKNOWN = (math.nan, math.nan)


class MeanInterval(NamedTuple):
    """The mean of n numbers with its 95 % t interval."""

    n: int
    mean: float
    interval: Interval
    is_constant: bool
    """True for two or more numbers that are all equal."""


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


Table = Dict[str, Dict[int, Run]]
"""Strategy -> seed -> run."""


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Mean of (n,) values; t interval with n - 1 degrees of freedom, none for n < 2 and for equal values."""
    values = np.asarray(values, float)
    n, mean = len(values), float(values.mean()) if len(values) else math.nan
    if n < 2 or np.ptp(values) <= ROUNDING * np.abs(values).max():
        return MeanInterval(n, mean, UNKNOWN, n >= 2)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    return MeanInterval(n, mean, (float(low), float(high)), False)


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """values (n,) less baseline (n,), of the same seeds in the same order."""
    values, baseline = np.asarray(values, float), np.asarray(baseline, float)
    scale = ROUNDING * np.abs([values, baseline]).max(initial=0)
    differences = values - baseline
    differences[np.abs(differences) <= scale] = 0
    mean, p_signs = mean_interval(differences), sign_flip_p(differences)
    if mean.n < 2 or np.ptp(differences) <= scale:
        mean = mean._replace(interval=UNKNOWN, is_constant=mean.n >= 2)
        return Difference(mean, 1.0 if mean.n and not differences.any() else math.nan, p_signs)
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
    others = [name for name in table if name != baseline]
    means = {name: {value: mean_interval(_known(table[name], value)) for value in values} for name in table}
    differences = {value: _compare(table, baseline, others, value) for value in values}
    return Statistics(baseline, _compute(table, baseline), means, differences, _unpaired(table, baseline, others))


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


def _known(runs: Dict[int, Run], value: str) -> List[float]:
    return [run.values[value] for run in runs.values() if run.values.get(value) is not None]


def _compute(table: Table, baseline: str) -> Dict[str, Compute]:
    """FLOPs of every strategy; stages in the order of the file."""
    stages = list(dict.fromkeys(stage for runs in table.values() for run in runs.values() for stage in run.flops))
    totals = {name: [run.total for run in runs.values()] for name, runs in table.items()}
    expected = np.mean(totals[baseline])
    result = {}
    for name, runs in table.items():
        deviation = max((total / expected - 1 for total in totals[name]), key=abs)
        means = {stage: sum(run.flops.get(stage, 0) for run in runs.values()) / len(runs) for stage in stages}
        present = {stage: mean for stage, mean in means.items() if any(stage in run.flops for run in runs.values())}
        result[name] = Compute(len(runs), float(np.mean(totals[name])), float(deviation), present)
    return result


def _compare(table: Table, baseline: str, others: Sequence[str], value: str) -> Dict[str, Difference]:
    """Pairs of the same seed; the p values of a value are corrected for all strategies compared in it."""
    result = {}
    for name in others:
        seeds = [seed for seed in table[name] if seed in table[baseline]]
        pairs = [(table[name][seed].values.get(value), table[baseline][seed].values.get(value)) for seed in seeds]
        known = np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
        result[name] = paired_difference(*known.T)
    p_t, p_signs = (holm([getattr(row, p) for row in result.values()]) for p in ("p_t", "p_sign_flip"))
    return {
        name: row._replace(p_t_holm=t, p_sign_flip_holm=signs)
        for (name, row), t, signs in zip(result.items(), p_t, p_signs)
    }


def _unpaired(table: Table, baseline: str, others: Sequence[str]) -> List[str]:
    notes = []
    for name in others:
        for present, missing in ((name, baseline), (baseline, name)):
            seeds = sorted(table[present].keys() - table[missing].keys())
            if seeds:
                listed = ", ".join(map(str, seeds))
                notes.append(f"{missing} has no run of seed {listed}, so that of {present} is in no pair.")
    return notes
