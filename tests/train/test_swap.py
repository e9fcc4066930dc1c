"""Encoder swaps: the decisions, what is replaced, resume, replay, broken files, the end rule."""

import json
import threading
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train import swap
from espnet_llmasr.train.encoder_store import EncoderStore
from espnet_llmasr.train.swap import Swap, is_last_epoch, load_encoder, next_swap, read_swaps

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


def test_is_last_epoch():
    past = [Swap(2, 20, 10, False), Swap(5, 30, 20, True)]
    assert [is_last_epoch(epoch, past, 3) for epoch in (5, 6, 7, 8)] == [False, False, True, True]
    assert is_last_epoch(5, past, 1)
    assert not is_last_epoch(9, past, None) and not is_last_epoch(9, past[:1], 3)


def test_options_without_effect_are_refused(tmp_path):
    def options(**changes):
        nothing = dict(encoder_dir=None, swap_schedule=None, final_epochs=None, output_dir=str(tmp_path / "out"))
        return SimpleNamespace(**{**nothing, **changes})

    swap.check_options(options())
    absent = dict(swap_schedule=str(tmp_path / "no"), encoder_dir="e")
    for wrong in (dict(final_epochs=2), dict(swap_schedule="x"), absent):
        with pytest.raises(ValueError, match="--swap_schedule"):
            swap.check_options(options(**wrong))
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


@pytest.fixture()
def store(tmp_path):
    return EncoderStore(tmp_path / "store")


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
    defaults = dict(output_dir=tmp_path / "out", encoder_dir=store.directory, swap="every_epoch", swap_schedule=None)
    return SimpleNamespace(**{**defaults, **changes})


def frozen_model():
    model = Model()
    model.encoder.requires_grad_(False)
    return model


def swap_encoder(model, epoch, options):
    from espnet_llmasr.train.trainer import Trainer

    return Trainer.swap_encoder(model, epoch, options)


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
    assert [(s.epoch, s.encoder_step) for s in read_swaps(tmp_path / "out" / "swaps.jsonl")] == [(1, 10), (3, 20)]


def test_first_takes_no_later_encoder(store, tmp_path):
    model, options = frozen_model(), options_for(store, tmp_path, swap="first")
    store.publish(10, other_state(model, 10))
    swap_encoder(model, 1, options)
    store.publish(20, other_state(model, 20))
    swap_encoder(model, 2, options)
    assert int(model.swap_step) == 10


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


# ---- real trainings ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoders(llm_options, build_model, tmp_path_factory):
    """{step: encoder state}"""
    model, _ = build_model(LLMASRTask, llm_options(tmp_path_factory.mktemp("e") / "x"))
    torch.manual_seed(5)
    noisy = lambda state: {k: v + 0.01 * torch.randn_like(v) if v.is_floating_point() else v for k, v in state.items()}
    return {step: noisy(model.encoder.state_dict()) for step in (10, 20, 30)}


def train(options, **extra):
    LLMASRTask.main(cmd=[*options, *(f"--{name}={value}" for name, value in extra.items())])


def weights(directory, epoch):
    return torch.load(directory / f"{epoch}epoch.pth", weights_only=True)


def assert_equal(first, second):
    assert set(first) == set(second)
    assert [name for name in first if not first[name].equal(second[name])] == []


def test_alignment_trains_the_adaptor_only(encoders, llm_options, tiny_llm, store, tmp_path):
    """By the command: the LLM's weights come by --init_param, the encoder from the store; both stay as they were."""
    timer = threading.Timer(2.0, lambda: store.publish(10, encoders[10]))
    timer.start()
    out = tmp_path / "align"
    train(llm_options(out, freeze_param=["encoder", "llm"], encoder_dir=str(store.directory), specaug="masks"))
    timer.join()
    after = weights(out, 2)
    part = lambda name: {k[len(name) :]: v for k, v in after.items() if k.startswith(name)}
    assert_equal(part("encoder."), encoders[10])
    assert_equal(part("llm."), torch.load(tiny_llm / "llm.pth", weights_only=True))
    first = weights(out, 1) if (out / "1epoch.pth").exists() else None
    assert int(after["swap_step"]) == 10
    assert first is None or not first["adaptor.linear1.weight"].equal(after["adaptor.linear1.weight"])
    states = torch.load(out / "checkpoint.pth", weights_only=False)["optimizers"][0]["state"]
    assert len(states) == 4  # only the adaptor's tensors have ever had a gradient


@pytest.fixture(scope="module")
def ia_sft(encoders, llm_options, tmp_path_factory):
    """An IA-SFT stopped and resumed twice while pretraining publishes; ends two epochs after the last encoder came."""
    root = tmp_path_factory.mktemp("ia_sft")
    store, out = EncoderStore(root / "store"), root / "live"
    conf = dict(
        freeze_param=["encoder"],
        encoder_dir=str(store.directory),
        swap="every_epoch",
        final_epochs=2,
        keep_nbest_models=9,
    )
    store.publish(10, encoders[10])
    train(llm_options(out, **conf, max_epoch=2, resume=True))
    store.publish(20, encoders[20])
    train(llm_options(out, **conf, max_epoch=4, resume=True))
    store.publish(30, encoders[30])
    store.publish_final(30)
    train(llm_options(out, **conf, max_epoch=9, resume=True))
    return SimpleNamespace(root=root, out=out, conf=conf, store=store)


def test_swaps_of_a_resumed_run(ia_sft, encoders):
    log = [(s.epoch, s.encoder_step, s.previous_step, s.final) for s in read_swaps(ia_sft.out / "swaps.jsonl")]
    assert log == [(1, 10, 0, False), (3, 20, 10, False), (5, 30, 20, True)]
    for epoch, step in enumerate((10, 10, 20, 20, 30, 30), 1):
        state = weights(ia_sft.out, epoch)
        assert int(state["swap_step"]) == step
        assert all(state[f"encoder.{name}"].equal(value) for name, value in encoders[step].items())


def test_it_stops_after_the_final_epochs(ia_sft):
    assert not (ia_sft.out / "7epoch.pth").exists()
    assert json.loads((ia_sft.out / "finished").read_text()) == {"max_epoch": 9}
    before = (ia_sft.out / "6epoch.pth").stat().st_mtime_ns
    train(["--config", str(ia_sft.root / "live.yaml"), *llm_command(ia_sft)])
    assert (ia_sft.out / "6epoch.pth").stat().st_mtime_ns == before  # the second time nothing is redone


def llm_command(ia_sft):
    config = LLMASRTask.config_of(ia_sft.out / "config.yaml")
    command = ["--output_dir", str(ia_sft.out)]
    for name in ("train", "valid"):
        for triple in getattr(config, f"{name}_data_path_and_name_and_type"):
            command += [f"--{name}_data_path_and_name_and_type", ",".join(triple)]
        command += [f"--{name}_shape_file", getattr(config, f"{name}_shape_file")[0]]
    return command


def test_a_schedule_replays_the_run(ia_sft, llm_options):
    out = ia_sft.root / "replay"
    train(llm_options(out, **ia_sft.conf, max_epoch=9, swap_schedule=str(ia_sft.out / "swaps.jsonl")))
    assert_equal(weights(out, 6), weights(ia_sft.out, 6))
    assert not (out / "7epoch.pth").exists()
    strip = lambda path: [asdict(s) | {"time": ""} for s in read_swaps(path)]
    assert strip(out / "swaps.jsonl") == strip(ia_sft.out / "swaps.jsonl")


def test_the_encoders_make_a_difference(ia_sft, llm_options):
    """The counter-check: without the schedule all swaps happen at once, and the weights are others."""
    out = ia_sft.root / "late"
    train(llm_options(out, **ia_sft.conf, max_epoch=9))
    assert not (out / "3epoch.pth").exists()
    assert not weights(out, 2)["adaptor.linear1.weight"].equal(weights(ia_sft.out, 2)["adaptor.linear1.weight"])
