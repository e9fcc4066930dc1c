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
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = torn


KILLS = {  # a method and its call, or a file, the number of its save, and the share of bytes that are written
    "in the first epoch": (ExactTrainer, "update", 2),
    "in the second epoch": (ExactTrainer, "update", 4),
    "in checkpoint.pth of the first epoch": ("checkpoint.pth", 1, 0.5),
    "at the first byte of checkpoint.pth": ("checkpoint.pth", 2, 1e-9),
    "in checkpoint.pth": ("checkpoint.pth", 2, 0.9),
    "between checkpoint.pth and 1epoch.pth": ("1epoch.pth", 1, 0),
    "between checkpoint.pth and 2epoch.pth": ("2epoch.pth", 1, 0),
    "in 2epoch.pth": ("2epoch.pth", 1, 0.5),
    "after the latest link": (checkpoints, "begin_epoch", 3),
    "after the checkpoint was put by": (checkpoints, "begin_epoch", 3, True),
    "in the last checkpoint.pth": ("checkpoint.pth", 3, 0.5),
    "in 3epoch.pth": ("3epoch.pth", 1, 0.5),
    "before the end mark": (checkpoints, "finish", 1),
    "after the end mark": (checkpoints, "write_atomically", 2, True),  # the first is config.yaml
}
FROM_SCRATCH = (  # no epoch was complete yet
    "in the first epoch",
    "in checkpoint.pth of the first epoch",
    "between checkpoint.pth and 1epoch.pth",
)


def train(options):
    PhonemeCTCTask.main(cmd=[*options, "--resume=true"])


@pytest.fixture(scope="module")
def uninterrupted(phone_options, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "out"
    train(phone_options(out, max_epoch=EPOCHS))
    return out


@pytest.fixture()
def assert_same_training(uninterrupted, assert_same_weights):
    def check(out):
        assert_same_weights(uninterrupted, out, EPOCHS, EPOCHS)
        latest = [torch.load(path / "latest.pth", weights_only=True) for path in (uninterrupted, out)]
        assert all(value.equal(latest[1][name]) for name, value in latest[0].items())
        names = [{path.name for path in folder.glob("*.pth")} for folder in (uninterrupted, out)]
        assert names[0] - {"checkpoint.prev.pth"} == names[1] - {"checkpoint.prev.pth"} and (out / "finished").exists()

    return check


@pytest.fixture()
def killed(forked, die_in):
    """(kill, train) -> runs the training in a process that ends there."""

    def run(kill, train):
        arm = die_while_saving if isinstance(kill[0], str) else die_in
        assert forked(lambda: (arm(*kill), train())) == signal.SIGKILL

    return run


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_resumed(assert_same_training, phone_options, killed, forked, moment, tmp_path):
    options, out = phone_options(tmp_path / "out", max_epoch=EPOCHS), tmp_path / "out"
    killed(KILLS[moment], lambda: train(options))
    assert (out / "checkpoint.prev.pth").exists() == (moment not in FROM_SCRATCH)
    assert forked(lambda: train(options)) == 0
    assert_same_training(out)


def test_killed_twice_and_once_while_rolling_back(assert_same_training, phone_options, killed, forked, tmp_path):
    options = phone_options(tmp_path / "out", max_epoch=EPOCHS)
    for kill in (KILLS["in checkpoint.pth"], KILLS["in 2epoch.pth"], (os, "link", 1)):
        killed(kill, lambda: train(options))
    assert forked(lambda: train(options)) == 0
    assert_same_training(tmp_path / "out")


def test_a_finished_training_is_left_alone_and_can_be_made_longer(
    assert_same_training, phone_options, killed, forked, tmp_path
):
    out = tmp_path / "out"
    short = phone_options(out, max_epoch=1)
    train(short)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pth")}
    train(short)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.pth")} == before
    longer = phone_options(out, max_epoch=EPOCHS)
    killed((ExactTrainer, "update", 1), lambda: train(longer))
    assert checkpoints.finished_epochs(out) is None  # a watcher must not take it for ended
    killed((checkpoints, "begin_epoch", 1), lambda: train(longer))
    assert forked(lambda: train(longer)) == 0
    assert_same_training(out)


def test_starting_anew_forgets_the_earlier_training(assert_same_training, phone_options, killed, tmp_path):
    out = tmp_path / "out"
    train(phone_options(out, max_epoch=1, seed=5))
    options = phone_options(out, max_epoch=EPOCHS)
    killed((ExactTrainer, "update", 1), lambda: PhonemeCTCTask.main(cmd=[*options, "--resume=false"]))
    assert checkpoints.finished_epochs(out) is None
    train(options)
    assert_same_training(out)
