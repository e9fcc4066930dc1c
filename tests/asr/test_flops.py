"""FLOPs by the formula against torch's own counter around a real forward and backward pass."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Phi3Config, Qwen3Config, Qwen3MoeConfig

from espnet_llmasr.asr.flops import BatchShape, flops, shape_of, unknown_part
from espnet_llmasr.audio import Windows
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

WIDE = dict(encoder_conf=dict(output_size=288, num_blocks=3, attention_heads=4, kernel_size=33))
BRANCHES = dict(
    encoder="e_branchformer",
    encoder_conf=dict(output_size=128, num_blocks=3, attention_heads=4, linear_units=512, cgmlp_linear_units=512),
)
PHONE_CASES = {
    "pretraining": dict(),
    "pretraining, one view": dict(model_conf=dict(cr_scale=0.0, time_warp_factor=0)),
    "fit of the CTC head": dict(model_conf=dict(cr_scale=0.0), freeze_param=["encoder"]),
    "wider": WIDE,
    "wider, a frozen encoder": dict(**WIDE, freeze_param=["encoder"]),
    "E-Branchformer": BRANCHES,
    "a frozen E-Branchformer": dict(**BRANCHES, freeze_param=["encoder"]),
}
LLM_CASES = {
    "alignment": dict(freeze_param=["encoder", "llm"]),
    "IA-SFT": dict(freeze_param=["encoder"]),
    "joint SFT": dict(),
    "the LLM alone": dict(freeze_param=["encoder", "adaptor"]),
    "the upper half of the LLM": dict(freeze_param=["encoder", "adaptor", "llm.model.embed", "llm.model.layers.0"]),
    "wider alignment": dict(**WIDE, adaptor_conf=dict(downsample=3), freeze_param=["encoder", "llm"]),
    "wider joint SFT": WIDE,
    "IA-SFT of an E-Branchformer": dict(**BRANCHES, freeze_param=["encoder"]),
}
HEADS = dict(num_attention_heads=4, num_key_value_heads=2)
SMALL = dict(hidden_size=64, num_hidden_layers=2, intermediate_size=96, vocab_size=320, pad_token_id=0)
LARGER = dict(hidden_size=256, num_hidden_layers=4, intermediate_size=768, vocab_size=2000, pad_token_id=0)


def convolution_backward(_, inputs, weight, *args, out_shape=None, **kwargs) -> int:
    """Either gradient of a convolution costs what its forward pass costs; torch's formula leaves the groups out."""
    output_mask, grad_output = args[-1], _
    return sum(output_mask[:2]) * conv_flop_count(inputs, weight, grad_output)


def counted(model, batch) -> int:
    """What torch counts. Attention is computed by plain products, since those are what torch counts."""
    mended = {torch.ops.aten.convolution_backward: convolution_backward}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=mended) as counter:
        model(**batch)[0].sum().backward()
    return counter.get_total_flops()


def assert_counts_agree(model, batch) -> None:
    found = flops(model, shape_of(model, model.frontend.frame_lengths(batch["speech_lengths"]), **batch))
    assert isinstance(found, int) and found == pytest.approx(counted(model, batch), rel=0.03)


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
    assert_counts_agree(model, load_batch(PhonemeCTCTask, args, ids)[1])


@pytest.mark.parametrize("case", LLM_CASES)
@pytest.mark.parametrize("ids", [(5,), (0, 1, 2, 3, 4)], ids=["one", "five"])
def test_fine_tuning_costs_what_torch_counts(case, ids, llm_options, build_model, load_batch, tmp_path):
    model, args = model_for(build_model, LLMASRTask, llm_options(tmp_path / "exp", **LLM_CASES[case]))
    assert_counts_agree(model, load_batch(LLMASRTask, args, ids)[1])


@pytest.fixture()
def joint(llm_options, build_model, load_batch, tmp_path):
    """A model of which all is trained, and a batch."""
    model, args = model_for(build_model, LLMASRTask, llm_options(tmp_path / "exp"))
    return model, load_batch(LLMASRTask, args)[1]


def llm_of(config):
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


@pytest.mark.parametrize("freeze", [[], ["encoder", "llm"]], ids=["joint SFT", "alignment"])
@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2, head_dim=24, tie_word_embeddings=False),
        LlamaConfig(**SMALL, num_attention_heads=8, num_key_value_heads=1),
        Phi3Config(**SMALL, **HEADS),
        Qwen3Config(**LARGER, **HEADS, head_dim=64, tie_word_embeddings=True),
    ],
    ids=["wide heads", "one key head", "joined projections", "larger"],
)
def test_other_llms(config, freeze, joint):
    model, batch = joint
    model.llm = llm_of(config)
    model.adaptor.linear2 = torch.nn.Linear(model.adaptor.linear1.out_features, config.hidden_size)
    for name in freeze:
        getattr(model, name).requires_grad_(False)
    assert_counts_agree(model, batch)


def test_one_walk_counts_many_batches(joint):
    model, _ = joint
    shapes = [BatchShape(1, 200, 40, 1600, 9), BatchShape(4, 1500, 390, 50700, 77), BatchShape(9, 7, 12, 48, 10)]
    together = flops(model, BatchShape(*torch.tensor(shapes).T.numpy()))
    assert together.tolist() == [flops(model, shape) for shape in shapes]


def test_the_shape_of_a_batch_is_what_the_modules_see(joint):
    model, batch = joint
    seen = {}
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.update(feats=inputs[0]))
    model.llm.register_forward_pre_hook(lambda module, inputs, named: seen.update(named), with_kwargs=True)
    model(**batch)
    found = shape_of(model, model.frontend.frame_lengths(batch["speech_lengths"]), **batch)
    num_rows, width, _ = seen["inputs_embeds"].shape
    assert 1 < num_rows < len(batch["speech"])  # packed
    assert found == (*seen["feats"].shape[:2], num_rows * width, num_rows * width**2, batch["text_lengths"].sum())


def test_flash_attention_has_no_scores_between_sequences(joint, monkeypatch):
    model, batch = joint
    frames = model.frontend.frame_lengths(batch["speech_lengths"])
    masked = shape_of(model, frames, **batch)
    monkeypatch.setattr(model.llm.config, "_attn_implementation", "flash_attention_2")
    tokens = model.adaptor.output_lengths(model.encoder.output_lengths(frames))
    lengths = batch["prompt_lengths"] - 1 + tokens + batch["text_lengths"]
    found = shape_of(model, frames, **batch)
    assert found.places == lengths.sum() <= masked.places and found.scores == lengths.square().sum() < masked.scores


EXPERTS = Qwen3MoeConfig(**SMALL, num_experts=4, num_attention_heads=2, moe_intermediate_size=8)
GPT2 = GPT2Config(n_embd=64, n_layer=1, n_head=2, vocab_size=320)


@pytest.mark.parametrize("windows", [Windows(3, 4), Windows(3, 2)], ids=["padded", "one beside the other"])
def test_an_encoder_of_another_subsampling_is_named(windows, joint):
    """These are the windows of two convolutions of width 3 and stride 2 that are padded, or both see the features."""
    model, _ = joint
    model.encoder.windows = windows
    assert unknown_part(model) == "the encoder FireRedConformerEncoder"
    with pytest.raises(ValueError, match="no FLOPs are known for the encoder FireRedConformerEncoder: train without"):
        flops(model, BatchShape(1, 100, 30))


@pytest.mark.parametrize("config", [EXPERTS, GPT2], ids=["experts", "GPT-2"])
def test_llms_that_the_formula_does_not_fit_are_named(config, joint):
    model, _ = joint
    assert unknown_part(model) is None
    model.llm = llm_of(config)
    name = type(model.llm).__name__
    assert name in unknown_part(model)
    with pytest.raises(ValueError, match=f"no FLOPs are known for the LLM {name}"):
        flops(model, BatchShape(1, 100, 30))
