"""Paced IA-SFT: the encoder of an epoch and its learning rate do not depend on how fast the watcher is."""

import random
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from espnet2.schedulers.exponential_decay_warmup import ExponentialDecayWarmup
from espnet2.schedulers.noam_lr import NoamLR
from torch import nn

from espnet_llmasr.encoder_swap import trainer as swap
from espnet_llmasr.encoder_swap.rule import CKACheck, cka_log
from espnet_llmasr.encoder_swap.run_dir import epochs_in
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import Swap, due_swap, hold_until_final, is_ready
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.tasks.speech_task import Trainer

CHECKS = {10: "reference", 20: "publish", 30: "keep", 40: "publish", 50: "publish", 60: "keep", 70: "final"}


def a_model():
    model = nn.Module()
    model.encoder = nn.Linear(2, 2).requires_grad_(False)
    model.register_buffer("swap_step", torch.zeros((), dtype=torch.int64))
    return model


@pytest.fixture()
def store(tmp_path):
    return EncoderStore(tmp_path / "store")


def check(store, *steps):
    """What the watcher does at these steps."""
    for step in steps:
        action = CHECKS[step]
        if action in ("publish", "final"):
            store.publish(step, nn.Linear(2, 2).state_dict())
        cka_log(store.directory).append(CKACheck(step, 10, 0.9, action))
        if action == "final":
            store.publish_final(step)


def options_for(store, tmp_path, **changes):
    usual = dict(output_dir=tmp_path / "out", encoder_dir=store.directory, swap="every_epoch", swap_schedule=None)
    usual |= dict(pace=15, final_epochs=2, num_iters_per_epoch=4, accum_grad=2, max_epoch=9)
    return SimpleNamespace(**{**usual, **changes})


@pytest.mark.parametrize(
    "checked, current, limit, ready, due",
    [
        ([10], 0, 15, False, None),  # no encoder yet
        ([10, 20], 0, 15, True, 20),  # the first one is later than the epoch's update: there is no other
        ([10, 20], 20, 15, True, None),
        ([10, 20, 30], 20, 35, False, None),  # update 40 may come
        ([10, 20, 30, 40], 20, 35, True, None),  # never a later one
        ([10, 20, 30, 40], 20, 40, True, 40),
        ([10, 20, 30, 40, 50, 60], 20, 55, True, 50),  # the newest of two
        ([10, 20, 30, 40, 50, 60], 20, 49, True, 40),
        ([10, 20, 30, 40, 50, 60, 70], 50, 70, True, 70),
        ([10, 20, 30, 40, 50, 60, 70], 50, 500, True, 70),  # pretraining ended early
        ([10, 20, 30, 40, 50, 60, 70], 20, 60, True, 50),
    ],
)
def test_the_newest_encoder_up_to_the_epochs_update(store, checked, current, limit, ready, due):
    check(store, *checked)
    assert is_ready(store, current, limit) == ready
    if ready:
        expected = due and Swap(3, due, current, due == 70)
        assert due_swap(store, 3, current, [], "every_epoch", limit) == expected


def test_the_last_check_counts_once_its_end_mark_is_there(store):
    check(store, *CHECKS)
    (store.directory / "final").unlink()  # the moment between the two
    assert not is_ready(store, 50, 70) and is_ready(store, 50, 60)


@pytest.mark.parametrize("seed", range(3))
def test_any_speed_of_the_watcher_gives_the_same_swaps(store, tmp_path, monkeypatch, seed):
    """Watcher and IA-SFT side by side, each with pauses of random length."""
    monkeypatch.setattr(swap.time, "sleep", lambda seconds, sleep=time.sleep: sleep(seconds / 200))
    model, options, pauses = a_model(), options_for(store, tmp_path), random.Random(seed)

    def watch():
        for step in CHECKS:
            time.sleep(pauses.choice([0, 1, 6]))
            check(store, step)

    thread = threading.Thread(target=watch)
    thread.start()
    for epoch in range(1, 7):
        time.sleep(pauses.choice([0, 2, 8]))
        swaps = Trainer.swap_encoder(model, epoch, options)
    thread.join()
    assert [(s.epoch, s.encoder_step) for s in swaps] == [(1, 20), (3, 40), (4, 50), (5, 70)]
    assert [s.final for s in swaps] == [False, False, False, True]


def rates(model, schedule, options, resume_after=None):
    """The learning rate of every update; schedule: epoch -> swaps so far."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    new = lambda: ExponentialDecayWarmup(optimizer, 1.0, 0.01, total_steps=999, warmup_steps=3, warm_from_zero=True)
    scheduler, seen = new(), []
    for epoch, swaps in schedule.items():
        held = hold_until_final([scheduler], swaps, options)
        for _ in range(2):
            held[0].step()
            seen.append(optimizer.param_groups[0]["lr"])
        if epoch == resume_after:
            state, scheduler = scheduler.state_dict(), new()
            scheduler.load_state_dict(state)
    return seen


@pytest.mark.parametrize("resume_after", [None, 1, 3, 4])
@pytest.mark.parametrize("final_epochs, max_epoch", [(2, 9), (None, 5)])
def test_the_learning_rate_holds_until_the_final_swap(store, tmp_path, resume_after, final_epochs, max_epoch):
    options = options_for(store, tmp_path, final_epochs=final_epochs, max_epoch=max_epoch)
    first, final = Swap(1, 20, 0, False), Swap(4, 70, 20, True)
    schedule = {1: [first], 2: [first], 3: [first], 4: [first, final], 5: [first, final]}
    seen = rates(nn.Linear(1, 1), schedule, options, resume_after)
    assert seen[0] == pytest.approx(2 / 3) and seen[1:6] == [1.0] * 5
    assert seen[6:] == pytest.approx([10**-0.5, 0.1, 10**-1.5, 0.01])


def test_impossible_paces_are_refused(store, tmp_path):
    for wrong in (dict(pace=0), dict(swap="first"), dict(num_iters_per_epoch=None), dict(encoder_dir=None)):
        with pytest.raises(ValueError, match="--pace"):
            swap.check_options(options_for(store, tmp_path, **wrong))
    noam = NoamLR(torch.optim.Adam(nn.Linear(1, 1).parameters()))
    with pytest.raises(ValueError, match="--pace with the scheduler NoamLR"):
        swap.check_schedulers([noam])
    schedule = dict(max_lr=1.0, min_lr=0.1, total_steps=9, warmup_steps=0)
    optimizer = torch.optim.Adam(nn.Linear(1, 1).parameters())
    swap.check_schedulers([ExponentialDecayWarmup(optimizer, **schedule)])
    with pytest.raises(ValueError, match="would hold a rate of 0: give warm_from_zero=false, or a warm-up"):
        swap.check_schedulers([ExponentialDecayWarmup(optimizer, **schedule, warm_from_zero=True)])


def test_a_pretraining_hands_over_every_epoch_but_the_last(phone_options, tmp_path):
    out = tmp_path / "out"
    (out / "unchecked").mkdir(parents=True)
    PhonemeCTCTask.main(cmd=[*phone_options(out, max_epoch=3, keep_nbest_models=1), "--resume=true"])
    assert epochs_in(out / "unchecked") == [1, 2] and epochs_in(out) == [3]
    PhonemeCTCTask.main(cmd=[*phone_options(out, max_epoch=1, seed=1), "--resume=false"])
    assert epochs_in(out / "unchecked") == []  # those of the earlier training are gone
