"""The page of a comparison of strategies in Markdown and JSON: means, paired differences, FLOPs by stage."""

import math
from typing import Dict, List

from espnet_llmasr.experiments.runs import flops_text
from espnet_llmasr.experiments.statistics import MOST_EXACT, Difference, MeanInterval, Statistics
from espnet_llmasr.scoring.markdown import bullets, cell_text, markdown, p_value
from espnet_llmasr.scoring.results import json_text

EQUAL = 0.05  # runs within this share of the baseline's compute are called equal
ERROR_RATES = ("MER", "CER", "WER", "PER")  # insertions may bring them above 100 %, as no share can be
MEANS_NOTE = (
    "Mean over the runs (seeds), in brackets the 95 % t interval of it, with n - 1 degrees of freedom; n is the number "
    "of runs, unless the cell has its own. `(-)`: one run, no interval. `(all equal)`: no spread, so none either; it "
    "does not say that the next run would be equal, too. `*`: the interval reaches below 0, or that of a share above "
    "100; of rates (%) it is shown from 0, of shares up to 100. An interval is of one mean: whether two strategies "
    "differ stands below."
)
PAIRS_NOTE = (
    "Strategy less {baseline}, of runs of the same seed, which share initialisation and data; 95 % paired t interval. "
    "p (t): paired t test; p (signs): exact sign-flip test over all 2^n signs; both two-sided. Holm: corrected for the "
    "strategies that are compared in a value, not for the number of values. Within noise: the interval contains 0, "
    "which does not show that there is no difference. Not after Holm: it does not contain 0, but p (t) with Holm is "
    "0.05 or more."
)
SIGNS_NOTE = (
    "With {n} pairs the smallest two-sided p (signs) is {floor:g}{never}. Below 0.05 after Holm over {count} takes at "
    "least {needed} seeds."
)
DRAWN_NOTE = f"Of more than {MOST_EXACT} pairs, p (signs) takes {2**MOST_EXACT} choices of signs, drawn at random."


def page(figures: Statistics) -> str:
    """The three tables with what their columns mean, in markdown."""
    parts = {"Means over seeds": f"{means_table(figures)}\n{bullets([MEANS_NOTE, compute_note(figures)])}"}
    if len(figures.means) > 1:
        notes = [PAIRS_NOTE.format(baseline=figures.baseline), *signs_notes(figures), *figures.notes]
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
    brackets = "(all equal)" if mean.is_constant else "(-)"
    if not math.isnan(low):
        below = low < 0 <= mean.mean
        above = high > 100 >= mean.mean and "%" in value and not value.startswith(ERROR_RATES)
        start = 0.0 if below and "%" in value else low
        brackets = f"({start:.{decimals}f} to {100 if above else high:.{decimals}f})" + "\\*" * (below or above)
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


def signs_notes(figures: Statistics) -> List[str]:
    """The smallest p of the sign-flip test for so many pairs and strategies."""
    pairs = [row.mean.n for compared in figures.differences.values() for row in compared.values()]
    n, count = max(pairs, default=0), len(figures.means) - 1
    if not n:
        return []
    floor = 2.0 ** (1 - n)
    never = "" if floor < 0.05 else f": {n} seeds alone can never be below 0.05 in it"
    tests = f"{count} strategies" if count > 1 else "1 strategy"
    needed = math.floor(math.log2(count / 0.05)) + 2
    note = SIGNS_NOTE.format(n=n, floor=floor, never=never, count=tests, needed=needed)
    return [note, DRAWN_NOTE] if n > MOST_EXACT else [note]


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
