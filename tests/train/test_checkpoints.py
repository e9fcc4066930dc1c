"""A training killed at any moment and resumed ends with the weights of one never killed (DESIGN decision 12)."""

import io
import os
import signal

import pytest
import torch

from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train import checkpoints
from espnet_llmasr.train.trainer import ExactTrainer

EPOCHS = 3


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_saving(name: str, call: int, written: float):
    """In this process, the `call`-th torch.save of a file called `name` stops after this share of its bytes."""
    save, calls = torch.save, []

    def torn(content, path, *args, **kwargs):
        calls.append(os.path.basename(path))
        if calls.count(name) != call or calls[-1] != name:
            return save(content, path, *args, **kwargs)
        if written:
            buffer = io.BytesIO()
            save(content, buffer)
            with open(path, "wb") as f:
                f.write(buffer.getvalue()[: int(written * buffer.tell())])
        die()

    torch.save = torn


def die_in(owner, name: str, call: int, after: bool = False):
    """The `call`-th call of owner.name ends the process, before or after its work."""
    original, calls = getattr(owner, name), []

    def wrapper(*args, **kwargs):
        calls.append(1)
        if len(calls) < call or after:
            result = original(*args, **kwargs)
            if len(calls) < call:
                return result
        die()

    setattr(owner, name, wrapper)


KILLS = {
    "in the first epoch": lambda: die_in(ExactTrainer, "update", 2),
    "in the second epoch": lambda: die_in(ExactTrainer, "update", 4),
    "in checkpoint.pth of the first epoch": lambda: die_while_saving("checkpoint.pth", 1, 0.5),
    "at the first byte of checkpoint.pth": lambda: die_while_saving("checkpoint.pth", 2, 1e-9),
    "in checkpoint.pth": lambda: die_while_saving("checkpoint.pth", 2, 0.9),
    "between checkpoint.pth and 1epoch.pth": lambda: die_while_saving("1epoch.pth", 1, 0),
    "between checkpoint.pth and 2epoch.pth": lambda: die_while_saving("2epoch.pth", 1, 0),
    "in 2epoch.pth": lambda: die_while_saving("2epoch.pth", 1, 0.5),
    "after the latest link": lambda: die_in(checkpoints, "begin_epoch", 3),
    "after the checkpoint was put by": lambda: die_in(checkpoints, "begin_epoch", 3, after=True),
    "in the last checkpoint.pth": lambda: die_while_saving("checkpoint.pth", 3, 0.5),
    "in 3epoch.pth": lambda: die_while_saving("3epoch.pth", 1, 0.5),
    "before the end mark": lambda: die_in(checkpoints, "finish", 1),
    "after the end mark": lambda: die_in(checkpoints, "write_atomically", 1, after=True),
}

FROM_SCRATCH = (  # no epoch was complete yet
    "in the first epoch",
    "in checkpoint.pth of the first epoch",
    "between checkpoint.pth and 1epoch.pth",
)


def train(options, **extra):
    PhonemeCTCTask.main(cmd=[*options, "--resume=true", *(f"--{name}={value}" for name, value in extra.items())])


@pytest.fixture(scope="module")
def uninterrupted(phone_options, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "out"
    train(phone_options(out, max_epoch=EPOCHS))
    return out


def assert_same_training(first, second):
    for name in (f"{EPOCHS}epoch.pth", "latest.pth"):
        states = [torch.load(out / name, weights_only=True) for out in (first, second)]
        assert [key for key in states[0] if not states[0][key].equal(states[1][key])] == []
    saved = [torch.load(out / "checkpoint.pth", weights_only=False) for out in (first, second)]
    for a, b in zip(*(s["optimizers"][0]["state"].values() for s in saved)):
        assert all(a[name].equal(b[name]) for name in a)
    names = [{p.name for p in out.iterdir() if p.suffix == ".pth"} - {"checkpoint.prev.pth"} for out in (first, second)]
    assert names[0] == names[1] and (second / "finished").exists()


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_resumed(uninterrupted, phone_options, forked, moment, tmp_path):
    options = phone_options(tmp_path / "out", max_epoch=EPOCHS)

    def killed():
        KILLS[moment]()
        train(options)

    assert forked(killed) == signal.SIGKILL
    assert (tmp_path / "out" / "checkpoint.prev.pth").exists() == (moment not in FROM_SCRATCH)
    assert forked(lambda: train(options)) == 0
    assert_same_training(uninterrupted, tmp_path / "out")


def test_killed_twice_and_once_while_rolling_back(uninterrupted, phone_options, forked, tmp_path):
    options = phone_options(tmp_path / "out", max_epoch=EPOCHS)
    for moment in ("in checkpoint.pth", "in 2epoch.pth"):
        assert forked(lambda: (KILLS[moment](), train(options))) == signal.SIGKILL
    assert forked(lambda: (die_in(os, "link", 1), train(options))) == signal.SIGKILL
    assert forked(lambda: train(options)) == 0
    assert_same_training(uninterrupted, tmp_path / "out")


def test_a_finished_training_is_left_alone_and_can_be_made_longer(uninterrupted, phone_options, forked, tmp_path):
    out = tmp_path / "out"
    short = phone_options(out, max_epoch=1)
    train(short)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pth")}
    train(short)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.pth")} == before
    longer = phone_options(out, max_epoch=EPOCHS)
    assert forked(lambda: (die_in(ExactTrainer, "update", 1), train(longer))) == signal.SIGKILL
    assert checkpoints.finished_epochs(out) is None  # whoever watches must not take it for ended
    assert forked(lambda: (die_in(checkpoints, "begin_epoch", 1), train(longer))) == signal.SIGKILL
    assert forked(lambda: train(longer)) == 0
    assert_same_training(uninterrupted, out)


def test_starting_anew_forgets_the_earlier_training(uninterrupted, phone_options, forked, tmp_path):
    out = tmp_path / "out"
    train(phone_options(out, max_epoch=1, seed=5))
    options = phone_options(out, max_epoch=EPOCHS)
    anew = [*options, "--resume=false"]
    assert forked(lambda: (die_in(ExactTrainer, "update", 1), PhonemeCTCTask.main(cmd=anew))) == signal.SIGKILL
    assert checkpoints.finished_epochs(out) is None
    train(options)
    assert_same_training(uninterrupted, out)
