"""Jobs side by side: one failure stops all within seconds, nothing is left running, the log to read is named."""

import signal
import subprocess
import sys
import time

import pytest

RUN = [sys.executable, "-m", "espnet_llmasr.bin.run_parallel"]
# Under nohup and in the background of a shell the tests themselves ignore some signals, and children inherit that.
DEFAULT_SIGNALS = ["env", "--default-signal=HUP,INT"]


def job(name, log, command):
    return ["--job", name, str(log), command]


def alive(marker) -> bool:
    """Whether any process has this marker in its command line."""
    return subprocess.run(["pgrep", "-f", marker], capture_output=True).returncode == 0


@pytest.fixture()
def marker():
    """A number of seconds that no one else sleeps."""
    return f"98765.{time.monotonic_ns()}"


def test_all_succeed(tmp_path):
    jobs = [job(name, tmp_path / f"{name}.log", f"echo hello > {tmp_path}/{name}.log") for name in ("a", "b")]
    done = subprocess.run(RUN + sum(jobs, []), capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "b.log").read_text() == "hello\n"


def test_one_failure_stops_the_others(tmp_path, marker):
    log, began = tmp_path / "bad.log", time.monotonic()
    stubborn = f"trap '' TERM; (sleep {marker} & sleep {marker}) > {tmp_path}/good.log"
    failing = job("bad", log, f"sleep 1; echo the reason > {log}; exit 3")
    jobs = job("good", tmp_path / "good.log", stubborn) + failing
    done = subprocess.run(RUN + jobs, capture_output=True, text=True)
    assert done.returncode == 1 and time.monotonic() - began < 25
    assert done.stderr.splitlines()[-1].endswith(f"bad failed with exit code 3: read {log}")
    assert "the reason" in done.stderr
    assert not alive(marker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interruption_stops_all(tmp_path, marker, number):
    jobs = job("a", tmp_path / "a.log", f"sleep {marker} & wait") + job("b", tmp_path / "b.log", f"sleep {marker}")
    process = subprocess.Popen([*DEFAULT_SIGNALS, *RUN, *jobs], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not alive(f"^sleep {marker}") and time.monotonic() < deadline:
        time.sleep(0.1)
    for pause in (0.0, 0.2):
        process.send_signal(number)
        process.send_signal(signal.SIGTERM)  # at once, as after a hang-up, and later: impatient users press twice
        time.sleep(pause)
    assert process.wait(20) == 130 and "interrupted" in process.stderr.read()
    assert not alive(f"^sleep {marker}")


def test_nohup_is_respected(tmp_path):
    process = subprocess.Popen(["nohup", *RUN, *job("a", tmp_path / "a.log", f"sleep 4; touch {tmp_path}/end")])
    time.sleep(3)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 0 and (tmp_path / "end").exists()
