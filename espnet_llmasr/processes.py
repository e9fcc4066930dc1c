"""Shell commands that run side by side and are stopped with all that they have started; one process for a folder."""

import errno
import fcntl
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from espnet_llmasr.files import note_of_full_disk

SHOW_S, GRACE_S, LOOK_S, TAIL_BYTES = 8.0, 5.0, 0.2, 4096
LOCK_WAIT_S = 5.0
"""How long a killed process may take to disappear, for example with the memory of a GPU, before a lock is refused."""
RUN = "LLMASR_RUN"
"""Environment variable of all processes of a run, by which they are found when its first process has ended."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INTERRUPTED = 130
"""Exit code of a command that a signal has stopped."""
_HEAD = re.compile(r"^(\[\S+\] )?[-\d]+ [\d:,]+ (\(\S+\) )?(INFO|WARNING|ERROR): ")


class Job:
    """A shell command. It runs in a session of its own, so that a signal reaches all of its processes.

    Args:
        log: the file whose end shows the progress. cwd: where the command runs.
        into_log: the output goes to the end of the log; otherwise to our own output, and the command writes the log.
    """

    def __init__(self, name: str, log: Path, command: str, cwd: Path = Path("."), into_log: bool = False):
        self.name, self.log, self.command, self.cwd, self.into_log = name, log, command, cwd, into_log
        self.process: Optional[subprocess.Popen] = None
        self.began = 0.0

    def start(self, environment: Dict[str, str]) -> None:
        """Starts the command."""
        options = dict(cwd=self.cwd, env=environment, start_new_session=True, stdin=subprocess.DEVNULL)
        self.began = time.monotonic()
        with ExitStack() as files:
            if self.into_log:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                options["stdout"] = options["stderr"] = files.enter_context(open(self.log, "a", encoding="utf-8"))
            with uninterrupted():
                self.process = subprocess.Popen(["bash", "-c", self.command], **options)

    def returncode(self) -> Optional[int]:
        """None before the end."""
        return self.process.poll() if self.process else None

    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.began

    def tail(self, lines: int = 1) -> List[str]:
        """The last lines of the log."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - TAIL_BYTES))
            return [line for line in f.read().decode("utf-8", "replace").splitlines() if line.strip()][-lines:]

    def failure(self) -> str:
        """Why a job that has ended did not succeed, and the log to read."""
        note = note_of_full_disk(self.log.parent)
        return f"{self.name} failed with exit code {self.returncode()}: read {self.log}{note}"

    def status(self) -> str:
        """The last message of the log in one short line."""
        if self.returncode() is not None:
            return f"{self.name}: done"
        lines = self.tail(20)
        last = next((line for line in reversed(lines) if _HEAD.match(line)), lines[-1] if lines else "starting")
        return f"{self.name}: {_HEAD.sub('', last)[:150]}"

    def signal(self, number: int) -> bool:
        """Sends a signal to every process of the job, also after the end of its shell; False if none is left."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def alive(self) -> bool:
        """True while the job has any process."""
        self.process.poll()
        return self.signal(0)


def stop(jobs: Sequence[Job], grace_s: float) -> None:
    """TERM for all jobs, KILL for those left after a grace period."""
    for job in jobs:
        job.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while any([job.alive() for job in jobs]) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    for job in jobs:
        job.signal(signal.SIGKILL)
        job.process.wait()


def run_jobs(jobs: Sequence[Job], limit: int, grace_s: float = GRACE_S, show: bool = False) -> Iterator[Job]:
    """Starts the jobs in their order, at most `limit` at a time, and yields each at its end.

    Use it within `contextlib.closing`: whenever the iteration ends, no matter why, all jobs that still run are stopped.
    """
    waiting, running, first = list(jobs), [], time.monotonic()
    shown = first
    with ending_together() as environment:
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    running.append(waiting.pop(0))
                    running[-1].start(environment)
                for job in [job for job in running if job.returncode() is not None]:
                    stop([job], grace_s)  # processes that its shell has left behind
                    running.remove(job)
                    yield job
                if show and time.monotonic() - shown >= SHOW_S:
                    shown = time.monotonic()
                    for job in jobs[: len(jobs) - len(waiting)]:
                        print(f"  [{shown - first:5.0f} s] {job.status()}", flush=True)
                time.sleep(LOOK_S)
        finally:
            if running:
                disregard_signals()  # a second interruption does not cut this short
            stop([job for job in running if job.process], grace_s)


def first_failure(jobs: Sequence[Job], port: Optional[int] = None) -> Optional[Job]:
    """Runs the jobs side by side and shows how they get on; when one fails, the others are stopped, and it is returned.

    Args:
        port: see `meeting_point`.

    Raises:
        KeyboardInterrupt: after a signal, once all jobs have been stopped; see `interruptible`.
        ValueError: the port is taken.
    """
    with interruptible(), meeting_point(port), closing(run_jobs(jobs, limit=len(jobs), show=True)) as ended:
        return next((job for job in ended if job.returncode()), None)


@contextmanager
def ending_together() -> Iterator[Dict[str, str]]:
    """Yields the environment for processes that shall end with this one, even if a SIGKILL ends it."""
    if RUN in os.environ:  # the script that has started us sees to it
        yield dict(os.environ)
        return
    environment = {**os.environ, RUN: f"{os.getpid()}.{time.time_ns()}"}
    command = [sys.executable, "-m", "espnet_llmasr.bin.end_with_parent", "--parent", str(os.getpid())]
    silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    guard = subprocess.Popen(command, env=environment, **silent)
    try:
        yield environment
    finally:
        guard.kill()
        guard.wait()


@contextmanager
def meeting_point(port: Optional[int]) -> Iterator[None]:
    """Holds the store by which the nodes of torchrun find each other (--rdzv_backend c10d); none if `port` is None.

    Raises ValueError if the port is taken.
    """
    store = None
    if port is not None:
        from torch.distributed import DistNetworkError, TCPStore  # slow, and most runs have one node

        try:
            store = TCPStore("localhost", port, is_master=True, wait_for_workers=False)
        except DistNetworkError as error:
            raise ValueError(f"port {port} of this machine is taken: give another --rdzv_endpoint HOST:PORT") from error
    try:
        yield
    finally:
        del store


def end_with(parent: int) -> None:
    """Waits until our parent has ended, whatever its cause, and kills all processes with our value of $LLMASR_RUN.

    Raises ValueError if LLMASR_RUN is not set.
    """
    if RUN not in os.environ:
        raise ValueError(f"the environment has no {RUN}, by which processes are found: set it before they start")
    with suppress(PermissionError):  # it leads a session already
        os.setsid()  # a signal to the group of the parent does not end this process
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    mark = f"{RUN}={os.environ[RUN]}".encode()
    while found := [pid for pid in processes_with(mark) if pid != os.getpid()]:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_S)


def processes_with(variable: bytes) -> List[int]:
    """The ids of the processes that were started with an environment variable, given as NAME=VALUE."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or belongs to another user
            if variable in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


_LOCKS: List[int] = []


def _let_go() -> None:
    for handle in _LOCKS:
        os.close(handle)
    _LOCKS.clear()


os.register_at_fork(after_in_child=_let_go)  # a process that loads data may live a little longer than its parent


@contextmanager
def only_one(directory: Path, what: str) -> Iterator[None]:
    """Holds the lock of a folder. The kernel takes it back from a process that ends, whatever its cause.

    Args:
        what: the word for such a process, such as "training".
    Raises:
        ValueError: another process holds the lock, or `lock` in the folder is no file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "lock"
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):  # what a link names would be emptied
        raise ValueError(f"{path} is a link, a folder, a pipe or a device, expected a file: remove it")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    _LOCKS.append(handle)
    try:
        _lock(handle, directory, what)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0)
        try:
            yield
        finally:
            if handle in _LOCKS:  # not in a forked process
                os.ftruncate(handle, 0)
    finally:
        if handle in _LOCKS:
            _LOCKS.remove(handle)
            os.close(handle)


def _lock(handle: int, directory: Path, what: str) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                reason = f"no lock can be had in {directory} ({error.strerror})"
                return logging.warning("%s: see to it that no second %s is started there", reason, what)
            if time.monotonic() > deadline:
                holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
                raise ValueError(
                    f"a {what} runs in {directory} already ({holder}): wait for its end, or stop it and start again"
                ) from error
        time.sleep(LOOK_S)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP raise KeyboardInterrupt, once; afterwards the handlers are as before.

    SIGINT also where a background shell ignores it, but not SIGHUP under nohup. After an interruption the command ends:
    further signals are disregarded, so that none of them changes its last words or its exit code.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if number != signal.SIGHUP or before[number] != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        before = dict.fromkeys(SIGNALS, signal.SIG_IGN)  # Python's own end takes handlers away, but leaves this one
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number, frame):
    disregard_signals()  # a closed terminal sends HUP here and to the shell, which at once sends TERM
    os.write(2, b"interrupted: stopping all jobs\n")  # print() is not safe in a handler
    raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds an interruption back until the end: none falls between the start of a process and keeping its handle."""
    came: List[int] = []
    held = [number for number in SIGNALS if signal.getsignal(number) == _interrupt]
    for number in held:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, _interrupt)
        for number in came[:1]:
            signal.raise_signal(number)


def disregard_signals() -> None:
    """Not SIG_IGN: Python would complain about a signal that has come but has not been handled yet."""
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: None)
