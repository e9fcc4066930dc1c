"""The processes that check utterances end with the one that started them, even if that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espnet_llmasr.data.checks import check_all

CODE = """
import itertools, time

from espnet_llmasr.data.checks import check_all
for number, _ in enumerate(check_all(time.sleep, itertools.repeat(0.001), 2)):
    if number == 100:
        print("running", flush=True)
"""


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed():
    process = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "running\n"
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    workers = [int(pid) for task in tasks for pid in task.read_text().split()]
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 20
    while any(map(running, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    left = [pid for pid in workers if running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def killed(utterance):
    """What the kernel does to a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_of_data_preparation_ends_it():
    with pytest.raises(ValueError, match="one of --nj 2 processes was killed"):
        list(check_all(killed, list(range(1000)), 2))
