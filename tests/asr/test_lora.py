"""LoRA of the LLM: what it trains, the names of its weights, and that everything after it sees a plain LLM."""

import logging
import sys

import pytest
import torch

from espnet_llmasr.asr.llm import build_llm
from espnet_llmasr.asr.lora import add_lora
from espnet_llmasr.asr.weights import initialize, read_state
from espnet_llmasr.bin import llm_asr_train
from espnet_llmasr.inference.speech2text import Speech2Text
from espnet_llmasr.tasks.llm_asr import LLMASRTask

CONF = dict(rank=4, alpha=12, target_modules=["q_proj", "down_proj"])


def read(out):
    return read_state(out / "latest.pth")


@pytest.fixture(scope="module")
def trained(llm_options, tmp_path_factory):
    """The folder of a training of adaptor and LoRA."""
    out = tmp_path_factory.mktemp("lora") / "out"
    LLMASRTask.main(cmd=llm_options(out, lora=CONF, freeze_param=["encoder"], optim_conf=dict(lr=0.01)))
    return out


def with_lora(out):
    """The trained model with its LoRA unmerged, in eval mode."""
    args = LLMASRTask.config_of(out / "config.yaml")
    model = LLMASRTask.build_model(args)
    model.load_state_dict(read(out))
    return model.eval(), args


def test_a_new_lora_changes_no_logit_and_freezes_the_llm(tiny_llm, caplog):
    llm, ids = build_llm(tiny_llm / "config.json").eval(), torch.arange(12)[None]
    expected = llm(input_ids=ids).logits
    with caplog.at_level(logging.INFO):
        add_lora(llm, 4, 12)
    assert llm(input_ids=ids).logits.equal(expected)
    trained = {name: p for name, p in llm.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 7 * 2 and all(".lora_A." in name or ".lora_B." in name for name in trained)
    numbers = sum(p.numel() for p in trained.values()), sum(p.numel() for p in llm.parameters())
    assert "{} of {} parameters of the LLM are trained".format(*numbers) in caplog.text


def test_only_lora_and_adaptor_are_trained(trained, tiny_llm):
    before, after = torch.load(tiny_llm / "llm.pth", weights_only=True), read(trained)
    lora = [name for name in after if ".lora_A." in name or ".lora_B." in name]
    layer = "llm.model.layers.1.self_attn.q_proj"
    assert f"{layer}.lora_A.default.weight" in lora and len(lora) == 2 * 2 * 2
    assert all(after[name].any() for name in lora)
    for name, value in before.items():
        names = {f"llm.{name}", f"llm.{name.removesuffix('.weight')}.base_layer.weight"}
        assert after[(names & after.keys()).pop()].equal(value)
    model, _ = with_lora(trained)
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {
        "llm",
        "adaptor",
        "encoder",
    }


def test_the_loaded_model_is_plain_and_decodes_the_same(trained, load_batch, monkeypatch):
    """W + alpha / rank * B A by hand; Speech2Text with merged and with unmerged weights."""
    (unmerged, args), speech2text = with_lora(trained), Speech2Text(trained / "config.yaml", trained / "latest.pth")
    merged, state, layer = speech2text.model.state_dict(), read(trained), "llm.model.layers.0.mlp.down_proj"
    assert not any("lora" in name or "base_layer" in name for name in merged)
    product = state[f"{layer}.lora_B.default.weight"] @ state[f"{layer}.lora_A.default.weight"]
    torch.testing.assert_close(merged[f"{layer}.weight"], state[f"{layer}.base_layer.weight"] + 3.0 * product)
    batch = load_batch(LLMASRTask, args)[1]
    ids = batch["prompt"].clamp(min=0)
    with torch.no_grad():
        logits = [model.llm(input_ids=ids).logits for model in (speech2text.model, unmerged)]
    torch.testing.assert_close(*logits, atol=1e-5, rtol=0)
    hypotheses = speech2text.batch(batch["speech"], batch["speech_lengths"])
    speech2text.model = unmerged
    again = speech2text.batch(batch["speech"], batch["speech_lengths"])
    assert [one.text for one in hypotheses] == [one.text for one in again]


def test_two_updates_differ_from_those_of_the_whole_llm(trained, llm_options, tmp_path):
    LLMASRTask.main(cmd=llm_options(tmp_path / "out", freeze_param=["encoder"], optim_conf=dict(lr=0.01), max_epoch=1))
    whole = read(tmp_path / "out")
    merged = LLMASRTask.load(trained / "config.yaml", trained / "latest.pth")[0].llm.state_dict()
    assert not any(whole[f"llm.{name}"].equal(value) for name, value in merged.items() if "q_proj.weight" in name)


def test_a_resumed_training_ends_with_the_same_weights(trained, llm_options, tmp_path):
    conf = dict(lora=CONF, freeze_param=["encoder"], optim_conf=dict(lr=0.01), resume=True)
    for epochs in (1, 2):
        LLMASRTask.main(cmd=llm_options(tmp_path / "out", **conf, max_epoch=epochs))
    assert all(read(trained)[name].equal(value) for name, value in read(tmp_path / "out").items())


@pytest.mark.parametrize("lora", [{}, CONF, dict(CONF, rank=2), dict(CONF, alpha=4), dict(rank=4, alpha=12)])
def test_the_next_stage_starts_where_lora_ended(trained, llm_options, lora, tmp_path):
    """Without LoRA, with the same one (which goes on), and with others (which begin at zero)."""
    args = LLMASRTask.get_parser().parse_args(llm_options(tmp_path / "out", lora=lora))
    model = LLMASRTask.build_model(args)
    initialize(model, str(trained / "latest.pth"))
    ids = torch.arange(20)[None]
    with torch.no_grad():
        logits = [one.eval().llm(input_ids=ids).logits for one in (model, with_lora(trained)[0])]
    torch.testing.assert_close(*logits, atol=1e-5, rtol=0)
    goes_on = any(value.any() for name, value in model.state_dict().items() if ".lora_B." in name)
    assert goes_on == (lora == CONF or lora == dict(rank=4, alpha=12))


@pytest.mark.parametrize(
    "lora, message",
    [
        (dict(rank=0, alpha=16), "--lora has rank 0 and alpha 16, expected both above 0"),
        (dict(rank=4, alpha=16, target_modules=["wq"]), "--lora has 'wq' in target_modules, this LLM has down_proj,"),
        (dict(rank=4, alpha=16, target_modules="all-linear"), "--lora has 'all-linear' in target_modules"),
        (dict(rank=4, alpha=16, target_modules=["lm_head"]), "--lora has 'lm_head' in target_modules"),
        (dict(rank=4, alpha=16, target_modules=[]), "--lora has no layer in target_modules"),
        (dict(rank=4, alpha=16, dropout=0.1), "--lora has 'dropout', allowed are rank, alpha, target_modules"),
    ],
)
def test_lora_that_cannot_be(command, llm_options, lora, message, tmp_path):
    done = command(llm_asr_train, *llm_options(tmp_path / "out", lora=lora))
    assert done.code == 1 and message in done.err.strip().splitlines()[-1]


def test_lora_without_effect_or_package(command, llm_options, monkeypatch, tmp_path):
    done = command(llm_asr_train, *llm_options(tmp_path / "out", lora=CONF, freeze_param=["encoder", "llm"]))
    assert done.code == 1 and "--lora would not be trained: leave llm out" in done.err.splitlines()[-1]
    done = command(llm_asr_train, *llm_options(tmp_path / "out", lora=CONF, keep_nbest_models=2))
    assert done.code == 1 and "--keep_nbest_models is 2, expected 1 with --lora" in done.err.splitlines()[-1]
    monkeypatch.setitem(sys.modules, "peft", None)
    done = command(llm_asr_train, *llm_options(tmp_path / "out", lora=CONF))
    assert done.code == 1 and done.err.splitlines()[-1].endswith("--lora needs the package peft: pip install peft")
