"""The driver of the matrix as a process: signals, kills, the background, and that nothing stays or runs twice."""

import importlib.util
import signal
import subprocess
from pathlib import Path

import pytest

from espnet_llmasr.bin import run_strategies
from espnet_llmasr.experiments.matrix import Matrix

spec = importlib.util.spec_from_file_location("matrix_recipe", Path(__file__).with_name("matrix_recipe.py"))
made_up = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made_up)
alive, calls, driver, fake_tool, make_recipe, marker, prepared, wait_for = (
    made_up.alive,
    made_up.calls,
    made_up.driver,
    made_up.fake_tool,
    made_up.make_recipe,
    made_up.marker,
    made_up.prepared,
    made_up.wait_for,
)

ONE = ("--strategies", "ia_sft", "--seeds", "1", "--clips", "1")


@pytest.fixture()
def hanging(tmp_path):
    """(recipe, seconds): whose run ia_sft/seed1 hangs in a process that sleeps so long, which a test must have ended."""
    recipe, seconds = make_recipe(tmp_path / "recipe"), marker()
    prepared(recipe)
    (recipe / "hang.ia_sft.1").write_text(seconds)
    yield recipe, seconds
    subprocess.run(["pkill", "-f", f"^sleep {seconds}"], check=False)


def finish(recipe, monkeypatch) -> None:
    """Started again, nothing hangs any more: the run is done, and its pretraining is not made again."""
    (recipe / "hang.ia_sft.1").unlink()
    monkeypatch.setattr(Matrix, "tool", fake_tool)
    monkeypatch.chdir(recipe)
    assert run_strategies.main([*ONE]) == 0
    assert calls(recipe)[-1] == "end ia_sft.1" and (recipe / "exp_strategies/strategies.md").exists()
    assert not list((recipe / "exp_strategies/running").iterdir())


def tell(recipe, option, capsys) -> str:
    """What --status or --stop says."""
    assert run_strategies.main(["--recipe", str(recipe), *ONE, option, "true"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_that_runs(hanging, number, monkeypatch):
    recipe, seconds = hanging
    process = driver(recipe, *ONE)
    wait_for(lambda: alive(seconds))
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert process.stderr.read().splitlines()[-1:] == ["run_strategies: stopped; start it again to go on"]
    assert not alive(seconds) and calls(recipe)[-1] == "stopped ia_sft.1"
    assert not (recipe / "exp_strategies/runs.jsonl").exists()
    assert not (recipe / "exp_strategies/ia_sft/seed1/failed").exists()
    finish(recipe, monkeypatch)


def test_what_a_killed_driver_has_left_is_stopped_by_the_next_one(hanging, monkeypatch, capsys):
    recipe, seconds = hanging
    process = driver(recipe, *ONE)
    wait_for(lambda: alive(seconds))
    process.kill()
    process.wait(60)
    assert alive(seconds)
    assert "not running, but commands of a driver that was killed are" in tell(recipe, "--status", capsys)
    finish(recipe, monkeypatch)
    assert not alive(seconds) and "stopped ia_sft.1" in calls(recipe)


def test_what_a_killed_driver_has_left_can_be_stopped(hanging, capsys):
    recipe, seconds = hanging
    process = driver(recipe, *ONE)
    wait_for(lambda: alive(seconds))
    process.kill()
    process.wait(60)
    assert "stopped what a killed process has left running" in tell(recipe, "--stop", capsys)
    assert not alive(seconds) and ": not running\n" in tell(recipe, "--status", capsys)


def test_in_the_background(hanging, capsys, monkeypatch):
    recipe, seconds = hanging
    assert "log in" in tell(recipe, "--background", capsys)
    wait_for(lambda: alive(seconds))
    pid = (recipe / "exp_strategies/lock").read_text().strip()
    text = tell(recipe, "--status", capsys)
    assert (
        f"running, process {pid}\n0 of 1 runs are done" in text and "begun: ia_sft/seed1 (Stage 9: Joint SFT)" in text
    )
    for way in ("true", "false"):
        with pytest.raises(ValueError, match=f"is being worked on by process {pid}: see --status true"):
            run_strategies.main(["--recipe", str(recipe), *ONE, "--background", way])
    assert calls(recipe).count("begin ia_sft.1") == 1
    assert f"stopped process {pid}; start it again" in tell(recipe, "--stop", capsys)
    assert not alive(seconds) and ": not running\n" in tell(recipe, "--stop", capsys)
    finish(recipe, monkeypatch)
