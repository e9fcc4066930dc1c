"""How far a matrix of runs is: in the words of `run_strategies --status true`."""

from pathlib import Path
from statistics import mean
from typing import Dict, List, Sequence

from espnet_llmasr.processes import holder
from espnet_llmasr.experiments.matrix import FAILED, LOCK, LOG, RUNS, TABLE, Matrix
from espnet_llmasr.experiments.strategies import BASELINE, Run


def status(matrix: Matrix, runs: Sequence[Run], jobs: int) -> str:
    """All that there is to tell, in lines: running or not, runs done, begun and failed, the table."""
    lines = [f"{matrix.folder}: {activity(matrix)}", progress(matrix, runs, jobs), *begun(matrix, runs)]
    return "\n".join([*lines, *failures(matrix, runs), table(matrix)])


def activity(matrix: Matrix) -> str:
    """Whether a driver works on it."""
    pid = holder(matrix.folder / LOCK)
    if pid is not None:
        return f"running, process {pid or 'unknown'}"
    if any(holder(path) is not None for path in matrix.children.left()):
        return "not running, but commands of a driver that was killed are (--stop true, or start it again)"
    return "not running"


def progress(matrix: Matrix, runs: Sequence[Run], jobs: int) -> str:
    """Runs done, what they have taken, and how long the others will take.

    A run's seconds are those that it would have taken alone: the pretraining that it shares is in them.
    """
    known = matrix.done()
    done = {run: known[run] for run in runs if run in known}
    left = [run for run in runs if run not in known]
    text = f"{len(done)} of {len(runs)} runs are done"
    if done:
        alone = [line["seconds"] + (line.get("pretraining_seconds") or 0) for line in done.values()]
        text += f", {mean(alone):.0f} s a run with its pretraining, {max(alone):.0f} s the longest"
    if left:
        text += f"; time left: {time_text(seconds_left(matrix, done, left) / jobs)}" if done else "; time left: unknown"
    return text


def seconds_left(matrix: Matrix, done: Dict[Run, dict], left: Sequence[Run]) -> float:
    """Of all runs that are left, one after the other; those of a strategy take as long as its others, if there are any.

    What was begun counts as if it were not.
    """

    def mean_of(lines: List[dict], key: str) -> float:
        return mean([line[key] for line in lines if line.get(key)] or [0])

    lines = list(done.values())
    total = 0.0
    for run in left:
        alike = [line for line in lines if line["strategy"] == run.strategy]
        total += mean_of(alike or lines, "seconds")
    shared = [line for line in lines if Run(line["strategy"], line["seed"]).plan.shares_pretraining]
    bases = {run.base for run in left if run.plan.shares_pretraining}
    to_make = [base for base in bases if not (matrix.folder / base / "pretrain" / "finished").exists()]
    return total + len(to_make) * mean_of(shared, "pretraining_seconds")


def time_text(seconds: float) -> str:
    """ "about 2 h 05 min"."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes:02} min" if hours else f"about {max(minutes, 1)} min"


def begun(matrix: Matrix, runs: Sequence[Run]) -> List[str]:
    """A line for each run that is neither done nor failed, with its stage."""
    known, folder = matrix.done(), matrix.folder
    some = [run for run in runs if run not in known and not (folder / run.name / FAILED).exists()]
    return [f"  begun: {run.name} ({stage_of(log)})" for run in some if (log := folder / run.name / LOG).exists()]


def stage_of(log: Path) -> str:
    """The last stage that a log names."""
    stages = [line.partition(") ")[2] for line in log.read_text(errors="replace").splitlines() if ") Stage " in line]
    return stages[-1] if stages else "starting"


def failures(matrix: Matrix, runs: Sequence[Run]) -> List[str]:
    """What failed and was not tried again since, the last one first."""
    known = matrix.done()
    paths = [matrix.folder / FAILED, *(matrix.folder / run.name / FAILED for run in runs if run not in known)]
    found = sorted((path for path in paths if path.exists()), key=lambda path: -path.stat().st_mtime)
    return [f"  {path.read_text().strip()}" for path in found]


def table(matrix: Matrix) -> str:
    """Where the table is."""
    path = matrix.folder / TABLE
    if path.exists():
        return f"table of the runs done: {path}"
    if not any(line["strategy"] == BASELINE for line in matrix.lines()):
        return f"table: none yet, as no run of {BASELINE} is done"
    command = f"python -m espnet_llmasr.bin.strategy_table --runs {matrix.folder / RUNS} --out {path}"
    return f"table: not made yet, make it with {command}"
