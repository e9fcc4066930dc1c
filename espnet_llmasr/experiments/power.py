"""What a paired t test of strategies can show: the smallest difference for a number of seeds, the seeds for a difference.

The spread is that of runs that are there: the standard deviation of the differences of runs of the same seed, pooled
over the files (Cohen, 1988, chapter 2, for matched pairs: the noncentral t distribution with n - 1 degrees of freedom).
"""

import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy import optimize, stats

from espnet_llmasr.experiments.runs import Run, check_names, read_runs, strategies_of, values_of
from espnet_llmasr.experiments.statistics import by_seed
from espnet_llmasr.scoring.markdown import cell_text, markdown

POWER = 0.8  # chance that a difference of this size is found
MOST_SEEDS = 1000


class Spread(NamedTuple):
    """Differences of one strategy to the baseline in one value: the pairs, their mean, their standard deviation."""

    pairs: int
    mean: float
    deviation: float


def power_of(effect: float, pairs: int, alpha: float) -> float:
    """Chance that a two-sided paired t test finds a mean difference of `effect` standard deviations, in its direction."""
    critical = stats.t.ppf(1 - alpha / 2, pairs - 1)
    return float(stats.nct.sf(critical, pairs - 1, effect * math.sqrt(pairs)))


def smallest_effect(pairs: int, alpha: float, power: float = POWER) -> float:
    """The mean difference, in standard deviations of the differences, that is found with a chance of `power`.

    Raises ValueError for fewer than three pairs, from which no test says anything.
    """
    if pairs < 3:
        raise ValueError(f"{pairs} pairs give no test: give at least 3 seeds")
    return float(optimize.brentq(lambda effect: power_of(effect, pairs, alpha) - power, 0.01, 20))


def pairs_needed(effect: float, alpha: float, power: float = POWER) -> float:
    """The number of pairs that finds an effect of this size (in standard deviations); inf above `MOST_SEEDS`."""
    numbers = range(3, MOST_SEEDS + 1)
    found = next((pairs for pairs in numbers if power_of(abs(effect), pairs, alpha) >= power), None)
    return math.inf if found is None else found


def spreads(files: Sequence[Sequence[Run]], baseline: str) -> Dict[str, Dict[str, Spread]]:
    """{value: {strategy: spread}}; each file has its own pairs, their deviations are pooled over the files."""
    found: Dict[str, Dict[str, List[np.ndarray]]] = {}
    for runs in files:
        table = by_seed(runs)
        for value in values_of(runs):
            for name in (name for name in strategies_of(runs) if name != baseline):
                seeds = sorted(table[name].keys() & table.get(baseline, {}).keys())
                pairs = [[table[one][seed].values.get(value) for one in (name, baseline)] for seed in seeds]
                known = np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
                if len(known) > 1:
                    found.setdefault(value, {}).setdefault(name, []).append(known[:, 0] - known[:, 1])
    return {value: {name: _spread(parts) for name, parts in rows.items()} for value, rows in found.items()}


def _spread(parts: List[np.ndarray]) -> Spread:
    freedom = sum(len(part) - 1 for part in parts)
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    return Spread(sum(map(len, parts)), float(np.concatenate(parts).mean()), math.sqrt(squares / freedom))


def power_of_files(
    paths: Sequence[Path],
    baseline: str,
    seeds: int,
    family: int,
    values: Optional[Sequence[str]] = None,
    strategies: Optional[Sequence[str]] = None,
) -> str:
    """The `power_table` of files of runs, for these values and strategies (None: all).

    Raises:
        ValueError: see `read_runs` and `by_seed`, or a name that is in none of the files.
    """
    files = [read_runs(path) for path in paths]
    runs = [run for file in files for run in file]
    present = strategies_of(runs)
    check_names("--baseline", [baseline], present, paths[0])
    check_names("--strategies", strategies or [], present, paths[0])
    check_names("--values", values or [], values_of(runs), paths[0])
    kept = {baseline, *(strategies or present)}
    found = spreads([[run for run in file if run.strategy in kept] for file in files], baseline)
    chosen = {value: found[value] for value in values or values_of(runs) if value in found}
    return power_table(chosen, seeds, family)


def power_table(found: Dict[str, Dict[str, Spread]], seeds: int, family: int) -> str:
    """In Markdown: what `seeds` pairs can show alone (alpha 0.05) and as the first of `family` tests after Holm."""
    alphas = (0.05, 0.05 / family)
    effects = [smallest_effect(seeds, alpha) for alpha in alphas]
    heads = [f"shown by {seeds} seeds", f"after Holm over {family}", "seeds for the mean, after Holm"]
    rows = [["value", "strategy", "pairs", "mean difference", "deviation", *heads]]
    for value, strategies in found.items():
        for name, (pairs, mean, deviation) in strategies.items():
            if deviation == 0:
                continue  # all equal: nothing to plan with
            needed = pairs_needed(mean / deviation, alphas[1])
            sizes = [f"{effect * deviation:.3g}" for effect in effects]
            last = f"over {MOST_SEEDS}" if math.isinf(needed) else str(needed)
            rows.append(
                [cell_text(value), cell_text(name), str(pairs), f"{mean:+.3g}", f"{deviation:.3g}", *sizes, last]
            )
    return markdown(rows)
