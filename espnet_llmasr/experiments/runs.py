"""The runs of an ablation, as bin.strategy_table and bin.fit_scaling read them: JSON lines, one a run.

    {"strategy": "efin", "seed": 1, "flops": {"pretrain": 1.2e14, "align": 3e12}, "values": {"MER %": 4.2, "NSE": null}}

`flops` are those of each stage, `values` any numbers by any names, null where there is none. Other keys are ignored.
"""

import json
import sys
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

from espnet_llmasr.experiments.strategies import STRATEGIES
from espnet_llmasr.scoring.test_sets import encoding_problem, refuse

ORDER = tuple(STRATEGIES)
KEYS = {"strategy": str, "seed": int, "flops": dict, "values": dict}
LARGEST = sys.float_info.max
KINDS = {str: "a name in one line", int: "a whole number", dict: "an object of names and numbers"}


class Run(NamedTuple):
    """One training, from its first stage to its last one."""

    strategy: str
    seed: int
    flops: Dict[str, float]
    values: Dict[str, Optional[float]]
    line: int
    """Where it stands in the file."""

    @property
    def total(self) -> float:
        """FLOPs of all stages."""
        return sum(self.flops.values())

    @property
    def title(self) -> str:
        return f"line {self.line} ({self.strategy}, seed {self.seed})"


def read_runs(path: Path) -> List[Run]:
    """All runs in the order of the file.

    Raises:
        ValueError: no file, no runs, or lines that are not as above; all of them are told at once.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give a file with one JSON line a run")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    problem = encoding_problem(data)
    if problem:
        raise ValueError(f"{path} {problem}")
    runs, problems = [], []
    for number, line in enumerate(data.decode("utf-8").split("\n"), 1):
        if line.strip():
            try:
                runs.append(_parse(line, number))
            except ValueError as error:
                problems.append(f"{path}, line {number}: {error}")
    if not runs and not problems:
        problems.append(f"{path} has no runs: expected one JSON line a run")
    refuse(problems)
    return runs


def _parse(line: str, number: int) -> Run:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON ({error.msg}, column {error.colno})") from error
    except RecursionError as error:
        raise ValueError("no run: it is nested too deeply") from error
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with {', '.join(KEYS)}, found {line.strip()[:40]}")
    missing = [key for key in KEYS if key not in row]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing, expected {', '.join(KEYS)}")
    for key, kind in KEYS.items():
        if type(row[key]) is not kind or kind is str and len(row[key].strip().splitlines()) != 1:
            raise ValueError(f"{key} is {json.dumps(row[key])[:40]}, expected {KINDS[kind]}")
    for name, value in row["flops"].items():
        if not _is_number(value) or value < 0:
            raise ValueError(f"flops of {name} are {json.dumps(value)[:40]}, expected a number of at least 0")
    for name, value in row["values"].items():
        if value is not None and not _is_number(value):
            raise ValueError(f"{name} is {json.dumps(value)[:40]}, expected a number, or null where there is none")
    run = Run(**{key: row[key] for key in KEYS}, line=number)
    if not 0 < run.total <= LARGEST:
        raise ValueError(f"the FLOPs of all stages are 0 or above {LARGEST:.2g}: give what the run has cost")
    return run


def _is_number(value: object) -> bool:
    """One that can be computed with: JSON allows whole numbers that are larger than any float."""
    return type(value) in (int, float) and abs(value) <= LARGEST


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON: write null where there is none")


def strategies_of(runs: Iterable[Run]) -> List[str]:
    """Those of the paper's ablation in its order, then others as they come."""
    found = list(dict.fromkeys(run.strategy for run in runs))
    return [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]


def values_of(runs: Iterable[Run]) -> List[str]:
    """Names of the values as they come."""
    return list(dict.fromkeys(name for run in runs for name in run.values))


def check_names(option: str, asked: Sequence[str], found: Sequence[str], path: Path) -> None:
    """Raises ValueError for a name that the file does not have."""
    unknown = [name for name in asked if name not in found]
    if unknown:
        raise ValueError(f"{option} {', '.join(unknown)}: {path} has {', '.join(found) or 'none'}")


def check_outputs(runs: Path, outputs: Iterable[Optional[Path]]) -> None:
    """Raises ValueError if a result would replace the file of runs."""
    for path in outputs:
        if path and path.resolve() == runs.resolve():
            raise ValueError(f"{path} is the file of the runs: choose another name for the result")


def flops_text(flops: float) -> str:
    """ "1.23e14"."""
    return f"{flops:.2e}".replace("e+", "e").replace("e0", "e")


def cell_text(name: str) -> str:
    """A name as a markdown table can hold it."""
    return " ".join(name.split()).replace("|", "\\|")
