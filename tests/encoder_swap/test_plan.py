"""The plan of swaps: what it computes from stored encoders, its figures, and the schedules that it writes."""

from types import SimpleNamespace

import pytest
import torch

from espnet_llmasr.encoder_swap import plan as swap_plan
from espnet_llmasr.encoder_swap.plan import Plan, StoredEncoders, ia_sft_schedule, replay, steps_to_replay
from espnet_llmasr.encoder_swap.rule import CKACheck, SwapRule
from espnet_llmasr.encoder_swap.trainer import last_epoch, scheduled_swap, swap_log
from espnet_llmasr.metrics.cka import linear_cka

LENGTHS = torch.tensor([90, 60])

# ---- CKA between stored encoders -----------------------------------------------------------------------------------


@pytest.fixture()
def stored(encoder, new_probe):
    """Four epochs of 10 updates, and the list of the epochs that went through their encoder."""
    passes, states = [], {epoch: encoder(epoch).state_dict() for epoch in range(1, 5)}
    torch.manual_seed(0)
    probe = new_probe([(torch.randn(2, 90, 80), LENGTHS)])
    load = lambda epoch: passes.append(epoch) or (states[epoch], {})
    return StoredEncoders(probe, SimpleNamespace(load=load), 10), passes


def test_every_epoch_passes_its_encoder_once_for_all_thresholds(stored):
    encoders, passes = stored
    rules = [SwapRule(threshold) for threshold in (0.0001, 0.5, 0.99, 1.0)]
    logs = replay(rules, [10, 20, 30, 40], encoders.layer_cka, ended=True)
    assert sorted(passes) == [1, 2, 3, 4]
    assert [check.reference_step for check in logs[0]] == [0, 10, 10, 10]
    assert [check.reference_step for check in logs[3]] == [0, 10, 20, 30]


@pytest.mark.parametrize("memory", [1 << 30, 14_000, 0])
def test_equation_12_whatever_the_memory(stored, encoder, monkeypatch, memory):
    """Against single utterances; 14,000 bytes hold the outputs of three encoders."""
    monkeypatch.setattr(swap_plan, "MEMORY", memory)
    encoders, passes = stored
    (feats, lengths), values = encoders.probe.feats[0], []
    models = [encoder(1).eval(), encoder(4).eval()]
    with torch.no_grad():
        for row, n in zip(feats, lengths):
            outputs = [model(row[None, :n], n[None])[0][0] for model in models]
            values.append(float(linear_cka(*outputs)))
    for reference, step in [(10, 20), (20, 30), (20, 40)]:
        encoders.layer_cka(reference, step)
    assert encoders.layer_cka(10, 40)[-1] == pytest.approx(sum(values) / 2, abs=1e-5)
    assert len(passes) == {1 << 30: 4, 14_000: 5, 0: 8}[memory]


# ---- figures -------------------------------------------------------------------------------------------------------


def test_figures_of_a_plan():
    rows = [(100, "reference"), (200, "keep"), (300, "publish"), (400, "publish"), (500, "keep"), (700, "final")]
    plan = Plan(SwapRule(0.9, 100), [CKACheck(step, 0, 0.8, action) for step, action in rows])
    found = plan.summary()
    assert (found["first"], found["swaps"], found["longest_without"]) == (300, 2, 300)
    assert found["apart"] == {"min": 100, "median": 200, "max": 300}
    assert [row["step"] for row in found["triggers"]] == [300, 400, 700]
    running = Plan(plan.rule, [CKACheck(step, 0, 0.8, action) for step, action in rows[:2] + [(600, "keep")]]).summary()
    assert (running["first"], running["swaps"], running["apart"], running["longest_without"]) == (None, 0, None, 500)


def pretraining(*epochs):
    return SimpleNamespace(directory="exp", stored=lambda: list(epochs), config=lambda: {"max_epoch": 8})


def test_epochs_to_replay():
    assert steps_to_replay(pretraining(*range(1, 9)), 5, None) == [10, 15, 20, 25, 30, 35, 40]
    assert steps_to_replay(pretraining(*range(1, 9)), 5, 31) == [35, 40]
    assert steps_to_replay(pretraining(*range(1, 4)), 5, 0) == [5, 10, 15]  # it still runs
    for epochs, start, missing in (((3, 8), None, 2), ((7, 8), 30, 6), ((8,), 40, 9), ((), 0, 1)):
        with pytest.raises(ValueError, match=f"epoch {missing} is missing.* --keep_nbest_models 8"):
            steps_to_replay(pretraining(*epochs), 5, start)


# ---- schedules -----------------------------------------------------------------------------------------------------


def epochs_of(published, epochs, final_epochs):
    return [(swap.epoch, swap.encoder_step) for swap in ia_sft_schedule(published, epochs, final_epochs)]


def test_an_encoder_comes_at_the_first_epoch_that_starts_at_or_after_its_step():
    """100 to 200 in ten epochs: epoch 1 starts at 100, epoch 2 at 110, ... epoch 10 at 190, the final ones at 200."""
    assert epochs_of([100, 110, 200], 12, 2) == [(2, 110), (11, 200)]
    assert epochs_of([100, 111, 200], 12, 2) == [(3, 111), (11, 200)]
    assert epochs_of([100, 109, 110, 185, 200], 12, 2) == [(2, 110), (10, 185), (11, 200)]  # the newest of an epoch
    assert epochs_of([100, 190, 191, 200], 12, 2) == [(10, 190), (11, 200)]  # 191 would start with the final epochs
    assert epochs_of([100, 150, 200], 2, 2) == [(1, 200)]
    assert epochs_of([100], 12, 2) == [(11, 100)]  # the first is the final one
    assert epochs_of([100, 101, 102, 104], 4, 1) == [(2, 101), (3, 102), (4, 104)]  # 100, 101.3, 102.7


@pytest.mark.parametrize("epochs, final", [(3, 4), (3, 0)])
def test_impossible_lengths_of_ia_sft(epochs, final):
    with pytest.raises(ValueError, match="allowed is 1 <= final <= epochs"):
        ia_sft_schedule([1, 2], epochs, final)


@pytest.mark.parametrize("published", [[100, 130, 133, 160, 200], [100, 200], [200]])
def test_a_training_accepts_its_schedule(tmp_path, published):
    """As IA-SFT asks for it, epoch by epoch, from the alignment's encoder to the end."""
    ia_sft = tmp_path / "swaps.jsonl"
    swap_log(ia_sft).write(ia_sft_schedule(published, epochs=8, final_epochs=3))
    current, past = published[0], []
    for epoch in range(1, 9):
        due = scheduled_swap(ia_sft, epoch, current)
        past += [due] if due else []
        current = due.encoder_step if due else current
        assert (last_epoch(past, 3) == epoch) == (epoch == 8)
        assert (current == published[-1]) >= (epoch >= 6)
    assert past == swap_log(ia_sft).read() and [swap.final for swap in past] == [False] * (len(past) - 1) + [True]
