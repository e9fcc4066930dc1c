"""The page, the figures as JSON, and the drawing of bin.fit_scaling."""

import json
from itertools import combinations
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_llmasr.experiments.runs import Run, cell_text, flops_text
from espnet_llmasr.experiments.scaling import RESAMPLES, Fit, Saving, fit_scaling, group_budgets, saving, warnings_of
from espnet_llmasr.observe.plot_style import colour, marker, save, style
from espnet_llmasr.scoring.markdown import bullets, markdown
from espnet_llmasr.scoring.results import finite

POINTS = 200
LAW_NOTE = (
    "error = a (C / C0)^-b + c, with C the FLOPs of a run in all stages and C0 their geometric mean: a is the part of "
    "the error at C0 that more compute takes away, c the floor. Fitted to log errors, so that a relative miss counts "
    f"the same at every budget. In brackets 95 % percentile intervals of {RESAMPLES} bootstrap samples over seeds; all "
    "budgets share the deviations of seeds from the mean of a budget."
)
SAVING_NOTE = "In brackets the 95 % interval; inf: some laws of the bootstrap never reach the error."


class Pair(NamedTuple):
    """Two strategies, first the one that needs less compute; no saving where the measured errors do not overlap."""

    strategy: str
    other: str
    saving: Optional[Saving]


def select(runs: Sequence[Run], value: str, strategies: Sequence[str]) -> Tuple[Dict[str, List[Run]], List[str]]:
    """Strategy -> its runs with a number for that value, and notes on runs without.

    Raises:
        ValueError: a strategy has no such run, two of the same seed and budget, or a value that is not above 0.
    """
    table, notes = {}, []
    for name in strategies:
        absent = [run.title for run in runs if run.strategy == name and run.values.get(value) is None]
        notes += [f"Left out, as {value} is not known: {', '.join(absent)}."] if absent else []
        table[name] = [run for run in runs if run.strategy == name and run.values.get(value) is not None]
        if not table[name]:
            raise ValueError(f"{name} has no run with a number for {value}: leave it out with --strategies")
        seen: Dict[Tuple[int, int], Run] = {}
        for run, budget in zip(table[name], group_budgets(np.array([run.total for run in table[name]]))):
            if run.values[value] <= 0:
                raise ValueError(f"{run.title} has {value} {run.values[value]:g}, expected more than 0")
            if (first := seen.setdefault((run.seed, int(budget)), run)) is not run:
                where = f"line {first.line} at {flops_text(run.total)} FLOPs"
                raise ValueError(f"{run.title} repeats {where}: give one run a seed and budget")
    return table, notes


def fit_all(table: Dict[str, List[Run]], value: str) -> Dict[str, Fit]:
    """Raises ValueError, with the name of the strategy, where its budgets are too few."""
    fits = {}
    for number, (name, runs) in enumerate(table.items()):
        try:
            compute, errors = [run.total for run in runs], [run.values[value] for run in runs]
            fits[name] = fit_scaling(compute, errors, RESAMPLES, seed=number)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; or leave it out with --strategies") from error
    return fits


def compare(fits: Dict[str, Fit]) -> List[Pair]:
    """Every two strategies."""
    pairs = []
    for a, b in combinations(fits, 2):
        both = [Pair(a, b, saving(fits[a], fits[b])), Pair(b, a, saving(fits[b], fits[a]))]
        pairs.append(min(both, key=lambda pair: pair.saving.share if pair.saving else np.inf))
    return pairs


def page(fits: Dict[str, Fit], pairs: Sequence[Pair], value: str, notes: Sequence[str]) -> str:
    """Laws, warnings, fitted errors and savings in Markdown."""
    warnings = [f"**{name}**: {warning}." for name, fit in fits.items() for warning in warnings_of(fit)]
    laws = f"## Scaling law of {value}\n\n{law_table(fits)}\n{bullets([LAW_NOTE, *notes, *warnings])}"
    parts = [laws, f"## Fitted {value} at each budget\n\n{budget_table(fits, value)}"]
    if pairs:
        items = [*map(sentence, pairs), SAVING_NOTE]
        parts.append(f"## Compute at equal {value}\n\n{bullets(items)}")
    return "\n".join(parts)


def law_table(fits: Dict[str, Fit]) -> str:
    """One row a strategy."""
    rows = [["strategy", "runs", "budgets", "C0", "a", "b", "c"]]
    for name, fit in fits.items():
        numbers = [f"{getattr(fit.law, key):.4g} {_brackets(*fit.interval(key))}" for key in "abc"]
        rows.append([cell_text(name), str(len(fit.errors)), str(len(fit.centres)), flops_text(fit.law.scale), *numbers])
    return markdown(rows)


def budget_table(fits: Dict[str, Fit], value: str) -> str:
    """One row for each strategy and budget."""
    rows = [["strategy", "FLOPs", "runs", f"{cell_text(value)}, mean of logs", "lowest to highest", "law (95 %)"]]
    for name, fit in fits.items():
        for budget, (compute, band) in enumerate(zip(fit.centres, fit.band(fit.centres).T)):
            errors = fit.errors[fit.budgets == budget]
            measured = [f"{np.exp(np.log(errors).mean()):.4g}", f"{errors.min():.4g} to {errors.max():.4g}"]
            law = f"{fit.law.predict(compute):.4g} {_brackets(*band)}"
            rows.append([cell_text(name), flops_text(compute), str(len(errors)), *measured, law])
    return markdown(rows)


def _brackets(low: float, high: float) -> str:
    return "(-)" if np.isnan(low) else f"({low:.4g} to {high:.4g})"


def sentence(pair: Pair) -> str:
    """The saving at the largest budget that allows a comparison."""
    if not pair.saving:
        return f"{pair.strategy} and {pair.other}: no error that both reach within their measured ranges."
    compute, error, share, (low, high) = pair.saving
    noise = ", which is within noise" if low <= 1 <= high else ""
    return (
        f"{pair.strategy} reaches {pair.other}'s error at {flops_text(compute)} FLOPs ({error:.3g}) with "
        f"{100 * share:.3g} % ({100 * low:.3g} to {100 * high:.3g} %) of the compute{noise}."
    )


def to_json(fits: Dict[str, Fit], pairs: Sequence[Pair], value: str, notes: Sequence[str]) -> str:
    """All figures; null where there is no such number."""
    savings = [
        {"strategy": strategy, "other": other, **saved._asdict(), "interval": list(map(finite, saved.interval))}
        for strategy, other, saved in pairs
        if saved
    ]
    result = {"value": value, "law": "a * (C / C0)^-b + c", "resamples": RESAMPLES, "notes": notes}
    result.update(strategies={name: _fit_json(fit) for name, fit in fits.items()}, savings=savings)
    return json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _fit_json(fit: Fit) -> Dict:
    a, b, c, scale = fit.law
    intervals = {name: list(map(finite, fit.interval(name))) for name in "abc"}
    budgets = [
        {
            "flops": float(compute),
            "errors": fit.errors[fit.budgets == number].tolist(),
            "law": float(fit.law.predict(compute)),
            "interval": list(map(finite, band)),
        }
        for number, (compute, band) in enumerate(zip(fit.centres, fit.band(fit.centres).T.tolist()))
    ]
    return dict(a=a, b=b, c=c, C0=scale, intervals=intervals, warnings=warnings_of(fit), budgets=budgets)


def draw(fits: Dict[str, Fit], value: str, out: Path) -> None:
    """scaling.{png,svg} in `out`: runs as points, budgets with the range of their runs, each law with its 95 % band.

    A dashed line is the floor c of a law; where c is 0 there is none. Both axes are logarithmic.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with style(), rc_context({"svg.fonttype": "none"}):  # text stays text, which a reader can search
        figure = Figure(figsize=(7, 4.6), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log", xlabel="training compute (FLOPs)")
        axes.set_ylabel(value, parse_math=False)
        for number, (name, fit) in enumerate(fits.items()):
            draw_fit(axes, name.replace("$", r"\$"), fit, colour(number), marker(number))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.legend()
        save(figure, out, "scaling")


def draw_fit(axes, name: str, fit: Fit, color: str, symbol: str) -> None:
    """One strategy."""
    law, compute = fit.law, np.geomspace(fit.compute.min(), fit.compute.max(), POINTS)
    label = f"{name}: {law.a:.3g} (C / {flops_text(law.scale)})$^{{-{law.b:.3g}}}$ + {law.c:.3g}"
    axes.fill_between(compute, *fit.band(compute), color=color, alpha=0.15, linewidth=0)
    axes.plot(compute, law.predict(compute), color=color, label=label)
    axes.plot(fit.compute, fit.errors, symbol, color=color, markersize=3.5, alpha=0.5)
    groups = [fit.errors[fit.budgets == budget] for budget in range(len(fit.centres))]
    means = np.array([np.exp(np.log(group).mean()) for group in groups])
    ends = np.array([(group.min(), group.max()) for group in groups]).T
    reach = np.maximum([means - ends[0], ends[1] - means], 0)  # rounding may put the mean of one run beside it
    axes.errorbar(fit.centres, means, reach, fmt=symbol, color=color, capsize=3, markersize=6)
    if law.c > 0:
        axes.axhline(law.c, color=color, linestyle="--", linewidth=0.9, label=f"{name}: floor c = {law.c:.3g}")
