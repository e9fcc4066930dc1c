"""Jobs side by side: one failure stops all within seconds, nothing is left running, the log to read is named."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from espnet_llmasr.processes import SIGNALS, Job, interruptible, stop

RUN = [sys.executable, "-m", "espnet_llmasr.bin.run_parallel"]
# Under nohup and in the background of a shell the tests themselves ignore some signals, and children inherit that.
DEFAULT_SIGNALS = ["env", "--default-signal=HUP,INT"]
TEXT = {"capture_output": True, "text": True}


def job(name, log, command):
    return ["--job", name, str(log), command]


def alive(marker) -> bool:
    """Whether any process has this marker in its command line."""
    return subprocess.run(["pgrep", "-f", marker], capture_output=True).returncode == 0


@pytest.fixture()
def marker():
    """A number of seconds that no one else sleeps."""
    return f"98765.{time.monotonic_ns()}"


@pytest.fixture()
def given_signals():
    """Puts the handlers of this process back, which an interruption takes away."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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


def test_a_kill_ends_all_jobs_with_all_that_they_have_started(tmp_path, marker):
    """SIGKILL cannot be caught; processes in sessions of their own end, too."""
    jobs = job("a", tmp_path / "a.log", f"setsid sleep {marker} & sleep {marker} & wait")
    process = subprocess.Popen(
        RUN + jobs, env={name: value for name, value in os.environ.items() if name != "LLMASR_RUN"}
    )
    deadline = time.monotonic() + 30
    while not alive(f"^sleep {marker}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(f"^sleep {marker}")
    process.kill()
    process.wait()
    while alive(f"^sleep {marker}") and time.monotonic() < deadline + 30:
        time.sleep(0.1)
    assert not alive(f"^sleep {marker}")


def test_nodes_of_torchrun_meet_at_its_port_whenever_they_start(tmp_path):
    """Two agents as on two machines, with the options that llmasr.sh gives them; a port that is taken is one line."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([*RUN, *job("a", tmp_path / "a", "true"), "--rendezvous_port", str(port)], **TEXT)
        assert done.returncode == 1 and f"port {port} of this machine is taken" in done.stderr.splitlines()[-1]
    rdzv = f"--rdzv_backend c10d --rdzv_endpoint localhost:{port} --rdzv_id align --rdzv_conf join_timeout=86400"
    agent = f"{sys.executable} -m torch.distributed.run --nnodes 2 {rdzv} --nproc_per_node 1 --no-python"
    ask = f"{agent} bash -c 'echo $RANK of $WORLD_SIZE, device $LOCAL_RANK' > {tmp_path}"
    jobs = job("one", tmp_path / "1", f"{ask}/1") + job("two", tmp_path / "2", f"sleep 3; {ask}/2")
    subprocess.run([*RUN, *jobs, "--rendezvous_port", str(port)], check=True)
    said = {(tmp_path / name).read_text() for name in "12"}
    assert said == {"0 of 2, device 0\n", "1 of 2, device 0\n"}


def test_an_interruption_while_a_job_starts_comes_when_it_can_be_stopped(tmp_path, monkeypatch, given_signals):
    popen = subprocess.Popen

    def interrupted(*arguments, **options):
        process = popen(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)
        return process

    one = Job("a", tmp_path / "a.log", "sleep 60")
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(KeyboardInterrupt), interruptible():
        one.start(dict(os.environ))
    monkeypatch.undo()
    stop([one], 5)
    assert one.process.returncode == -signal.SIGTERM
