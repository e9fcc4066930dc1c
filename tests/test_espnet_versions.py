"""A training goes on under either supported ESPnet, whichever of them has begun it.

recorded/checkpoint_<version>.pth was written by torch.save with the state of that ESPnet's Reporter after one epoch:
losses 1.5 and 1.0 in training, 0.75 in validation, and nothing else.
"""

import os
from datetime import timedelta
from pathlib import Path

import espnet
import numpy as np
import pytest
import torch

from espnet_llmasr.bin import phoneme_ctc_train
from espnet_llmasr.espnet_versions import load_checkpoint
from espnet_llmasr.register import register
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

RECORDED = sorted((Path(__file__).parent / "recorded").glob("checkpoint_*.pth"))
TYPES = {"loss": float, "lr": float, "time": timedelta, "total_count": int}


@pytest.fixture(scope="module")
def uninterrupted(phone_options, tmp_path_factory):
    """A training of two epochs; the first one's checkpoint.pth is kept as first.pth."""
    out = tmp_path_factory.mktemp("reference") / "out"
    options = phone_options(out, max_epoch=2)
    PhonemeCTCTask.main(cmd=[*options, "--max_epoch=1"])
    os.link(out / "checkpoint.pth", out.parent / "first.pth")
    PhonemeCTCTask.main(cmd=[*options, "--resume=true"])
    return out


def test_both_versions_are_recorded():
    assert [path.name for path in RECORDED] == ["checkpoint_202511.pth", "checkpoint_202611.pth"]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_checkpoint_of_either_version_is_read_as_plain_numbers(path):
    state = load_checkpoint(path)["reporter"]
    assert state["epoch"] == 1 and list(state["stats"]) == [1]
    train, valid = state["stats"][1]["train"], state["stats"][1]["valid"]
    assert (train["loss"], train["lr"], train["total_count"]) == (1.25, 0.001, 2)
    assert (valid["loss"], valid["total_count"]) == (0.75, 1)
    assert timedelta(0) < train["time"] < timedelta(seconds=1)
    for values in (train, valid):
        assert {name: type(value) for name, value in values.items()} == {name: TYPES[name] for name in values}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_training_of_either_version_goes_on(uninterrupted, phone_options, path, tmp_path):
    """The states of the first epoch with a recorded reporter: the second epoch gives the weights of no interruption."""
    out, options = tmp_path / "out", phone_options(tmp_path / "out", max_epoch=2)
    PhonemeCTCTask.main(cmd=[*options, "--max_epoch=1"])
    states = torch.load(uninterrupted.parent / "first.pth", weights_only=False)
    (out / "checkpoint.pth").unlink()
    torch.save({**states, "reporter": torch.load(path, weights_only=False)["reporter"]}, out / "checkpoint.pth")
    PhonemeCTCTask.main(cmd=[*options, "--resume=true"])
    assert (out / "finished").exists()
    expected, actual = (torch.load(folder / "2epoch.pth", weights_only=True) for folder in (uninterrupted, out))
    assert [name for name in expected if not expected[name].equal(actual[name])] == []
    first, second = torch.load(out / "checkpoint.pth", weights_only=False)["reporter"]["stats"].values()
    assert first["train"]["loss"] == 1.25 and second["train"]["total_count"] == 4
    assert type(first["train"]["time"]) is type(second["train"]["time"])  # the form of the ESPnet that went on


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize(
    "content, error",
    [
        ({"reporter": {"stats": {}}, "trap": Trap()}, "UnpicklingError"),
        ({"reporter": {"stats": {1: {"train": {"time": {"hours": 1}}}}}}, "KeyError"),
        ({"w": torch.zeros(1)}, "KeyError"),
        (np.float64(1.5), "IndexError"),
    ],
    ids=["code", "other values", "weights", "a number"],
)
def test_anything_else_is_refused(content, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "checkpoint.pth")
    with pytest.raises(ValueError, match=rf"checkpoint.pth is broken or is no training's checkpoint \({error}\)"):
        load_checkpoint("checkpoint.pth")
    assert not Path("trapped").exists()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), RuntimeError("CUDA error: device is lost")])
def test_an_error_of_the_device_is_no_fault_of_the_file(error, monkeypatch):
    def full(path, **options):
        raise error

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(RuntimeError) as raised:
        load_checkpoint(RECORDED[0])
    assert raised.value is error


@pytest.mark.parametrize("damage", [lambda whole: whole[:-200], lambda whole: whole[:9], lambda whole: b"P" * 500])
def test_broken_files_are_named(damage, tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(damage(RECORDED[0].read_bytes()))
    with pytest.raises(ValueError, match="checkpoint.pth is broken or is no training's checkpoint"):
        load_checkpoint(path)


def test_resuming_from_a_broken_checkpoint_is_one_line(command, phone_options, tmp_path):
    out, options = tmp_path / "out", phone_options(tmp_path / "out", max_epoch=2)
    PhonemeCTCTask.main(cmd=[*options, "--max_epoch=1"])
    (out / "checkpoint.pth").write_bytes((out / "checkpoint.pth").read_bytes()[:-200])
    done = command(phoneme_ctc_train, *options, "--resume=true")
    last = done.err.strip().splitlines()[-1]
    assert done.code == 1 and "checkpoint.pth is broken" in last and "remove it" in last and "Traceback" not in done.err


def test_espnet_load_knows_our_task_where_there_is_such_a_function():
    register()
    assert hasattr(espnet, "TASKS") == hasattr(espnet, "load")
    if hasattr(espnet, "TASKS"):
        module, name = espnet.TASKS["llm_asr"]
        assert callable(getattr(__import__(module, fromlist=[name]), name).from_pretrained)
