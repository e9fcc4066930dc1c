"""Strategies compared over seeds: means with t intervals, paired differences with two tests, FLOPs; and their page.

Equal values, as of no hallucination in any run, would give a t interval without width, which claims certainty. Their
mean has no interval: (nan, nan) with `is_constant`.
"""

import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy import stats

from espnet_llmasr.experiments.runs import (
    Run,
    check_names,
    check_outputs,
    flops_text,
    read_runs,
    strategies_of,
    values_of,
)
from espnet_llmasr.files import write_all_atomically
from espnet_llmasr.metrics.intervals import Interval
from espnet_llmasr.scoring.markdown import bullets, cell_text, markdown, p_value
from espnet_llmasr.scoring.results import json_text

MOST_EXACT = 16  # pairs up to which the sign-flip test takes all 2^n signs; of more it draws 2^16 at random
ROUNDING = 1e-9  # numbers that differ by a smaller share are equal
UNKNOWN = (math.nan, math.nan)
Numbers = Dict[int, Optional[float]]
"""Seed -> value of the run."""
Table = Dict[str, Dict[int, Run]]
"""Strategy -> seed -> run."""
EQUAL = 0.05  # runs within this share of the baseline's compute are called equal
ERROR_RATES = ("MER", "CER", "WER", "PER")  # insertions may bring them above 100 %, as no share can be
MEANS_NOTE = (
    "Mean over the runs (seeds), in brackets the 95 % t interval of it, with n - 1 degrees of freedom; n is the number "
    "of runs, unless the cell has its own. `(-)`: one run, no interval. `(all equal)`: no spread, so none either; it "
    "does not say that the next run would be equal, too. Intervals of rates (%) are cut at 0, those of shares also at "
    "100. An interval is of one mean: whether two strategies differ is in the next table."
)
PAIRS_NOTE = (
    "Strategy less {baseline}, of runs of the same seed, which share initialisation and data; 95 % paired t interval. "
    "p (t): paired t test; p (signs): sign-flip test over all 2^n signs of n pairs, never below 2^(1 - n), so that five "
    f"pairs cannot show p < 0.05 (beyond {MOST_EXACT} pairs {2**MOST_EXACT} choices drawn at random); both two-sided. "
    "Holm: corrected for the strategies that are compared in a value, not for the number of values. Within noise: the "
    "interval contains 0, which does not show that there is no difference. Not after Holm: it does not contain 0, but "
    "p (t) with Holm is 0.05 or more."
)


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
    p = np.asarray(p_values, float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # nan comes last
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted.tolist()


def compare_strategies(runs_file: Path, baseline: str, out: Optional[Path] = None, json: Optional[Path] = None) -> str:
    """The page of a file of runs; also written to `out`, and all figures to `json`.

    Raises:
        ValueError: a result would replace the file of the runs or the other result, the file lacks the baseline, or
            see `read_runs` and `statistics_of`.
    """
    check_outputs(runs_file, (out, json))
    runs = read_runs(runs_file)
    check_names("--baseline", [baseline], strategies_of(runs), runs_file)
    figures = statistics_of(runs, baseline)
    text = page(figures)
    contents = {out: text, json: to_json(figures)}
    write_all_atomically({path: content for path, content in contents.items() if path})
    return text


def statistics_of(runs: Sequence[Run], baseline: str) -> Statistics:
    """Raises ValueError if a strategy has two runs of one seed."""
    table, values = by_seed(runs), values_of(runs)

    def numbers(name: str, value: str) -> Numbers:
        return {seed: run.values.get(value) for seed, run in table[name].items()}

    means, differences = {name: {} for name in table}, {}
    for value in values:
        for name in table:
            known = [number for number in numbers(name, value).values() if number is not None]
            means[name][value] = mean_interval(known)
        others = {name: numbers(name, value) for name in table if name != baseline}
        differences[value] = compare_all(others, numbers(baseline, value))
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


def page(figures: Statistics) -> str:
    """The three tables with what their columns mean, in markdown."""
    parts = {"Means over seeds": f"{means_table(figures)}\n{bullets([MEANS_NOTE, compute_note(figures)])}"}
    if len(figures.means) > 1:
        notes = [PAIRS_NOTE.format(baseline=figures.baseline), *figures.notes]
        parts[f"Differences to {figures.baseline}"] = f"{differences_table(figures)}\n{bullets(notes)}"
    parts["FLOPs by stage"] = f"{stages_table(figures)}\n{bullets(['Means over the runs, and shares of all.'])}"
    return "\n".join(f"## {title}\n\n{part}" for title, part in parts.items())


def means_table(figures: Statistics) -> str:
    """Strategies are rows, values are columns."""
    decimals = decimals_of(figures)
    rows = [["strategy", "n", *map(cell_text, decimals), "FLOPs a run", f"farthest from {cell_text(figures.baseline)}"]]
    for name, means in figures.means.items():
        compute = figures.compute[name]
        cells = [mean_cell(value, mean, decimals[value], compute.runs) for value, mean in means.items()]
        spent = [flops_text(compute.mean), f"{100 * compute.deviation:+.1f} %"]
        rows.append([cell_text(name), str(compute.runs), *cells, *spent])
    return markdown(rows)


def decimals_of(figures: Statistics) -> Dict[str, int]:
    """Value -> decimals: two for percent, else those that give the largest mean four digits."""
    result = {}
    for value in figures.differences:
        size = max((abs(means[value].mean) for means in figures.means.values() if means[value].n), default=0)
        result[value] = 2 if "%" in value else min(6, max(0, 3 - math.floor(math.log10(size or 1))))
    return result


def mean_cell(value: str, mean: MeanInterval, decimals: int, runs: int) -> str:
    """ "4.20 (3.91 to 4.49)"; see MEANS_NOTE for what else there may be."""
    if not mean.n:
        return "-"
    low, high = mean.interval
    if "%" in value:
        low = 0.0 if low < 0 <= mean.mean else low
        high = 100.0 if high > 100 >= mean.mean and not value.startswith(ERROR_RATES) else high
    brackets = f"({low:.{decimals}f} to {high:.{decimals}f})"
    if math.isnan(low):
        brackets = "(all equal)" if mean.is_constant else "(-)"
    return f"{mean.mean:.{decimals}f} {brackets}" + (f"; n = {mean.n}" if mean.n != runs else "")


def compute_note(figures: Statistics) -> str:
    """Whether this is a comparison at equal compute."""
    deviations = {name: 100 * compute.deviation for name, compute in figures.compute.items()}
    unequal = [f"{name} ({size:+.1f} %)" for name, size in deviations.items() if abs(size) > 100 * EQUAL]
    far = f"more than {100 * EQUAL:g} % away from the mean compute of {figures.baseline}"
    if unequal:
        return f"**Not at equal compute**: runs are {far}: {', '.join(unequal)}."
    return f"Equal compute: no run is {far}; the farthest one is in the table."


def differences_table(figures: Statistics) -> str:
    """One row for each value and strategy."""
    decimals = decimals_of(figures)
    rows = [["value", "strategy", "pairs", "difference (95 %)", "p (t)", "Holm", "p (signs)", "Holm", "reading"]]
    for value, compared in figures.differences.items():
        for name, row in compared.items():
            shown = map(p_value, (row.p_t, row.p_t_holm, row.p_sign_flip, row.p_sign_flip_holm))
            cells = [str(row.mean.n), difference_cell(row.mean, decimals[value]), *shown, reading(row)]
            rows.append([cell_text(value), cell_text(name), *cells])
    return markdown(rows, left=2)


def difference_cell(mean: MeanInterval, decimals: int) -> str:
    if not mean.n:
        return "-"
    low, high = mean.interval
    brackets = "(-)" if math.isnan(low) else f"({low:+.{decimals}f} to {high:+.{decimals}f})"
    return f"{round(mean.mean, decimals) + 0.0:+.{decimals}f} {brackets}"  # + 0.0: never -0.00


def reading(row: Difference) -> str:
    """The result of the pairs of a strategy and the baseline in words."""
    mean = row.mean
    if mean.n < 2:
        return "too few pairs"
    if not mean.mean and mean.is_constant:
        return "equal"
    word = "higher" if mean.mean > 0 else "lower"
    if mean.is_constant:
        return f"{word} by the same in every pair"
    low, high = mean.interval
    if low <= 0 <= high:
        return "within noise"
    return word if row.p_t_holm < 0.05 else f"{word}, not after Holm"


def stages_table(figures: Statistics) -> str:
    """Strategies are rows, stages are columns."""
    stages = list(dict.fromkeys(stage for compute in figures.compute.values() for stage in compute.stages))
    rows = [["strategy", *map(cell_text, stages), "all"]]
    for name, compute in figures.compute.items():
        shares = {stage: f"{flops_text(f)} ({100 * f / compute.mean:.1f} %)" for stage, f in compute.stages.items()}
        rows.append([cell_text(name), *(shares.get(stage, "-") for stage in stages), flops_text(compute.mean)])
    return markdown(rows)


def to_json(figures: Statistics) -> str:
    """All figures; null for an unknown number."""
    differences = {
        value: {name: {**row.mean._asdict(), **dict(zip(row._fields[1:], row[1:]))} for name, row in rows.items()}
        for value, rows in figures.differences.items()
    }
    means = {name: {value: mean._asdict() for value, mean in means.items()} for name, means in figures.means.items()}
    flops = {name: compute._asdict() for name, compute in figures.compute.items()}
    rest = {"means": means, "differences": differences, "notes": figures.notes}
    return json_text({"baseline": figures.baseline, "flops": flops, **rest})
