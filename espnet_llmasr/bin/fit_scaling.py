"""The scaling law error = a * C^-b + c of each strategy, and what one saves over another at equal error.

    python -m espnet_llmasr.bin.fit_scaling --runs runs.jsonl --value "MER %" [--strategies efin joint_only] --out DIR

Reads one JSON line a run (experiments/runs.py), with the same strategy at four budgets or more; C are the FLOPs of
all its stages. Writes DIR/scaling.{json,md,png,svg} and prints the tables.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.scoring.results import finite
from espnet_llmasr.experiments.scaling_figure import draw
from espnet_llmasr.scoring.test_sets import refuse, write_results
from espnet_llmasr.experiments.runs import (
    Run,
    cell_text,
    check_names,
    check_outputs,
    flops_text,
    read_runs,
    strategies_of,
    values_of,
)
from espnet_llmasr.scoring.markdown import bullets, markdown
from espnet_llmasr.files import write_atomically
from espnet_llmasr.experiments.scaling import (
    RESAMPLES,
    RESAMPLING,
    Fit,
    Saving,
    fit_scaling,
    group_budgets,
    savings,
)
from espnet_llmasr.observe.plot_style import require_matplotlib

LAW_NOTE = (
    "error = a (C / C0)^-b + c, with C the FLOPs of a run in all stages and C0 their geometric mean: a is the part of "
    "the error at C0 that more compute takes away, c the floor. Fitted to log errors, so that a relative miss counts "
    "the same at every budget. In brackets 95 % percentile intervals of {resamples} bootstrap samples; "
    "resampled: {resampling}."
)
SAVING_NOTE = (
    "Only within the measured range of both: share of the other strategy's compute that reaches the same error, with "
    "its 95 % interval. < and >: the end lies outside of the measured range, whose end is given."
)


class Pair(NamedTuple):
    """What a strategy saves over another one, at each budget of the other where that can be said."""

    strategy: str
    other: str
    savings: List[Saving]


def select(runs: Sequence[Run], value: str, strategies: Sequence[str]) -> Tuple[Dict[str, List[Run]], List[str]]:
    """Strategy -> its runs with a number for that value, and notes on those without.

    Raises:
        ValueError: two runs of a strategy with the same seed and budget, or values that are not above 0.
    """
    table, notes, problems = {}, [], []
    for name in strategies:
        all_of_it = [one for one in runs if one.strategy == name]
        table[name] = [one for one in all_of_it if one.values.get(value) is not None]
        absent = [one.title for one in all_of_it if one.values.get(value) is None]
        notes += [f"Left out, as {value} is not known: {', '.join(absent)}."] if absent else []
        problems += [f"{one.title} has {value} {one.values[value]:g}" for one in table[name] if one.values[value] <= 0]
        problems += _repeated(table[name])
    refuse(problems, ": give one run for each strategy, seed and budget, with an error above 0 (larger test set)")
    return table, notes


def _repeated(runs: Sequence[Run]) -> Iterator[str]:
    """Runs of one seed at the same budget as an earlier one."""
    seen: Dict[Tuple[int, int], Run] = {}
    budgets = group_budgets(np.array([one.total for one in runs])) if runs else []
    for one, budget in zip(runs, budgets):
        first = seen.setdefault((one.seed, int(budget)), one)
        if first is not one:
            yield f"{one.title} repeats line {first.line} at the same budget of {flops_text(one.total)} FLOPs"


def fit_all(table: Dict[str, List[Run]], value: str) -> Dict[str, Fit]:
    """Raises ValueError, naming the strategy, where its budgets are too few."""
    fits = {}
    for number, (name, runs) in enumerate(table.items()):
        if not runs:
            raise ValueError(f"{name} has no run with a number for {value}: leave it out with --strategies")
        compute, errors = [one.total for one in runs], [one.values[value] for one in runs]
        try:
            fits[name] = fit_scaling(compute, errors, RESAMPLES, seed=number)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; or leave it out with --strategies") from error
    return fits


def compare(fits: Dict[str, Fit]) -> List[Pair]:
    """Each two strategies, first the one that needs less; without savings where their errors do not meet."""
    pairs = []
    for a, b in combinations(fits, 2):
        both = [Pair(a, b, savings(fits[a], fits[b])), Pair(b, a, savings(fits[b], fits[a]))]
        pairs.append(min(both, key=lambda pair: pair.savings[-1].share if pair.savings else np.inf))
    return pairs


def report(fits: Dict[str, Fit], pairs: Sequence[Pair], value: str, notes: Sequence[str]) -> str:
    """Laws, warnings, fitted errors and savings in markdown."""
    kinds = {kind: [name for name, fit in fits.items() if fit.resampling == kind] for kind in RESAMPLING}
    resampled = "; ".join(f"{RESAMPLING[kind]} ({', '.join(names)})" for kind, names in kinds.items() if names)
    warnings = [f"**{name}**: {warning}." for name, fit in fits.items() for warning in fit.warnings]
    items = [LAW_NOTE.format(resamples=RESAMPLES, resampling=resampled), *notes, *warnings]
    parts = [
        f"## Scaling law of {value}\n\n{law_table(fits)}\n{bullets(items)}",
        f"## Fitted {value} at each budget\n\n{budget_table(fits, value)}",
    ]
    if pairs:
        said = [sentence(pair) for pair in pairs]
        parts.append(f"## Compute at equal {value}\n\n{bullets([*said, SAVING_NOTE])}\n{saving_table(pairs, value)}")
    return "\n".join(parts)


def law_table(fits: Dict[str, Fit]) -> str:
    rows = [["strategy", "runs", "budgets", "C0", "a", "b", "c"]]
    for name, fit in fits.items():
        numbers = [f"{getattr(fit.law, key):.4g} {_brackets(*fit.interval(key))}" for key in "abc"]
        counts = [str(len(fit.errors)), str(len(fit.centres)), flops_text(fit.law.scale)]
        rows.append([cell_text(name), *counts, *numbers])
    return markdown(rows)


def budget_table(fits: Dict[str, Fit], value: str) -> str:
    rows = [["strategy", "FLOPs", "runs", f"{cell_text(value)}, mean of logs", "lowest to highest", "law (95 %)"]]
    for name, fit in fits.items():
        bands = fit.band(fit.centres).T
        for budget, (compute, band) in enumerate(zip(fit.centres, bands)):
            errors = fit.errors[fit.budgets == budget]
            seen = [f"{np.exp(np.log(errors).mean()):.4g}", f"{errors.min():.4g} to {errors.max():.4g}"]
            law = f"{fit.law.predict(compute):.4g} {_brackets(*band)}"
            rows.append([cell_text(name), flops_text(compute), str(len(errors)), *seen, law])
    return markdown(rows)


def _brackets(low: float, high: float) -> str:
    return f"({low:.4g} to {high:.4g})"


def sentence(pair: Pair) -> str:
    """The saving at the largest budget at which it can be told."""
    if not pair.savings:
        return f"{pair.strategy} and {pair.other}: no error that both reach within their measured ranges."
    last = pair.savings[-1]
    return (
        f"{pair.strategy} reaches {pair.other}'s error at {flops_text(last.compute)} FLOPs ({last.error:.3g}) with "
        f"{share_text(last)} of the compute{'' if _is_clear(last) else ', which is within noise'}."
    )


def _is_clear(saving: Saving) -> bool:
    return not saving.interval[0] <= 1 <= saving.interval[1]


def share_text(saving: Saving) -> str:
    """ "62 % (55 to >80 %)"."""
    signs = [sign if is_open else "" for sign, is_open in zip("<>", saving.is_open)]
    low, high = (f"{sign}{100 * end:.3g}" for sign, end in zip(signs, saving.interval))
    return f"{100 * saving.share:.3g} % ({low} to {high} %)"


def saving_table(pairs: Sequence[Pair], value: str) -> str:
    rows = [["strategy", "other", "FLOPs of the other", f"its {cell_text(value)} (law)", "share of them needed"]]
    for pair in pairs:
        names = [cell_text(pair.strategy), cell_text(pair.other)]
        rows += [[*names, flops_text(one.compute), f"{one.error:.4g}", share_text(one)] for one in pair.savings]
    return markdown(rows, left=2)


def to_json(fits: Dict[str, Fit], pairs: Sequence[Pair], value: str, notes: Sequence[str]) -> str:
    """All figures; null where there is no such number."""
    saved = [{**pair._asdict(), "savings": [one._asdict() for one in pair.savings]} for pair in pairs]
    result = {"value": value, "law": "a * (C / C0)^-b + c", "resamples": RESAMPLES, "notes": notes}
    result.update(strategies={name: _fit_json(fit) for name, fit in fits.items()}, savings=saved)
    return json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _fit_json(fit: Fit) -> Dict:
    law, bands = fit.law, fit.band(fit.centres).T
    budgets = [
        {
            "flops": float(c),
            "errors": fit.errors[fit.budgets == n].tolist(),
            "law": float(law.predict(c)),
            "interval": i,
        }
        for n, (c, i) in enumerate(zip(fit.centres, bands.tolist()))
    ]
    with np.errstate(over="ignore"):
        a_of_flops = finite(float(np.float64(law.scale) ** law.b * law.a))
    intervals = {name: fit.interval(name) for name in "abc"}
    numbers = {"a": law.a, "b": law.b, "c": law.c, "C0": law.scale, "a_of_flops": a_of_flops, "intervals": intervals}
    return {**numbers, "resampling": fit.resampling, "warnings": fit.warnings, "budgets": budgets}


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="one JSON line a run")
    parser.add_argument("--value", required=True, help="name of the error among the values, for example 'MER %%'")
    parser.add_argument("--strategies", nargs="+", help="without: all that the file has")
    parser.add_argument("--out", type=Path, required=True, help="folder for scaling.{json,md,png,svg}")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    require_matplotlib()
    outputs = {kind: args.out / f"scaling.{kind}" for kind in ("json", "md", "png", "svg")}
    check_outputs(args.runs, outputs.values())
    runs = read_runs(args.runs)
    found = strategies_of(runs)
    check_names("--value", [args.value], values_of(runs), args.runs)
    check_names("--strategies", args.strategies or [], found, args.runs)
    table, notes = select(runs, args.value, list(dict.fromkeys(args.strategies or found)))
    fits = fit_all(table, args.value)
    pairs = compare(fits)
    text, figure = report(fits, pairs, args.value, notes), draw(fits, args.value)
    contents = {"json": to_json(fits, pairs, args.value, notes), "md": text, "svg": figure["svg"].decode()}
    write_results([(outputs[kind], content) for kind, content in contents.items()])
    write_atomically(outputs["png"], figure["png"])
    print(text, end="")


if __name__ == "__main__":
    run(main)
