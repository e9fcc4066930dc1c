"""FLOPs from the modules against torch's own counter around a real forward and backward pass."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import flop_counter
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    DiffLlamaConfig,
    GPT2Config,
    LlamaConfig,
    Olmo2Config,
    Phi3Config,
    Qwen3Config,
    Qwen3MoeConfig,
    StableLmConfig,
)

from espnet_llmasr.asr.batch_shape import BatchShape
from espnet_llmasr.asr.flops import flops, forward_flops, unknown_part
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

spec = importlib.util.spec_from_file_location("torch_count", Path(__file__).with_name("torch_count.py"))
torch_count = importlib.util.module_from_spec(spec)
spec.loader.exec_module(torch_count)

WIDE = dict(output_size=144, num_blocks=3, attention_heads=4, kernel_size=33)
ENCODER_WEIGHTS = ["encoder.input_preprocessor", "encoder.layer_stack.0.ffn1"]
PHONE_CASES = {
    "pretraining": dict(),
    "pretraining without consistency": dict(model_conf=dict(cr_scale=0.0, time_warp_factor=0)),
    "fit of the CTC head": dict(model_conf=dict(cr_scale=0.0), freeze_param=["encoder"]),
    "a part of the encoder": dict(freeze_param=ENCODER_WEIGHTS),
    "all but the position biases": dict(freeze_param=["encoder.layer_stack.0.mhsa.pos_bias"]),
    "wider": dict(encoder_conf=WIDE),
}
LLM_CASES = {
    "alignment": dict(freeze_param=["encoder", "llm"]),
    "IA-SFT": dict(freeze_param=["encoder"]),
    "joint SFT": dict(),
    "the LLM alone": dict(freeze_param=["encoder", "adaptor"]),
    "the upper half of the LLM": dict(freeze_param=["encoder", "adaptor", "llm.model.embed", "llm.model.layers.0"]),
    "wider": dict(encoder_conf=WIDE, adaptor_conf=dict(downsample=3), freeze_param=["encoder"]),
}


def assert_counts_agree(model, batch) -> None:
    """The formulas give what torch's counter does, to the last FLOP."""
    found = flops(model, torch_count.shape_of(model, batch))
    assert all(isinstance(value, int) and value for value in found)
    assert torch_count.counted(model, batch) == found


def model_for(build_model, task, options):
    """A model in training mode, frozen as ESPnet freezes it."""
    model, args = build_model(task, options)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(name.startswith(start) for start in args.freeze_param))
    return model.train(), args


@pytest.mark.parametrize("case", PHONE_CASES)
@pytest.mark.parametrize("ids", [(5,), (0, 1, 2, 3, 4)], ids=["one", "five"])
def test_the_pretraining_costs_what_torch_counts(case, ids, phone_options, build_model, load_batch, tmp_path):
    model, args = model_for(build_model, PhonemeCTCTask, phone_options(tmp_path / "exp", **PHONE_CASES[case]))
    _, batch = load_batch(PhonemeCTCTask, args, ids)
    assert_counts_agree(model, batch)


@pytest.mark.parametrize("case", LLM_CASES)
@pytest.mark.parametrize("ids", [(5,), (0, 1, 2, 3, 4)], ids=["one", "five"])
def test_fine_tuning_costs_what_torch_counts(case, ids, llm_options, build_model, load_batch, tmp_path):
    model, args = model_for(build_model, LLMASRTask, llm_options(tmp_path / "exp", **LLM_CASES[case]))
    _, batch = load_batch(LLMASRTask, args, ids)
    assert_counts_agree(model, batch)


@pytest.fixture()
def joint(llm_options, build_model, load_batch, tmp_path):
    """A model of which all is trained, and a batch."""
    model, args = model_for(build_model, LLMASRTask, llm_options(tmp_path / "exp"))
    return model, load_batch(LLMASRTask, args)[1]


def llm_of(config):
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


SMALL = dict(hidden_size=64, num_hidden_layers=2, intermediate_size=96, vocab_size=320, pad_token_id=0)


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, head_dim=24, tie_word_embeddings=False),
        LlamaConfig(**SMALL, num_attention_heads=8, num_key_value_heads=1),
        Phi3Config(**SMALL, num_attention_heads=4, num_key_value_heads=2),
    ],
    ids=["wide heads", "one key head", "joined projections"],
)
def test_other_llms(config, joint):
    model, batch = joint
    model.llm = llm_of(config)
    assert_counts_agree(model, batch)


PARTS = ["norm", "layers.1", "layers.1.mlp", "layers.1.mlp.down_proj", "layers.0.self_attn.o_proj", "embed_tokens"]
PARTS += ["layers.0.input_layernorm", "layers.1.post_attention_layernorm", "layers.0.self_attn.v_proj"]
PARTS += ["layers.1.self_attn.q", "layers.0.self_attn.k_norm", "layers.0.mlp.gate", "layers.1.mlp.up_proj"]
HEADS = dict(num_attention_heads=4, num_key_value_heads=2)


@pytest.mark.parametrize("kind", [LlamaConfig, Qwen3Config, Phi3Config])
def test_parts_of_an_llm_alone(kind, joint):
    model, batch = joint
    model.llm = llm_of(kind(**SMALL, **HEADS, tie_word_embeddings=False))
    for part in PARTS:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(f"llm.model.{part}"))
        if any(parameter.requires_grad for parameter in model.parameters()):
            assert_counts_agree(model, batch)


@pytest.mark.parametrize("kind", [Olmo2Config, CohereConfig, StableLmConfig])
def test_layers_of_another_kind(kind, joint):
    """Trained wholly they are counted, or named; trained in part they are named."""
    model, batch = joint
    options = dict(use_parallel_residual=True) if kind is StableLmConfig else {}
    model.llm = llm_of(kind(**SMALL, **HEADS, head_dim=16, **options))
    assert_counts_agree(model, batch)
    model.encoder.requires_grad_(False)
    model.adaptor.requires_grad_(False)
    for frozen in ("embed_tokens", "layers.0"):
        model.llm.model.get_submodule(frozen).requires_grad_(False)
        if kind is Olmo2Config:
            assert "behind frozen embeddings" in unknown_part(model)
        else:
            assert_counts_agree(model, batch)
    model.llm.model.layers[1].mlp.requires_grad_(False)
    assert f"{type(model.llm).__name__} (layers.1 is trained in part" in unknown_part(model)


def test_attention_with_weights_of_its_own_is_named(joint):
    model, _ = joint
    model.llm = llm_of(DiffLlamaConfig(**SMALL, **HEADS))
    assert "DiffLlamaForCausalLM (layers.0.self_attn." in unknown_part(model)


def test_one_walk_counts_many_batches(joint):
    model, _ = joint
    shapes = [BatchShape(1, 200, 40), BatchShape(4, 1500, 130), BatchShape(9, 7, 12)]
    together = flops(model, BatchShape(*np.array(shapes).T))
    for number, shape in enumerate(shapes):
        assert flops(model, shape) == (together.forward[number], together.backward[number])


def test_the_shape_of_a_batch_is_what_the_modules_see(joint):
    """The longest composed sequence need not be that of the longest speech."""
    model, batch = joint
    batch["text_lengths"] = batch["text_lengths"].clone()
    batch["text_lengths"][1] = 2  # of the longest utterance
    seen = {}
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.update(feats=inputs[0]))
    model.llm.register_forward_pre_hook(lambda module, inputs, named: seen.update(named), with_kwargs=True)
    model(**batch)
    assert torch_count.shape_of(model, batch) == (*seen["feats"].shape[:2], seen["inputs_embeds"].size(1))


def test_the_forward_pass_of_an_encoder_alone(joint):
    encoder = joint[0].encoder
    feats, lengths = torch.randn(3, 90, 80), torch.tensor([90, 50, 7])
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), flop_counter.FlopCounterMode(display=False) as counter:
        encoder(feats, lengths)
    assert forward_flops(encoder, BatchShape(3, 90)) == counter.get_total_flops()


EXPERTS = Qwen3MoeConfig(**SMALL, num_experts=4, num_attention_heads=2, moe_intermediate_size=8)
GPT2 = GPT2Config(n_embd=64, n_layer=1, n_head=2, vocab_size=320)


@pytest.mark.parametrize(
    "part, unknown",
    [
        ("encoder", lambda: nn.Linear(1, 1)),
        ("adaptor", lambda: nn.Linear(1, 1)),
        ("llm", lambda: llm_of(EXPERTS)),
        ("llm", lambda: llm_of(GPT2)),
    ],
    ids=["encoder", "adaptor", "experts", "GPT-2"],
)
def test_unknown_parts_are_named(part, unknown, joint):
    model, _ = joint
    assert unknown_part(model) is None
    setattr(model, part, unknown())
    name = type(getattr(model, part)).__name__
    assert name in unknown_part(model)
    with pytest.raises(ValueError, match=f"no FLOPs are known for .*{name}"):
        flops(model, BatchShape(1, 100, 30))


def test_an_unknown_model_or_encoder_alone():
    with pytest.raises(ValueError, match="no FLOPs are known for the model Linear"):
        flops(nn.Linear(1, 1), BatchShape(1, 100))
    with pytest.raises(ValueError, match="no FLOPs are known for the encoder Linear"):
        forward_flops(nn.Linear(1, 1), BatchShape(1, 100))
