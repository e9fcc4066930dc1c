"""Trains a recipe under several strategies and seeds, at equal compute, and says how far it is.

    python -m espnet_llmasr.bin.run_strategies --recipe egs2/fsdd/llmasr1 --background true -- --flops_budget 2e13 ...
    python -m espnet_llmasr.bin.run_strategies --recipe egs2/fsdd/llmasr1 --status true

What follows -- goes to every run.sh, as --name value. The test set is data/test. Each finished run adds a line to
<recipe>/<out>/runs.jsonl, which strategy_table and fit_scaling read, and strategies.md is made anew. Started again
after any interruption, it goes on where it was; the options after -- must stay the same.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Set, Tuple

from espnet2.utils.types import str2bool

from espnet_llmasr.processes import GRACE_S, LOOK_S, Stopped, end, held, holder
from espnet_llmasr.cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.experiments.matrix import LOCK, TABLE, Matrix
from espnet_llmasr.experiments.strategies import STRATEGIES, Run
from espnet_llmasr.experiments.status import progress, status
from espnet_llmasr.experiments.turns import Turns
from espnet_llmasr.bin.run_parallel import SIGNALS, disregard_signals

INTERRUPTED = 130


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("."), help="folder of run.sh")
    parser.add_argument("--out", default="exp_strategies", help="folder of all runs, in the recipe")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), help="rows")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[1, 2, 3, 4, 5], help="columns")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="runs at a time")
    parser.add_argument("--clips", type=at_least(1), default=120, help="clips without speech, for made-up words")
    parser.add_argument(
        "--fs", type=at_least(MIN_FS), default=16000, help="sample rate of the clips, as of run.sh, in Hz"
    )
    parser.add_argument("--background", type=str2bool, default=False, help="start, and return at once")
    parser.add_argument("--status", type=str2bool, default=False, help="only say how far it is")
    parser.add_argument("--stop", type=str2bool, default=False, help="end what runs, in the background or elsewhere")
    return parser


def take_turn(matrix: Matrix, turns: Turns) -> Tuple[Optional[Run], Optional[Exception]]:
    """Does the next run; returns it with what has gone wrong, which the caller tells."""
    one = turns.take()
    if one is None:
        return None, Stopped()
    try:
        matrix.begin(one.name)
        with turns.pretraining(one) as wanted:
            if wanted:
                matrix.pretrain(one)
        matrix.do(one)
    except Exception as error:
        return one, error
    return one, None


def train(matrix: Matrix, args, runs: Sequence[Run]) -> List[str]:
    """Does the runs, `jobs` at a time; returns what has failed, one line each."""
    turns, failed = Turns(runs), []
    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            for future in finished({pool.submit(take_turn, matrix, turns) for _ in runs}):
                one, error = future.result()
                if error is None:
                    show_table(matrix)
                else:
                    failed.append(matrix.fail(error, one.name))
                    expected = isinstance(error, (ValueError, OSError))
                    logging.error(failed[-1], exc_info=None if expected else error)
                logging.info(progress(matrix, args.runs, args.jobs))
        except BaseException:  # the pool waits for its threads, so what they wait for must end
            turns.end()
            matrix.children.stop()
            raise
    return failed


def finished(futures: Set[Future]) -> Iterator[Future]:
    """Yields them as they end.

    Wakes up by itself: of two signals at once the system may hand both to a thread that waits for a command, and Python
    handles them in the main thread only, which `as_completed` would leave asleep.
    """
    while futures:
        done, futures = wait(futures, timeout=LOOK_S, return_when=FIRST_COMPLETED)
        yield from done


def show_table(matrix: Matrix) -> None:
    """The table of what is done so far; the trainings go on if it cannot be made, at the end that is an error."""
    try:
        matrix.write_table()
    except ValueError as error:
        logging.error("no table: %s", error)


def work(matrix: Matrix, args) -> None:
    """Does what is not done, and writes the table.

    Raises:
        ValueError: runs have failed (after all others have ended), or what comes before them.
    """
    end(matrix.children.left())  # of a driver that was killed
    done = matrix.done()
    left = [one for one in args.runs if one not in done]
    if left:
        matrix.begin()
        try:
            matrix.prepare(args.clips, args.fs, left)
        except (ValueError, OSError) as error:
            raise ValueError(matrix.fail(error)) from error
    failed = train(matrix, args, left) if left else []
    if matrix.write_table():
        logging.info("%s: %d runs", matrix.folder / TABLE, len(matrix.lines()))
    if failed:
        raise ValueError(f"{len(failed)} runs failed; start again to try them again. The first: {failed[0]}")


def start(matrix: Matrix, args) -> int:
    """Does the work, unless another process does; a signal ends it. Returns the exit code."""
    if not (matrix.recipe / "run.sh").is_file():
        raise ValueError(f"no run.sh in {matrix.recipe}: give the recipe's folder with --recipe")
    matrix.folder.mkdir(parents=True, exist_ok=True)
    with held(matrix.folder / LOCK), stoppable():
        matrix.keep_options(clips=args.clips, fs=args.fs)
        try:
            work(matrix, args)
        except KeyboardInterrupt:
            disregard_signals()
            print("run_strategies: stopped; start it again to go on", file=sys.stderr)
            return INTERRUPTED
        finally:
            disregard_signals()
            matrix.children.stop()
    return 0


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP (unless under nohup) raise KeyboardInterrupt, once; afterwards all is as it was."""

    def interrupted(number, frame):
        disregard_signals()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if number != signal.SIGHUP or before[number] != signal.SIG_IGN:
            signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start_beside(matrix: Matrix, argv: Sequence[str], args) -> None:
    """The same command in the background, in a session of its own."""
    matrix.folder.mkdir(parents=True, exist_ok=True)
    with held(matrix.folder / LOCK):  # refuse here, not in the log
        matrix.keep_options(clips=args.clips, fs=args.fs)
    log = matrix.folder / "run_strategies.log"
    command = [sys.executable, "-m", "espnet_llmasr.bin.run_strategies", *argv]
    with open(log, "a", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    print(f"started, process {process.pid}, log in {log}")


def stop(matrix: Matrix) -> None:
    """Ends the process that works on it, and what a killed one has left running. Raises ValueError if it stays."""
    lock = matrix.folder / LOCK
    pid = holder(lock)
    if pid is None:
        if any(holder(path) is not None for path in matrix.children.left()):
            with held(lock):
                end(matrix.children.left())
            print(f"{matrix.folder}: stopped what a killed process has left running")
        else:
            print(f"{matrix.folder}: not running")
        return
    if not pid:
        raise ValueError(f"{lock} does not say which process works on it: look for run_strategies among them")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 2 * GRACE_S
    while holder(lock) == pid:
        if time.monotonic() > deadline:
            raise ValueError(f"process {pid} has not ended in {2 * GRACE_S:.0f} s: see {matrix.folder}")
        time.sleep(LOOK_S)
    print(f"{matrix.folder}: stopped process {pid}; start it again to go on")


def main(argv=None) -> int:
    """Starts, goes on, tells, or stops."""
    argv = list(sys.argv[1:] if argv is None else argv)
    place = argv.index("--") if "--" in argv else len(argv)
    args = get_parser().parse_args(argv[:place])
    args.runs = [Run(strategy, seed) for seed in args.seeds for strategy in args.strategies]
    matrix = Matrix(args.recipe, args.out, argv[place + 1 :], sys.executable)
    if args.status:
        print(status(matrix, args.runs, args.jobs))
    elif args.stop:
        stop(matrix)
    elif args.background:
        start_beside(matrix, [*argv[:place], "--background", "false", *argv[place:]], args)
    else:
        return start(matrix, args)
    return 0


if __name__ == "__main__":
    run(main)
