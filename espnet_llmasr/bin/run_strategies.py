"""Trains a recipe under several strategies and seeds, at equal compute, and says how far it is.

    python -m espnet_llmasr.bin.run_strategies --recipe egs2/fsdd/llmasr1 --background true -- --flops_budget 2e13 ...
    python -m espnet_llmasr.bin.run_strategies --recipe egs2/fsdd/llmasr1 --status true

What follows -- goes to every run.sh. Each finished run adds a line to <recipe>/<out>/runs.jsonl, which strategy_table
and fit_scaling read. Started again after any interruption, it goes on where it was.
"""

import fcntl
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import List

from espnet2.utils.types import str2bool

from espnet_llmasr.bin._cli import Parser, at_least, run
from espnet_llmasr.bin._matrix import Matrix, Run

STRATEGIES = ("ia_sft", "no_swap", "no_ia_sft", "no_joint", "char", "joint_only", "efin")


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("."), help="folder of run.sh")
    parser.add_argument("--out", default="exp_strategies", help="folder of all runs, in the recipe")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), help="rows")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[1, 2, 3, 4, 5], help="columns")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="runs at a time")
    parser.add_argument("--clips", type=at_least(1), default=120, help="clips without speech to transcribe")
    parser.add_argument("--fs", type=at_least(1000), default=16000, help="the recipe's sample rate in Hz")
    parser.add_argument("--background", type=str2bool, default=False, help="return at once; see --status")
    parser.add_argument("--status", type=str2bool, default=False, help="only say how far it is")
    return parser


def status(matrix: Matrix, runs: List[Run]) -> str:
    """What is done, what was begun, and how long a run takes."""
    lines = {(line["strategy"], line["seed"]): line for line in matrix.lines()}
    done = [lines[key] for key in ((r.strategy, r.seed) for r in runs) if key in lines]
    begun = [r for r in runs if (r.strategy, r.seed) not in lines and (matrix.folder / r.name / "run.log").exists()]
    seconds = sum(line["seconds"] for line in done) / max(len(done), 1)
    text = f"{len(done)} of {len(runs)} runs are done, {seconds:.0f} s each on average"
    return text + "".join(f"\n  begun: {r.name} ({stage_of(matrix.folder / r.name / 'run.log')})" for r in begun)


def stage_of(log: Path) -> str:
    """The last stage that a log names."""
    stages = [line.partition(") ")[2] for line in log.read_text(errors="replace").splitlines() if ") Stage " in line]
    return stages[-1] if stages else "starting"


def work(matrix: Matrix, args, runs: List[Run]) -> None:
    """Does what is not done, `jobs` runs at a time. Raises ValueError, after all others have ended, if one failed."""
    matrix.folder.mkdir(parents=True, exist_ok=True)
    lock = open(matrix.folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f"{matrix.folder} is being worked on: see --status true, or choose another --out") from error
    matrix.prepare(args.clips, args.fs, any(r.strategy == "char" for r in runs))
    done = {(line["strategy"], line["seed"]) for line in matrix.lines()}
    with ThreadPoolExecutor(args.jobs) as pool:
        waiting = {pool.submit(matrix.do, r): r for r in runs if (r.strategy, r.seed) not in done}
        failed = []
        for future in as_completed(waiting):
            if future.exception() is not None:
                failed.append(f"{waiting[future].name}: {future.exception()}")
                logging.error(failed[-1])
            logging.info(status(matrix, runs).partition("\n")[0])
    if failed:
        raise ValueError(f"{len(failed)} runs failed, the first: {failed[0]}")


def start(argv: List[str], log: Path) -> None:
    """The same command in the background, in a session of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "espnet_llmasr.bin.run_strategies", *argv]
    with open(log, "a", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    print(f"started, process {process.pid}, log in {log}")


def main(argv=None):
    """Starts, goes on, or tells."""
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    args = get_parser().parse_args(argv[:end])
    runs = [Run(strategy, seed) for seed in args.seeds for strategy in args.strategies]
    matrix = Matrix(args.recipe, args.out, argv[end + 1 :], sys.executable)
    if args.status:
        print(status(matrix, runs))
    elif args.background:
        start([*argv[:end], "--background", "false", *argv[end:]], matrix.folder / "run_strategies.log")
    else:
        work(matrix, args, runs)


if __name__ == "__main__":
    run(main)
