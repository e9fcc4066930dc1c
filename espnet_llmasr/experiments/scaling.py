"""The scaling law error = a * (C / C0)^-b + c of training compute C, which arXiv 2508.04096 announces, and its page.

The law is fitted to log errors: the spread over seeds grows with the error, so a relative miss counts the same at
every budget. The law therefore describes the geometric mean over seeds, and an error of 0 cannot be used. C0 is the
geometric mean of C. Intervals are percentiles of a bootstrap over seeds; benchmarks/scaling.md has their coverage.

Shapes: N runs, R resamples, P amounts of compute.
"""

import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from scipy.optimize import curve_fit

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
from espnet_llmasr.observe.plot_style import colour, marker, new_figure, require_matplotlib, save, style
from espnet_llmasr.scoring.markdown import bullets, cell_text, markdown
from espnet_llmasr.scoring.results import json_text

RESAMPLES, POINTS = 1000, 200
MIN_BUDGETS = 4  # the law has three parameters
MIN_FREEDOM = 4  # runs less budgets; with fewer the spread over seeds is unknown
SAME_BUDGET = 1.1  # seeds differ in their batches: compute that differs by a smaller factor is the same budget
B_RANGE = (0.01, 10.0)
STARTS_B, STARTS_C = (0.03, 0.1, 0.3, 1.0, 3.0), (0.01, 0.5, 0.9, 0.99)
NOTE = (
    "error = a (C / C0)^-b + c, with C the FLOPs of a run in all stages and C0 their geometric mean: a is the part of "
    "the error at C0 that more compute takes away, c the floor; c = 0: the measured range shows no floor. Fitted to "
    "log errors, so that a relative miss counts the same at every budget. In brackets 95 % percentile intervals of "
    f"{RESAMPLES} bootstrap samples over seeds, (-) where fewer than {MIN_FREEDOM} runs repeat a budget; all budgets "
    "share the deviations of seeds from the mean of a budget. b and c depend on each other where budgets span less "
    "than a factor of 10; b is not identified where its interval reaches {:g} or {:g}.".format(*B_RANGE)
)


class Law(NamedTuple):
    """error = a * (C / scale)^-b + c; numbers, or (R, 1) of R resamples. `scale`: C0 in FLOPs."""

    a: Union[float, np.ndarray]
    b: Union[float, np.ndarray]
    c: Union[float, np.ndarray]
    scale: float

    def predict(self, compute: np.ndarray) -> np.ndarray:
        """Error at a compute of () or (P,) FLOPs; (R, P) for resamples."""
        return self.a * (compute / self.scale) ** -self.b + self.c


class Fit(NamedTuple):
    """A law with its resamples; compute (N,), errors (N,), number of the budget of each run (N,)."""

    law: Law
    resamples: Law
    compute: np.ndarray
    errors: np.ndarray
    budgets: np.ndarray

    def interval(self, name: str) -> List[float]:
        """95 % of a, b or c."""
        return np.quantile(getattr(self.resamples, name), (0.025, 0.975)).tolist()

    def band(self, compute: np.ndarray) -> np.ndarray:
        """(P,) FLOPs -> (2, P): ends of the 95 % interval of the law at each amount of compute."""
        return np.quantile(self.resamples.predict(compute), (0.025, 0.975), axis=0)

    def by_budget(self) -> List[Tuple[float, np.ndarray, List[float]]]:
        """Of each budget the geometric mean of its compute, its errors, and the 95 % interval of the law there."""
        centres = np.exp(budget_means(np.log(self.compute), self.budgets))
        groups = [self.errors[self.budgets == number] for number in range(len(centres))]
        return list(zip(centres.tolist(), groups, self.band(centres).T.tolist()))


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
    """The law of N runs; compute (N,) in FLOPs, errors (N,) in any unit, all above 0.

    Raises:
        ValueError: fewer than four budgets.
    """
    compute, errors = np.asarray(compute, float), np.asarray(errors, float)
    budgets = group_budgets(compute)
    if (count := len(np.unique(budgets))) < MIN_BUDGETS:
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
    bounds = ([-np.inf, B_RANGE[0], 0], [np.inf, B_RANGE[1], np.inf])
    options = dict(bounds=bounds, x_scale="jac", max_nfev=10_000, ftol=1e-12, xtol=1e-12, gtol=1e-12)
    b = float(np.clip(-(x @ (y - y.mean())) / (x @ x), *B_RANGE))
    fits = [(y.mean(), b, 0.0)]  # without a floor, which the search only comes near to, the law is a straight line
    for b, c in starts:
        c = min(c, 0.99 * math.exp(y.min()))
        log_a = float(np.mean(np.log(np.exp(y) - c) + b * x))
        start = (log_a, np.clip(b, B_RANGE[0] * 1.01, B_RANGE[1] * 0.99), c)
        fits.append(curve_fit(log_error, x, y, start, **options)[0])
    misses = [np.sum((log_error(x, *fit) - y) ** 2) for fit in fits]
    misses[0] *= 1 - 1e-9
    log_a, b, c = fits[np.argmin(misses)]
    return math.exp(log_a), float(b), float(c)


def log_error(x: np.ndarray, log_a: float, b: float, c: float) -> np.ndarray:
    """The law in logarithms at x = log(C / C0), (N,)."""
    return np.log(np.exp(log_a - b * x) + c)


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


def fit_all(runs: Sequence[Run], value: str, strategies: Sequence[str]) -> Tuple[Dict[str, Fit], List[str]]:
    """The law of that value for each strategy, and notes on runs that lack the value.

    Raises:
        ValueError: a strategy has too few budgets, two runs of one seed and budget, or a value that is not above 0.
    """
    fits, notes = {}, []
    for number, name in enumerate(strategies):
        absent = [run.title for run in runs if run.strategy == name and run.values.get(value) is None]
        notes += [f"Left out, as {value} is not known: {', '.join(absent)}."] if absent else []
        known = [run for run in runs if run.strategy == name and run.values.get(value) is not None]
        compute, errors = np.array([(run.total, run.values[value]) for run in known]).reshape(-1, 2).T
        seen: Dict[Tuple[int, int], Run] = {}
        for run, budget in zip(known, group_budgets(compute)):
            if run.values[value] <= 0:
                raise ValueError(f"{run.title} has {value} {run.values[value]:g}, expected more than 0")
            if (first := seen.setdefault((run.seed, int(budget)), run)) is not run:
                where = f"line {first.line} at {flops_text(run.total)} FLOPs"
                raise ValueError(f"{run.title} repeats {where}: give one run a seed and budget")
        try:
            fits[name] = fit_scaling(compute, errors, RESAMPLES, seed=number)
        except ValueError as error:
            raise ValueError(f"{value} of {name}: {error}; or leave it out with --strategies") from error
    return fits, notes


def write_scaling(runs_file: Path, value: str, strategies: Optional[Sequence[str]], out: Path) -> str:
    """Writes scaling.{json,md,png,svg} of a file of runs to the folder `out`; returns the page.

    Args:
        value: name of the error. strategies: None for all that the file has.

    Raises:
        ValueError: matplotlib is missing, a result would replace the file of the runs, a name that it lacks, or see
            `read_runs` and `fit_all`.
    """
    require_matplotlib()
    outputs = {kind: out / f"scaling.{kind}" for kind in ("json", "md", "png", "svg")}
    check_outputs(runs_file, outputs.values())
    runs = read_runs(runs_file)
    names = strategies_of(runs)
    check_names("--value", [value], values_of(runs), runs_file)
    check_names("--strategies", strategies or [], names, runs_file)
    fits, notes = fit_all(runs, value, list(dict.fromkeys(strategies or names)))
    text = page(fits, value, notes)
    write_all_atomically({outputs["json"]: to_json(fits, value, notes), outputs["md"]: text})
    draw(fits, value, out)
    return text


def page(fits: Dict[str, Fit], value: str, notes: Sequence[str]) -> str:
    """Laws and fitted errors in Markdown."""
    laws = [["strategy", "runs", "budgets", "C0", "a", "b", "c"]]
    budgets = [["strategy", "FLOPs", "runs", f"{cell_text(value)}, mean of logs", "lowest to highest", "law (95 %)"]]
    for name, fit in fits.items():
        numbers = [f"{getattr(fit.law, key):.4g} {brackets(*fit.interval(key))}" for key in "abc"]
        counts = [str(len(fit.errors)), str(len(fit.by_budget())), flops_text(fit.law.scale)]
        laws.append([cell_text(name), *counts, *numbers])
        for compute, errors, band in fit.by_budget():
            measured = [f"{np.exp(np.log(errors).mean()):.4g}", f"{errors.min():.4g} to {errors.max():.4g}"]
            law = f"{fit.law.predict(compute):.4g} {brackets(*band)}"
            budgets.append([cell_text(name), flops_text(compute), str(len(errors)), *measured, law])
    return (
        f"## Scaling law of {value}\n\n{markdown(laws)}\n{bullets([NOTE, *notes])}\n"
        f"## Fitted {value} at each budget\n\n{markdown(budgets)}"
    )


def brackets(low: float, high: float) -> str:
    return "(-)" if math.isnan(low) else f"({low:.4g} to {high:.4g})"


def to_json(fits: Dict[str, Fit], value: str, notes: Sequence[str]) -> str:
    """All figures; null for an unknown number."""
    result = {"value": value, "law": "a * (C / C0)^-b + c", "resamples": RESAMPLES, "notes": notes, "strategies": {}}
    for name, fit in fits.items():
        law, intervals = dict(zip(("a", "b", "c", "C0"), fit.law)), {key: fit.interval(key) for key in "abc"}
        budgets = [
            dict(flops=compute, errors=errors.tolist(), law=float(fit.law.predict(compute)), interval=band)
            for compute, errors, band in fit.by_budget()
        ]
        result["strategies"][name] = {**law, "intervals": intervals, "budgets": budgets}
    return json_text(result)


def draw(fits: Dict[str, Fit], value: str, out: Path) -> None:
    """scaling.{png,svg} in `out`: runs as points, budgets with the range of their runs, each law with its 95 % band.

    A dashed line is the floor c of a law; where c is 0 there is none. Both axes are logarithmic.
    """
    from matplotlib import rc_context

    with style(), rc_context({"svg.fonttype": "none"}):  # text stays text, which a reader can search
        figure, (axes,) = new_figure(1, 7, 4.6)
        axes.set(xscale="log", yscale="log", xlabel="training compute (FLOPs)")
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
    centres, groups, _ = zip(*fit.by_budget())
    lowest, means, highest = np.array([(e.min(), np.exp(np.log(e).mean()), e.max()) for e in groups]).T
    reach = np.maximum([means - lowest, highest - means], 0)  # rounding may put the mean of one run beside it
    axes.errorbar(centres, means, reach, fmt=symbol, color=color, capsize=3, markersize=6)
    if law.c > 0:
        axes.axhline(law.c, color=color, linestyle="--", linewidth=0.9, label=f"{name}: floor c = {law.c:.3g}")
