"""Commands that run beside each other and that a signal, or the next start, can stop with all that they have started.

A command runs in a session of its own and holds a lock on a file with its process id for as long as it, or anything
that it has started, is there. So the file also tells of what a driver that was killed has left running.
"""

import fcntl
import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, Optional, Sequence

GRACE_S, LOOK_S, TRIES = 40.0, 0.1, 10
START = 'echo $$ >"$0"; exec "$@"'


class Stopped(Exception):
    """A command was stopped, or not started any more, because all are to end."""


def holder(path: Path) -> Optional[int]:
    """The process id in a file that somebody has locked (0 where none is in it yet); None: nobody has."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        text = path.read_text()
        return int(text) if text.endswith("\n") and text.strip().isdigit() else 0
    return None


def lock(file: IO) -> bool:
    """Locks it; False if another one has it, and not only for the moment of a look."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(LOOK_S)
    return False


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Locks a file, with our process id in it.

    Raises:
        ValueError: another process has locked it.
    """
    with open(path, "a") as file:
        if not lock(file):
            who = holder(path) or "unknown"
            raise ValueError(f"{path.parent} is being worked on by process {who}: see --status true")
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def end(paths: Sequence[Path]) -> None:
    """TERM for the commands that hold these files, KILL for what is left after a grace period; removes the files.

    Raises:
        ValueError: something is there even after that.
    """
    deadline, told = time.monotonic() + GRACE_S, set()
    while True:
        left = {path: pid for path in paths if (pid := holder(path)) is not None}
        if not left:
            break
        late = time.monotonic() > deadline
        if time.monotonic() > deadline + GRACE_S:
            raise ValueError(f"what holds {', '.join(map(str, left))} cannot be ended (process {list(left.values())})")
        for path, pid in left.items():
            if pid and (late or path not in told):
                told.add(path)
                signal_group(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(LOOK_S)
    for path in paths:
        path.unlink(missing_ok=True)


def signal_group(pid: int, number: int) -> None:
    """Sends a signal to every process of a session."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass  # it has just ended


class Children:
    """The commands of one driver. `folder` has a file for each that runs."""

    def __init__(self, folder: Path):
        self.folder, self.stopped, self.starting = folder, False, threading.Lock()

    def run(self, name: str, command: Sequence[str], cwd: Path, log: Path) -> int:
        """Exit status of a command, whose output goes to the end of a log.

        Raises:
            Stopped: see there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name.replace("/", ".")
        with open(log, "a", encoding="utf-8") as output:
            process = self._start(path, command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
        code = process.wait()
        if self.stopped:  # `stop` sees to what it has left behind
            raise Stopped
        end([path])
        return code

    def _start(self, path: Path, command: Sequence[str], **options) -> subprocess.Popen:
        """The lock is handed on: nobody but the command, and what it starts, holds it afterwards."""
        with self.starting, open(path, "a") as file:
            if self.stopped:
                raise Stopped
            if not lock(file):
                raise ValueError(f"what was started before still holds {path}: end it")
            words = ["bash", "-c", START, str(path.resolve()), *command]
            options.update(pass_fds=(file.fileno(),), start_new_session=True, stdin=subprocess.DEVNULL)
            return subprocess.Popen(words, **options)

    def left(self) -> Sequence[Path]:
        """Files of commands that run, also of those of a driver that was killed."""
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def stop(self) -> None:
        """Ends all that runs, and starts no more."""
        with self.starting:
            self.stopped = True
        end(self.left())
