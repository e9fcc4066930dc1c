"""Encoder swaps in real trainings: alignment, IA-SFT, resume, the end rule, replay."""

import json
from contextlib import suppress
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch

from espnet_llmasr.asr.weights import read_state
from espnet_llmasr.bin import check_swaps
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import Swap, swap_log
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.speech_task import Trainer


@pytest.fixture(scope="module")
def encoders(llm_options, build_model, tmp_path_factory):
    """{step: encoder state}"""
    model, _ = build_model(LLMASRTask, llm_options(tmp_path_factory.mktemp("e") / "x"))
    torch.manual_seed(5)
    noisy = lambda state: {k: v + 0.01 * torch.randn_like(v) if v.is_floating_point() else v for k, v in state.items()}
    return {step: noisy(model.encoder.state_dict()) for step in (10, 20, 30)}


def train(options):
    LLMASRTask.main(cmd=options)


def weights(directory, epoch):
    return read_state(directory / f"{epoch}epoch.pth")


def assert_equal(first, second):
    assert set(first) == set(second)
    assert [name for name in first if not first[name].equal(second[name])] == []


def test_alignment_trains_the_adaptor_only(encoders, llm_options, tiny_llm, store, tmp_path):
    """By the command: the LLM's weights come by --init_param, the encoder from the store; both stay as they were."""
    store.publish(10, encoders[10])
    out = tmp_path / "align"
    train(llm_options(out, freeze_param=["encoder", "llm"], encoder_dir=str(store.directory), specaug="masks"))
    after = weights(out, 2)
    part = lambda name: {k[len(name) :]: v for k, v in after.items() if k.startswith(name)}
    assert_equal(part("encoder."), encoders[10])
    assert_equal(part("llm."), torch.load(tiny_llm / "llm.pth", weights_only=True))
    assert int(after["swap_step"]) == 10
    states = torch.load(out / "checkpoint.pth", weights_only=False)["optimizers"][0]["state"]
    assert len(states) == 4  # only the adaptor's tensors have ever had a gradient


class Killed(Exception):
    """Stops a training at the start of an epoch."""


@pytest.fixture(scope="module")
def ia_sft(encoders, llm_options, tmp_path_factory):
    """An IA-SFT killed and resumed twice while pretraining publishes; ends two epochs after the last encoder came.

    max_epoch is 1 all the time: it does not count.
    """
    root = tmp_path_factory.mktemp("ia_sft")
    store, out = EncoderStore(root / "store"), root / "live"
    conf = dict(freeze_param=["encoder"], encoder_dir=str(store.directory), swap="every_epoch", final_epochs=2)
    command = llm_options(out, **conf, keep_nbest_models=9, max_epoch=1, resume=True)
    swap_encoder = Trainer.swap_encoder

    def killed_at(model, epoch, options):
        if epoch == end:
            raise Killed
        return swap_encoder(model, epoch, options)

    for step, end in ((10, 3), (20, 5), (30, None)):
        store.publish(step, encoders[step])
        if step == 30:
            store.publish_final(step)
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(Trainer, "swap_encoder", killed_at)
            train(command)
    return SimpleNamespace(root=root, out=out, conf=conf, command=command)


def test_swaps_of_a_resumed_run(ia_sft, encoders):
    log = [(s.epoch, s.encoder_step, s.previous_step, s.final) for s in swap_log(ia_sft.out / "swaps.jsonl").read()]
    assert log == [(1, 10, 0, False), (3, 20, 10, False), (5, 30, 20, True)]
    for epoch, step in enumerate((10, 10, 20, 20, 30, 30), 1):
        state = weights(ia_sft.out, epoch)
        assert int(state["swap_step"]) == step
        assert all(state[f"encoder.{name}"].equal(value) for name, value in encoders[step].items())


def test_it_stops_after_the_final_epochs(ia_sft):
    assert not (ia_sft.out / "7epoch.pth").exists()
    assert json.loads((ia_sft.out / "finished").read_text()) == {"max_epoch": 6}
    check_swaps.main([str(ia_sft.out)])
    before = (ia_sft.out / "6epoch.pth").stat().st_mtime_ns
    train([*ia_sft.command, "--max_epoch", "9"])
    assert (ia_sft.out / "6epoch.pth").stat().st_mtime_ns == before  # nothing is redone
    assert not (ia_sft.out / "7epoch.pth").exists()


def test_a_schedule_replays_the_run(ia_sft, llm_options):
    out = ia_sft.root / "replay"
    train(llm_options(out, **ia_sft.conf, max_epoch=1, swap_schedule=str(ia_sft.out / "swaps.jsonl")))
    assert_equal(weights(out, 6), weights(ia_sft.out, 6))
    assert not (out / "7epoch.pth").exists()
    strip = lambda path: [asdict(s) | {"time": ""} for s in swap_log(path).read()]
    assert strip(out / "swaps.jsonl") == strip(ia_sft.out / "swaps.jsonl")


def test_the_next_stage_is_refused_without_the_last_encoder(tmp_path):
    swap_log(tmp_path / "swaps.jsonl").write([Swap(1, 10, 0, False)])
    with pytest.raises(ValueError, match='swaps.jsonl has no swap with "final": true, so the model never saw'):
        check_swaps.main([str(tmp_path)])
