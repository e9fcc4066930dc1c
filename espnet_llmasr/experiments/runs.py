"""The finished runs of an ablation in runs.jsonl, one JSON line a run; run_strategies writes them.

    {"strategy": "efin", "seed": 1, "flops": {"pretrain": 1.2e14, "align": 3e12}, "values": {"MER %": 4.2, "NSE": null}}

`flops` are those of each stage, `values` are numbers by any names, null where a number is unknown. Other keys are
ignored, such as `embedder`, with which CSAI was measured (llm: the matrix's own LLM).
"""

import math
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.experiments.strategies import Strategy, read_strategies, recipe_file
from espnet_llmasr.files import read_json_lines

EXPECTED = '{"strategy": NAME, "seed": 1, "flops": {STAGE: 1e12, ...}, "values": {NAME: 1.5 or null, ...}}'


Cell = Tuple[Strategy, int]
"""A strategy and a seed: one run of a matrix."""


class Run(NamedTuple):
    """All trainings of one strategy with one seed."""

    strategy: str
    seed: int
    flops: Dict[str, float]
    values: Dict[str, Optional[float]]
    line: int
    """Line number in the file."""

    @property
    def total(self) -> float:
        """FLOPs of all stages."""
        return sum(self.flops.values())

    @property
    def title(self) -> str:
        return f"line {self.line} ({self.strategy}, seed {self.seed})"


def read_runs(path: Path) -> List[Run]:
    """All runs: strategies in the order of the recipe's strategies.yaml, then others; each in the order of the file.

    Raises:
        ValueError: no file, no runs, or a line that is not as above; strategies.yaml is not as it should be.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give a file with one JSON line a run")
    runs = read_json_lines(path, _make, f"run, expected {EXPECTED} with FLOPs above 0")
    if not runs:
        raise ValueError(f"{path} has no runs: expected one JSON line a run")
    order = list(read_strategies(recipe_file(path)))
    return sorted(runs, key=lambda run: order.index(run.strategy) if run.strategy in order else len(order))


def _make(row: Dict, number: int) -> Run:
    run = Run(*(row[key] for key in Run._fields[:4]), line=number)
    numbers = [run.total, *run.flops.values(), *(value for value in run.values.values() if value is not None)]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise ValueError("a value is not a finite number")
    if type(run.strategy) is not str or len(run.strategy.strip().splitlines()) != 1 or type(run.seed) is not int:
        raise ValueError("strategy is not a name in one line, or seed is not a whole number")
    if run.total <= 0 or min(run.flops.values()) < 0:
        raise ValueError("FLOPs are not above 0")
    return run


def left_of(path: Path, cells: Sequence[Cell]) -> List[Cell]:
    """The runs of a matrix that its file lacks; all of them before there is a file."""
    complete = {run[:2] for run in read_runs(path)} if path.exists() else set()
    return [(strategy, seed) for strategy, seed in cells if (strategy.name, seed) not in complete]


def status(path: Path, cells: Sequence[Cell]) -> str:
    """A line for each strategy of a matrix: how many of its runs are complete, and the seeds of the others."""
    left, lines = left_of(path, cells), []
    for strategy in dict.fromkeys(strategy for strategy, _ in cells):
        asked, missing = ([seed for one, seed in some if one == strategy] for some in (cells, left))
        seeds = f", left: seed {' '.join(map(str, missing))}" if missing else ""
        lines.append(f"{path.parent / strategy.name}: {len(asked) - len(missing)} of {len(asked)} complete{seeds}")
    return "\n".join(lines)


def strategies_of(runs: Iterable[Run]) -> List[str]:
    """Names of the strategies in the order of the runs."""
    return list(dict.fromkeys(run.strategy for run in runs))


def values_of(runs: Iterable[Run]) -> List[str]:
    """Names of the values in the order of the runs."""
    return list(dict.fromkeys(name for run in runs for name in run.values))


def check_names(option: str, names: Sequence[str], present: Sequence[str], path: Path) -> None:
    """Raises ValueError for a name that the file lacks."""
    unknown = [name for name in names if name not in present]
    if unknown:
        raise ValueError(f"{option} {', '.join(unknown)}: {path} has {', '.join(present) or 'none'}")


def check_outputs(runs: Path, outputs: Iterable[Optional[Path]]) -> None:
    """Raises ValueError if a result would replace the file of runs or another result."""
    files = {runs.resolve(): "the file of the runs"}
    for path in filter(None, outputs):
        if path.resolve() in files:
            raise ValueError(f"{path} is {files[path.resolve()]}: choose another name for the result")
        files[path.resolve()] = "the file of another result"


def flops_text(flops: float) -> str:
    """ "1.23e14"."""
    return f"{flops:.2e}".replace("e+", "e").replace("e0", "e")
