"""utils/run.pl: the calling convention of Kaldi's launchers."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "egs2/TEMPLATE/llmasr1/utils/run.pl"


def run(*words):
    return subprocess.run([RUN, *map(str, words)], capture_output=True, text=True, timeout=20)


def test_one_command_with_options_and_awkward_arguments(tmp_path):
    log = tmp_path / "deep/er.log"
    result = run("--gpu", 0, "--mem", "4G", "--num-threads", 2, log, "printf", "%s|", "two words", "$HOME", "*")
    assert result.returncode == 0 and result.stdout == result.stderr == ""
    lines = log.read_text().splitlines()
    assert lines[2].startswith("two words|$HOME|*|# ended with code 0")


def test_a_range_of_jobs(tmp_path):
    result = run("JOB=2:4", tmp_path / "JOB.log", "bash", "-c", f"echo shard JOB/4 > {tmp_path}/out.JOB")
    assert result.returncode == 0
    made = {path.name: path.read_text() for path in tmp_path.glob("out.*")}
    assert made == {f"out.{n}": f"shard {n}/4\n" for n in (2, 3, 4)}


def test_no_more_jobs_at_once_than_allowed(tmp_path):
    count = f"touch {tmp_path}/on.JOB; ls {tmp_path}/on.* | wc -l >> {tmp_path}/counts; sleep 1; rm {tmp_path}/on.JOB"
    assert run("--max-jobs-run", 2, "JOB=1:5", tmp_path / "JOB.log", "bash", "-c", count).returncode == 0
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(counts) == 5 and max(counts) == 2


def test_a_failing_job_is_named_and_the_others_are_finished(tmp_path):
    result = run("JOB=1:3", tmp_path / "t.JOB.log", "bash", "-c", f"[ JOB != 2 ] || exit 5; touch {tmp_path}/done.JOB")
    assert result.returncode == 1
    assert f"failed with code 5, read {tmp_path}/t.2.log" in result.stderr and "1 of 3 jobs failed" in result.stderr
    assert sorted(path.name for path in tmp_path.glob("done.*")) == ["done.1", "done.3"]


def test_wrong_usage_is_one_line(tmp_path):
    for words in (
        ["only.log"],
        [],
        ["JOB=1:x", tmp_path / "l", "true"],
        ["--max-jobs-run", 0, tmp_path / "l", "true"],
        ["JOB=3:2", tmp_path / "l", "true"],
        ["JOB=08:09", tmp_path / "l", "true"],
    ):
        result = run(*words)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_kills_the_commands(tmp_path, number):
    command = f"echo $$ > {tmp_path}/pid.JOB; exec sleep 30"
    process = subprocess.Popen(
        ["env", "--default-signal=HUP,INT", RUN, "JOB=1:2", tmp_path / "JOB.log", "bash", "-c", command]
    )
    while len([path for path in tmp_path.glob("pid.*") if path.read_text()]) < 2:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(timeout=10) == 143
    for path in tmp_path.glob("pid.*"):
        assert not os.path.exists(f"/proc/{path.read_text().strip()}")


def test_each_job_sees_its_share_of_the_assigned_gpus(tmp_path, monkeypatch):
    show = ["bash", "-c", "echo JOB ${CUDA_VISIBLE_DEVICES-unset}"]
    for assigned, gpus, jobs, expected in (
        ("4,6,9", 1, 4, ["4", "6", "9", "4"]),
        ("4,6,9,a", 2, 3, ["4,6", "9,a", "4,6"]),
        ("4,6", 0, 2, ["4,6", "4,6"]),
        (None, 1, 2, ["unset", "unset"]),
    ):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if assigned:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", assigned)
        assert run("--gpu", gpus, f"JOB=1:{jobs}", tmp_path / "JOB.log", *show).returncode == 0
        seen = [(tmp_path / f"{job}.log").read_text().splitlines()[2] for job in range(1, jobs + 1)]
        assert seen == [f"{job} {gpu}" for job, gpu in enumerate(expected, 1)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    result = run("--gpu", 3, tmp_path / "l", "true")
    assert result.returncode == 1 and result.stderr == "run.pl: --gpu is 3, but CUDA_VISIBLE_DEVICES is 4,6\n"


def test_another_host_through_ssh(tmp_path, monkeypatch):
    """A stand-in for ssh runs the words of the shell there, where path.sh of the same folder is read."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/bash\necho "${{@:1:4}}" >{tmp_path}/called\nexec env -i PATH="$PATH" bash -c "$5"\n')
    ssh.chmod(0o755)
    (tmp_path / "path.sh").write_text("there=yes\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.chdir(tmp_path)
    show = ["bash", "-c", 'echo "$0|$OMP_NUM_THREADS|$CUDA_VISIBLE_DEVICES"; exit 4', "two words"]
    assert run("--host", "node1", "--gpu", 2, tmp_path / "a log", *show).returncode == 1
    assert (tmp_path / "called").read_text() == "-tt -o BatchMode=yes node1\n"
    text = (tmp_path / "a log").read_text()
    assert "two words|3|4,5\n" in text and "# ended with code 4" in text
