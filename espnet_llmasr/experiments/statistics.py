"""What bin.strategy_table prints, before it is printed: means, differences and FLOPs of every strategy."""

from typing import Dict, List, NamedTuple, Sequence

from espnet_llmasr.scoring.test_sets import first_of, refuse
from espnet_llmasr.experiments.runs import Run, strategies_of, values_of
from espnet_llmasr.experiments.seeds import Difference, MeanInterval, holm, mean_interval, paired_difference


class Compute(NamedTuple):
    """FLOPs of a strategy."""

    runs: int
    mean: float
    deviation: float
    """Of the run that is farthest from the mean of the baseline: its FLOPs over that mean, less 1."""
    stages: Dict[str, float]
    """Means; a stage that only some runs have counts as 0 in the others."""


class Row(NamedTuple):
    """One value of one strategy against the baseline."""

    difference: Difference
    p_t_holm: float
    p_sign_flip_holm: float


class Statistics(NamedTuple):
    """All figures; strategies, values and stages in the order in which they are printed."""

    baseline: str
    compute: Dict[str, Compute]
    means: Dict[str, Dict[str, MeanInterval]]
    """Strategy -> value -> its mean over seeds."""
    differences: Dict[str, Dict[str, Row]]
    """Value -> strategy -> its difference to the baseline."""
    notes: List[str]
    """Runs without a partner."""


Table = Dict[str, Dict[int, Run]]
"""Strategy -> seed -> run."""


def by_seed(runs: Sequence[Run]) -> Table:
    """Raises ValueError if a strategy has two runs of one seed."""
    table: Table = {name: {} for name in strategies_of(runs)}
    problems = []
    for one in runs:
        first = table[one.strategy].setdefault(one.seed, one)
        if first is not one:
            problems.append(f"{one.title} repeats line {first.line}")
    refuse(problems, ": give one run for each strategy and seed, of one budget (bin.fit_scaling compares budgets)")
    return table


def statistics_of(runs: Sequence[Run], baseline: str) -> Statistics:
    table, values = by_seed(runs), values_of(runs)
    others = [name for name in table if name != baseline]
    means = {name: {value: mean_interval(_known(table[name], value)) for value in values} for name in table}
    differences = {value: _compare(table, baseline, others, value) for value in values}
    return Statistics(baseline, _compute(table, baseline), means, differences, _unpaired(table, baseline, others))


def _known(runs: Dict[int, Run], value: str) -> List[float]:
    return [one.values[value] for one in runs.values() if one.values.get(value) is not None]


def _compute(table: Table, baseline: str) -> Dict[str, Compute]:
    """Stages in the order in which they come first."""
    stages = list(dict.fromkeys(stage for runs in table.values() for one in runs.values() for stage in one.flops))
    totals = {name: [one.total for one in runs.values()] for name, runs in table.items()}
    expected = sum(totals[baseline]) / len(totals[baseline])
    result = {}
    for name, runs in table.items():
        deviation = max((total / expected - 1 for total in totals[name]), key=abs)
        there = [stage for stage in stages if any(stage in one.flops for one in runs.values())]
        parts = {stage: sum(one.flops.get(stage, 0) for one in runs.values()) / len(runs) for stage in there}
        result[name] = Compute(len(runs), sum(totals[name]) / len(runs), deviation, parts)
    return result


def _compare(table: Table, baseline: str, others: Sequence[str], value: str) -> Dict[str, Row]:
    """Pairs of the same seed; the p values of a value are corrected for all strategies that are compared in it."""
    differences = {}
    for name in others:
        pairs = [(table[name][seed], table[baseline][seed]) for seed in table[name] if seed in table[baseline]]
        numbers = [tuple(one.values.get(value) for one in pair) for pair in pairs]
        known = [pair for pair in numbers if None not in pair]
        differences[name] = paired_difference([pair[0] for pair in known], [pair[1] for pair in known])
    adjusted = [holm([getattr(one, p) for one in differences.values()]) for p in ("p_t", "p_sign_flip")]
    return {name: Row(*figures) for name, *figures in zip(differences, differences.values(), *adjusted)}


def _unpaired(table: Table, baseline: str, others: Sequence[str]) -> List[str]:
    notes = []
    for name in others:
        for there, missing in ((name, baseline), (baseline, name)):
            seeds = sorted(table[there].keys() - table[missing].keys())
            if seeds:
                notes.append(
                    f"{missing} has no run of seed {first_of(map(str, seeds))}, so that of {there} is in no pair."
                )
    return notes
