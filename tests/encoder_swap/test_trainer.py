"""Encoder swaps: the decisions, what is replaced, resume, replay, broken files, the end rule."""

import threading
import time
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from espnet_llmasr.encoder_swap import trainer as swap
from espnet_llmasr.encoder_swap.trainer import Swap, last_epoch, load_encoder, next_swap, swap_log
from espnet_llmasr.tasks.speech_task import Trainer
from espnet_llmasr.train import checkpoints

swap_encoder = Trainer.swap_encoder

# ---- decisions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "current, newest, final, past, expected",
    [
        (0, None, None, [], None),
        (0, 10, None, [], Swap(3, 10, 0, False)),
        (10, None, None, [], None),
        (10, 30, None, [], Swap(3, 30, 10, False)),
        (10, 30, 30, [], Swap(3, 30, 10, True)),
        (10, 20, 30, [], Swap(3, 20, 10, False)),  # the last one is announced but cannot be read
        (30, None, 30, [], Swap(3, 30, 30, True)),  # the model holds the last one already
        (30, None, 30, [Swap(2, 30, 10, True)], None),  # the end is noted once
    ],
)
def test_next_swap(current, newest, final, past, expected):
    assert next_swap(3, current, newest, final, past) == expected


def test_last_epoch():
    past = [Swap(2, 20, 10, False), Swap(5, 30, 20, True)]
    assert (last_epoch(past, 3), last_epoch(past, 1)) == (7, 5)
    assert last_epoch(past, None) is None and last_epoch(past[:1], 3) is None


def test_options_without_effect_are_refused(tmp_path):
    def options(**changes):
        nothing = dict(encoder_dir=None, swap_schedule=None, final_epochs=None, pace=None)
        return SimpleNamespace(**{**nothing, "output_dir": str(tmp_path / "out"), **changes})

    swap.check_options(options())
    absent = dict(swap_schedule=str(tmp_path / "no"), encoder_dir="e")
    for wrong in (dict(final_epochs=2), dict(swap_schedule="x"), absent):
        with pytest.raises(ValueError, match="--swap_schedule"):
            swap.check_options(options(**wrong))
    with pytest.raises(ValueError, match="--final_epochs is 0, expected at least 1"):
        swap.check_options(options(encoder_dir="e", final_epochs=0, swap="every_epoch"))
    with pytest.raises(ValueError, match="--final_epochs with --swap first would not end: give --swap every_epoch"):
        swap.check_options(options(encoder_dir="e", final_epochs=2, swap="first"))
    swap_log(tmp_path / "part.jsonl").write([Swap(1, 10, 0, False)])
    with pytest.raises(ValueError, match='part.jsonl has no swap with "final": true'):
        swap.check_options(options(encoder_dir="e", final_epochs=2, swap_schedule=str(tmp_path / "part.jsonl")))
    (tmp_path / "out").mkdir()
    own = tmp_path / "out" / "swaps.jsonl"
    own.write_text("")
    with pytest.raises(ValueError, match="overwritten"):
        swap.check_options(options(encoder_dir="e", swap_schedule=str(own)))


# ---- loading -------------------------------------------------------------------------------------------------------


class Model(nn.Module):
    """An encoder with parameters and buffers."""

    def __init__(self, width=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))
        self.register_buffer("swap_step", torch.zeros((), dtype=torch.int64))


def other_state(model, value=7):
    return {name: torch.full_like(tensor, value) for name, tensor in model.encoder.state_dict().items()}


def test_a_swap_replaces_every_tensor(store):
    model = Model()
    state = other_state(model)
    store.publish(10, state)
    load_encoder(model, store, 10)
    assert int(model.swap_step) == 10
    assert len(state) == len(model.encoder.state_dict()) == 7  # with the batch norm's buffers
    assert all(value.eq(7).all() for value in model.encoder.state_dict().values())


@pytest.mark.parametrize("fault", ["shape", "missing", "left over", "truncated", "absent"])
def test_an_encoder_that_does_not_fit_changes_nothing(store, fault):
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = other_state(Model(4) if fault == "shape" else model)
    state |= {"extra": torch.zeros(1)} if fault == "left over" else {}
    state.pop("1.running_mean") if fault == "missing" else None
    if fault != "absent":
        path = store.publish(10, state)
        path.write_bytes(path.read_bytes()[: -50 if fault == "truncated" else None])
    with pytest.raises(ValueError, match="encoder.000000010.pth is (missing or broken|not of this encoder)"):
        load_encoder(model, store, 10)
    assert all(before[name].equal(value) for name, value in model.state_dict().items())


def options_for(store, tmp_path, **changes):
    defaults = dict(encoder_dir=store.directory, swap="every_epoch", swap_schedule=None, pace=None)
    return SimpleNamespace(**{**defaults, "output_dir": tmp_path / "out", **changes})


def frozen_model():
    model = Model()
    model.encoder.requires_grad_(False)
    return model


def test_a_broken_new_encoder_leaves_the_older_whole_one_or_the_present_one(store, tmp_path):
    model, options = frozen_model(), options_for(store, tmp_path)
    for step in (10, 20):
        store.publish(step, other_state(model, step))
    content = store.path(20).read_bytes()
    store.path(20).write_bytes(content[: len(content) // 2])
    swap_encoder(model, 1, options)
    assert int(model.swap_step) == 10 and model.encoder[0].weight.eq(10).all()
    swap_encoder(model, 2, options)
    assert int(model.swap_step) == 10 and model.encoder[0].weight.eq(10).all()
    store.path(20).write_bytes(content)
    swap_encoder(model, 3, options)
    assert int(model.swap_step) == 20 and model.encoder[0].weight.eq(20).all()
    assert [(s.epoch, s.encoder_step) for s in swap_log(tmp_path / "out" / "swaps.jsonl").read()] == [(1, 10), (3, 20)]


def test_first_is_the_first_and_stays(store, tmp_path):
    """Also when the pretraining has ended long before: alignment alone gives what it gives beside the pretraining."""
    model, options = frozen_model(), options_for(store, tmp_path, swap="first")
    for step in (10, 15):
        store.publish(step, other_state(model, step))
    store.publish_final(15)
    swap_encoder(model, 1, options)
    store.publish(20, other_state(model, 20))
    swap_encoder(model, 2, options)
    assert int(model.swap_step) == 10


def test_a_killed_epoch_keeps_its_decision_when_a_newer_encoder_has_come(store, tmp_path):
    """Killed after a swap (to 10, now not the newest) and after none was due (3); anew, nothing is kept."""
    model, options = frozen_model(), options_for(store, tmp_path)
    log = lambda: [(s.epoch, s.encoder_step) for s in swap_log(tmp_path / "out" / "swaps.jsonl").read()]
    start = deepcopy(model.state_dict())
    store.publish(10, other_state(model, 10))
    for epoch, step, newer in ((1, 10, [20]), (2, 20, []), (3, 20, [30]), (4, 30, [])):
        checkpoint = deepcopy(model.state_dict())
        for new in ([], newer):  # what came before the second attempt
            [store.publish(number, other_state(model, number)) for number in new]
            model.load_state_dict(checkpoint)
            swap_encoder(model, epoch, options)
            assert int(model.swap_step) == step and model.encoder[0].weight.eq(step).all()
    assert log() == [(1, 10), (2, 20), (4, 30)]
    checkpoints.forget(tmp_path / "out")
    model.load_state_dict(start)
    swap_encoder(model, 1, options)
    assert log() == [(1, 30)]


def test_an_encoder_in_training_is_not_swapped(store, tmp_path):
    store.publish(10, other_state(Model()))
    with pytest.raises(ValueError, match="swaps need a frozen encoder"):
        swap_encoder(Model(), 1, options_for(store, tmp_path))


def test_alignment_waits_for_the_first_encoder(store, tmp_path, monkeypatch):
    model, began = frozen_model(), time.monotonic()
    monkeypatch.setattr(swap, "WAIT_S", 1)  # several rounds
    timer = threading.Timer(1.5, lambda: store.publish(10, other_state(model, 10)))
    timer.start()
    swap_encoder(model, 1, options_for(store, tmp_path))
    timer.join()
    assert int(model.swap_step) == 10 and time.monotonic() - began > 1.5
