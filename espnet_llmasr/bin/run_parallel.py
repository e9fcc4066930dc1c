"""Runs named jobs side by side: python -m espnet_llmasr.bin.run_parallel --job NAME LOG COMMAND [--job ...]

COMMAND is a shell command, LOG the file it writes, whose last message is shown every few seconds. If one job fails, or
the whole is interrupted, the others are stopped at once, nothing is left running, and the log to read is named.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional

from espnet_llmasr.cli import Parser, run

SHOW_S, GRACE_S, TAIL_BYTES = 8.0, 5.0, 4096
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HEAD = re.compile(r"^(\[\S+\] )?[-\d]+ [\d:,]+ (\(\S+\) )?(INFO|WARNING|ERROR): ")


class Job:
    """A shell command in a session of its own, so that all of its processes can be stopped together."""

    def __init__(self, name: str, log: str, command: str):
        self.name, self.log = name, Path(log)
        self.process = subprocess.Popen(["bash", "-c", command], start_new_session=True, stdin=subprocess.DEVNULL)

    def returncode(self) -> Optional[int]:
        """None while it runs."""
        return self.process.poll()

    def tail(self, lines: int = 1) -> List[str]:
        """The last lines of the log."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - TAIL_BYTES))
            return [line for line in f.read().decode("utf-8", "replace").splitlines() if line.strip()][-lines:]

    def status(self) -> str:
        """One short line on how it stands."""
        if self.returncode() is not None:
            return f"{self.name}: done"
        lines = self.tail(20)
        last = next((line for line in reversed(lines) if _HEAD.match(line)), lines[-1] if lines else "starting")
        return f"{self.name}: {_HEAD.sub('', last)[:150]}"

    def signal(self, number: int) -> None:
        """Sends a signal to every process of the job, also when its shell has ended."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass  # none is left

    def alive(self) -> bool:
        """True while any process of the job is there."""
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


def stop(jobs: List[Job]) -> None:
    """TERM for all, KILL for what is left after a grace period; a second interruption does not cut this short."""
    disregard_signals()
    for job in jobs:
        job.signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while any(job.alive() for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.1)
    for job in jobs:
        job.signal(signal.SIGKILL)
        job.process.wait()


def supervise(jobs: List[Job]) -> Optional[Job]:
    """Waits for all jobs and shows how they stand; returns the first that failed."""
    started = shown = time.monotonic()
    while True:
        codes = {job: job.returncode() for job in jobs}
        failed = [job for job, code in codes.items() if code]
        if failed or all(code == 0 for code in codes.values()):
            return failed[0] if failed else None
        if time.monotonic() - shown >= SHOW_S:
            shown = time.monotonic()
            for job in jobs:
                print(f"  [{shown - started:5.0f} s] {job.status()}", flush=True)
        time.sleep(0.2)


def disregard_signals() -> None:
    """Not SIG_IGN: of a signal that has come but not been handled yet, Python would complain."""
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: None)


def _interrupted(number, frame):
    disregard_signals()  # a closed terminal sends HUP here and to the shell, which at once sends TERM
    raise KeyboardInterrupt


def main(argv=None):
    """Starts the jobs; exit code 1 if one fails, 130 if interrupted."""
    parser = Parser(description=__doc__)
    parser.add_argument("--job", nargs=3, action="append", required=True, metavar=("NAME", "LOG", "COMMAND"))
    args = parser.parse_args(argv)
    for number in SIGNALS:  # also SIGINT, which a background shell ignores, but not SIGHUP under nohup
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupted)
    jobs: List[Job] = []
    try:
        for job in args.job:
            jobs.append(Job(*job))
        failed = supervise(jobs)
    except KeyboardInterrupt:
        print("interrupted: stopping all jobs", file=sys.stderr)
        return 130
    finally:
        stop(jobs)
    if failed is not None:
        sys.stderr.write("".join(f"    {line}\n" for line in failed.tail(5)))
        raise ValueError(f"{failed.name} failed with exit code {failed.returncode()}: read {failed.log}")
    return 0


if __name__ == "__main__":
    run(main)
