"""Strategies side by side: means over seeds, what each costs, and paired differences to one of them.

    python -m espnet_llmasr.bin.strategy_table --runs ablation.jsonl [--baseline ia_sft] [--out table.md] [--json FILE]

Reads one JSON line a run (experiments/runs.py), one for each strategy and seed, all at the same budget.
"""

import json
import math
from pathlib import Path
from typing import Dict, List, Optional

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.scoring.results import finite
from espnet_llmasr.scoring.test_sets import write_results
from espnet_llmasr.experiments.runs import (
    cell_text,
    check_names,
    check_outputs,
    flops_text,
    read_runs,
    strategies_of,
)
from espnet_llmasr.experiments.statistics import Row, Statistics, statistics_of
from espnet_llmasr.scoring.markdown import bullets, markdown, p_value
from espnet_llmasr.experiments.seeds import MeanInterval

EQUAL = 0.05  # runs within this share of the baseline's compute are called equal
SMALL_P = 0.0001
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


def page(figures: Statistics) -> str:
    """The three tables with what their columns mean, in markdown."""
    notes = [MEANS_NOTE, compute_note(figures)]
    parts = [f"## Means over seeds\n\n{means_table(figures)}\n{bullets(notes)}"]
    if len(figures.means) > 1:
        notes = [PAIRS_NOTE.format(baseline=figures.baseline), signs_note(figures), *figures.notes]
        title = f"## Differences to {figures.baseline}"
        parts.append(f"{title}\n\n{differences_table(figures)}\n{bullets(notes)}")
    parts.append(
        f"## FLOPs by stage\n\n{stages_table(figures)}\n{bullets(['Means over the runs, and shares of all.'])}"
    )
    return "\n".join(parts)


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
        sizes = [abs(means[value].mean) for means in figures.means.values() if means[value].n]
        size = max(sizes, default=0)
        digits = math.floor(math.log10(size)) if size else 0
        result[value] = 2 if "%" in value else min(6, max(0, 3 - digits))
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
    unequal = [
        f"{name} ({100 * one.deviation:+.1f} %)" for name, one in figures.compute.items() if abs(one.deviation) > EQUAL
    ]
    what = f"the mean compute of {figures.baseline}"
    if unequal:
        return f"**Not at equal compute**: runs are more than {100 * EQUAL:g} % away from {what}: {', '.join(unequal)}."
    return f"Equal compute: no run is more than {100 * EQUAL:g} % away from {what}; the farthest one is in the table."


def differences_table(figures: Statistics) -> str:
    """One row for each value and strategy."""
    decimals = decimals_of(figures)
    rows = [["value", "strategy", "pairs", "difference (95 %)", "p (t)", "Holm", "p (signs)", "Holm", "reading"]]
    for value, compared in figures.differences.items():
        for name, row in compared.items():
            p_values = (row.difference.p_t, row.p_t_holm, row.difference.p_sign_flip, row.p_sign_flip_holm)
            shown = ["-" if math.isnan(p) else p_value(p) if p >= SMALL_P else f"<{SMALL_P}" for p in p_values]
            mean = row.difference.mean
            cells = [str(mean.n), difference_cell(mean, decimals[value]), *shown, reading(row)]
            rows.append([cell_text(value), cell_text(name), *cells])
    return markdown(rows, left=2)


def difference_cell(mean: MeanInterval, decimals: int) -> str:
    if not mean.n:
        return "-"
    low, high = mean.interval
    brackets = "(-)" if math.isnan(low) else f"({low:+.{decimals}f} to {high:+.{decimals}f})"
    return f"{round(mean.mean, decimals) + 0.0:+.{decimals}f} {brackets}"  # + 0.0: never -0.00


def reading(row: Row) -> str:
    """What the pairs of a strategy and the baseline show, in words."""
    mean = row.difference.mean
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


def signs_note(figures: Statistics) -> str:
    """What the exact test can show with so many pairs and strategies."""
    rows = [row for compared in figures.differences.values() for row in compared.values()]
    n, count = max((row.difference.mean.n for row in rows), default=0), len(figures.means) - 1
    if not n:
        return ""
    floor = 2.0 ** (1 - n)
    never = "" if floor < 0.05 else f": {n} seeds alone can never be below 0.05 in it"
    tests = f"{count} strategies" if count > 1 else "1 strategy"
    needed = math.floor(math.log2(count / 0.05)) + 2
    return SIGNS_NOTE.format(n=n, floor=floor, never=never, count=tests, needed=needed)


def stages_table(figures: Statistics) -> str:
    """Strategies are rows, stages are columns."""
    stages = list(dict.fromkeys(stage for one in figures.compute.values() for stage in one.stages))
    rows = [["strategy", *map(cell_text, stages), "all"]]
    for name, one in figures.compute.items():
        shares = {stage: f"{flops_text(flops)} ({100 * flops / one.mean:.1f} %)" for stage, flops in one.stages.items()}
        rows.append([cell_text(name), *(shares.get(stage, "-") for stage in stages), flops_text(one.mean)])
    return markdown(rows)


def to_json(figures: Statistics) -> str:
    """All figures; null where there is no such number."""
    differences = {
        value: {name: _difference_json(row) for name, row in rows.items()}
        for value, rows in figures.differences.items()
    }
    result = {
        "baseline": figures.baseline,
        "flops": {name: one._asdict() for name, one in figures.compute.items()},
        "means": {
            name: {value: _mean_json(mean) for value, mean in means.items()} for name, means in figures.means.items()
        },
        "differences": differences,
        "notes": figures.notes,
    }
    return json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _mean_json(mean: MeanInterval) -> Dict:
    return {"n": mean.n, "mean": finite(mean.mean), "interval": list(map(finite, mean.interval))}


def _difference_json(row: Row) -> Dict:
    names = ("p_t", "p_sign_flip", "p_t_holm", "p_sign_flip_holm")
    p_values = (row.difference.p_t, row.difference.p_sign_flip, row.p_t_holm, row.p_sign_flip_holm)
    return {**_mean_json(row.difference.mean), **dict(zip(names, map(finite, p_values)))}


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="one JSON line a run")
    parser.add_argument("--baseline", default="ia_sft", help="strategy to which the others are compared")
    parser.add_argument("--out", type=Path, help="also write the tables to this markdown file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    check_outputs(args.runs, (args.out, args.json))
    runs = read_runs(args.runs)
    check_names("--baseline", [args.baseline], strategies_of(runs), args.runs)
    figures = statistics_of(runs, args.baseline)
    text, files = page(figures), []
    if args.out:
        files.append((args.out, text))
    if args.json:
        files.append((args.json, to_json(figures)))
    write_results(files)
    print(text, end="")


if __name__ == "__main__":
    run(main)
