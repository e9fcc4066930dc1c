"""Sequences that share a row do not see each other, for every LLM that is packed; and which attention is chosen."""

import logging
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from espnet_llmasr.asr import attention
from espnet_llmasr.asr.packing import Rows, spans

SIZES = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
SIZES |= dict(vocab_size=100, pad_token_id=0, bos_token_id=0, eos_token_id=1)
WINDOW = dict(sliding_window=4, layer_types=["sliding_attention", "full_attention"])
CHANGES = {  # what a family needs beside SIZES; a short window where it has one; a scale or a soft cap of the logits
    "qwen3_moe": dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32),
    "mistral": dict(sliding_window=4),
    "gemma": dict(head_dim=32),
    "gemma2": dict(head_dim=32, **WINDOW, final_logit_softcapping=0.3, attn_logit_softcapping=2.0),
    "gemma3_text": dict(head_dim=32, **WINDOW),
    "phi3": dict(sliding_window=4),
    "granite": dict(logits_scaling=8.0),
    "cohere": dict(logit_scale=0.0625),
    "cohere2": dict(**WINDOW, logit_scale=0.0625),
    "olmo3": WINDOW,
    "glm": dict(head_dim=32),
    "glm4": dict(head_dim=32),
}
CONFIGS = transformers.models.auto.configuration_auto.CONFIG_MAPPING
LENGTHS = np.array([5, 11, 7, 3, 9])


def build(model_type):
    config = CONFIGS[model_type](**{**SIZES, **CHANGES.get(model_type, {})})
    torch.manual_seed(0)
    llm = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in llm.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return llm


def sequences():
    rng = np.random.default_rng(0)
    return [rng.integers(2, 100, length) for length in LENGTHS]


def logits_alone(llm):
    """(n, V): all positions of the first sequence, then of the second ...; each in a forward pass of its own."""
    return torch.cat([llm(input_ids=torch.tensor(ids)[None], use_cache=False).logits[0] for ids in sequences()])


def logits_in_rows(llm):
    rows = Rows.of(sequences(), *attention.layout_of(llm, LENGTHS))
    inputs = attention.inputs_of(llm, rows, torch.device("cpu"))
    embedded = llm.get_input_embeddings()(torch.tensor(rows.ids))
    with attention.head_at(llm, torch.tensor(spans(rows.starts, LENGTHS))):
        return rows, llm(inputs_embeds=embedded, use_cache=False, **inputs).logits[0]


def gradients(llm, logits):
    """Of the mean cross-entropy against fixed labels."""
    labels = torch.randint(0, 100, (len(logits),), generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return loss, torch.autograd.grad(loss, list(llm.parameters()), allow_unused=True)


def assert_alike(llm, found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    (loss, first), (other, second) = gradients(llm, found), gradients(llm, expected)
    torch.testing.assert_close(loss, other, atol=1e-5, rtol=0)
    for one, two in zip(first, second):
        if one is not None:
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model_type", [*attention.PACKED, "gpt2", "mamba"])
def test_sequences_in_rows_equal_those_alone(model_type):
    """Logits, loss and gradients; families that are not packed are padded."""
    llm = build(model_type)
    attention.choose(llm, torch.device("cpu"))
    rows, found = logits_in_rows(llm)
    assert len(rows.ids) == (3 if model_type in attention.PACKED else 5)
    assert_alike(llm, found, logits_alone(llm))


def varlen(module, query, key, value, attention_mask, **options):
    """A stand-in for FlashAttention-2 on the CPU: a loop over the sequences between the edges that it is given."""
    assert attention_mask is None
    edges, out = options["cu_seq_lens_q"].tolist(), []
    assert options["max_length_q"] == max(np.diff(edges)) and edges == options["cu_seq_lens_k"].tolist()
    for begin, end in zip(edges, edges[1:]):
        keys, values = (
            part[:, :, begin:end].repeat_interleave(query.size(1) // part.size(1), 1) for part in (key, value)
        )
        scores = query[:, :, begin:end] @ keys.mT * options["scaling"]
        age = torch.arange(end - begin)[:, None] - torch.arange(end - begin)
        scores = scores if options.get("softcap") is None else (scores / options["softcap"]).tanh() * options["softcap"]
        hidden = (age < 0) | (age >= (options.get("sliding_window") or 1000))
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        out.append((weights @ values).transpose(1, 2))
    return torch.cat(out, 1), None


@pytest.mark.parametrize("model_type", attention.PACKED)
def test_flash_attention_gets_the_edges_of_the_sequences(model_type, monkeypatch):
    """Every family hands them, its window and its soft cap on to the kernel, for which a stand-in runs here."""
    llm = build(model_type)
    assert llm._supports_flash_attn
    expected = logits_alone(llm)
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, attention.FLASH, varlen)
    monkeypatch.setattr(llm.config, "_attn_implementation", attention.FLASH)
    rows, found = logits_in_rows(llm)
    assert rows.ids.shape == (1, LENGTHS.sum())
    assert_alike(llm, found, expected)


def test_a_lost_mask_is_found(monkeypatch):
    """The counter-check: with positions that go on, the sequences of a row see each other."""
    llm = build("qwen3")
    monkeypatch.setattr(attention, "inputs_of", lambda llm, rows, device: {})
    assert (logits_in_rows(llm)[1] - logits_alone(llm)).abs().max() > 1e-2


# ---- the choice ----------------------------------------------------------------------------------------------------


@pytest.fixture()
def gpu(monkeypatch):
    """A GPU of this compute capability in half precision; returns the attention that an LLM is given there."""

    def chosen(capability, model_type="qwen3"):
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda device_type: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        llm, given = build(model_type), []
        monkeypatch.setattr(llm, "set_attn_implementation", given.append)
        attention.choose(llm, torch.device("cuda"))
        return given

    attention.flash_loads.cache_clear()
    attention._tell.cache_clear()
    yield chosen
    attention.flash_loads.cache_clear()


@pytest.fixture()
def package(monkeypatch):
    """(function) -> a package flash_attn with this varlen function."""

    def install(**names):
        module = ModuleType("flash_attn")
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, "flash_attn", module)

    return install


def test_flash_attention_where_it_runs(gpu, package, caplog):
    package(flash_attn_varlen_func=print)
    with caplog.at_level(logging.INFO):
        assert gpu((9, 0)) == [attention.FLASH] and gpu((9, 0)) == [attention.FLASH]
    assert [line for line in caplog.messages if "packed in one row" in line] == [
        "Qwen3ForCausalLM: sequences packed in one row, by flash_attention_2"
    ]
    assert gpu((7, 5)) == [] and gpu((9, 0), "gpt2") == []


def test_not_without_the_package(gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)  # the import fails
    assert gpu((9, 0)) == []


def test_a_binary_that_does_not_load_is_survived(gpu, package, caplog):
    package()  # the name cannot be imported
    assert gpu((9, 0)) == []
    assert "flash-attn is installed but does not load (cannot import name" in caplog.text
