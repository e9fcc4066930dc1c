"""What can be tested without vLLM: the version check, and the speech modules of a pack against the model's own."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from espnet_llmasr import Speech2Text, vllm_plugin
from espnet_llmasr.asr.packed_weights import read_packed
from espnet_llmasr.vllm_plugin.config import VLLM
from espnet_llmasr.vllm_plugin.speech import open_pack
from espnet_llmasr.zoo.pack import Parts, pack


@pytest.fixture(scope="module")
def folder(llm_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("vllm") / "pack"
    pack(Parts(llm_model / "config.yaml", llm_model / "1epoch.pth"), out)
    return out


@pytest.fixture()
def fake_vllm(monkeypatch):
    """(version) -> the names that the plugin registers with a vLLM of this version."""

    def of_version(version):
        registered, module = {}, ModuleType("vllm")
        module.__version__, module.ModelRegistry = version, SimpleNamespace(register_model=registered.__setitem__)
        monkeypatch.setitem(sys.modules, "vllm", module)
        return registered

    return of_version


@pytest.mark.parametrize("version", ["0.32.0", "0.32.1+cpu"])
def test_registers_once_or_twice(version, fake_vllm, folder):
    registered = fake_vllm(version)
    vllm_plugin.register()
    vllm_plugin.register()
    module, _, name = registered.pop(json.loads((folder / "config.json").read_text())["architectures"][0]).partition(
        ":"
    )
    assert (module, name, registered) == ("espnet_llmasr.vllm_plugin.model", "LLMASRForVLLM", {})
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    assert config.text_config.architectures == ["Qwen3ForCausalLM"] and config.text_config.hidden_size == 64
    assert config.eos_token_id == Speech2Text.from_pretrained(folder).prompt.end_id


@pytest.mark.parametrize("version", ["0.31.9", "0.33.0", "1.0"])
def test_other_versions_end_in_one_line_when_they_open_a_pack(version, fake_vllm, folder):
    """Exit code 1; what opens no pack goes on."""
    from transformers import AutoConfig

    registered = fake_vllm(version)
    vllm_plugin.register()
    with pytest.raises(SystemExit) as end:
        AutoConfig.from_pretrained(folder)
    line = end.value.code
    assert not registered and "\n" not in line and f"this is {version}" in line and VLLM in line
    assert AutoConfig.for_model("qwen3").model_type == "qwen3"


def test_speech_modules_of_a_pack_are_the_models_own(folder):
    """Features, encoder and adaptor of three clips in one batch, also if torch's default type is another."""
    model, opened = Speech2Text.from_pretrained(folder), open_pack(str(folder))
    rng = np.random.default_rng(0)
    clips = [torch.from_numpy(0.1 * rng.standard_normal(size)).float() for size in (1360, 9000, 16001)]
    torch.set_default_dtype(torch.bfloat16)
    try:
        speech = opened.build(64).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    state = {name: value for name, value in read_packed(folder / "model.safetensors").items() if "llm." not in name}
    del state["swap_step"]
    speech.load_state_dict(state)
    for clip, found in zip(clips, speech(clips)):
        expected, _ = model.model.embed_speech(clip[None], np.array([len(clip)]))
        torch.testing.assert_close(found, expected[0])
        assert opened.speech_tokens(len(clip)) == len(found)
    assert opened.before + [-1] + opened.after == model.prompt.ids and opened.rate == 16000


def test_too_short(folder):
    with pytest.raises(ValueError, match="has 1359 samples at 16000 Hz, the encoder needs 1360"):
        open_pack(str(folder)).speech_tokens(1359)
