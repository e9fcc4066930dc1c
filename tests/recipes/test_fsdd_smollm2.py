"""run_smollm2.sh of the fsdd recipe: what its commands are given, and what is trained of an LLM of SmolLM2's form."""

import re
import shlex

import pytest
import torch
import yaml
from espnet2.train.abs_espnet_model import AbsESPnetModel
from recipe import REPO, Recipe, value_of
from transformers import LlamaConfig, LlamaForCausalLM

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.modules import freeze
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

TRAININGS = {"pretrain": PhonemeCTCTask, "align": LLMASRTask, "ia_sft": LLMASRTask, "joint_sft": LLMASRTask}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    recipe = Recipe(tmp_path_factory.mktemp("smollm2"), "fsdd", "run_smollm2.sh")
    recipe.succeed()
    return recipe


@pytest.fixture(scope="module")
def options(recipe):
    """Name of a training -> its options, as the task reads them."""
    found = {}
    for name, task in TRAININGS.items():
        (call,) = recipe.calls(f"--output_dir exp_smollm2/{name} ")
        words = shlex.split(call.split("_train ")[1])
        confs = [REPO / "conf/mini" / f"{conf}.yaml" for conf in ("training", "encoder", name)]
        start = words.index("--output_dir")
        found[name] = task.get_parser().parse_args(
            ["--base_config", *map(str, confs[:-1]), "--config", str(confs[-1]), *words[start:]]
        )
    return found


def test_the_prompt_of_words_with_blanks_reaches_the_preparation(recipe):
    (call,) = recipe.calls("prepare_llm")
    assert call.endswith(" --llm smollm2 --system  --instruction Repeat: ")


def test_the_sentence_embedder_is_not_the_llm(recipe):
    (call,) = recipe.calls("make_targets")
    assert value_of(call, "--embedder") == "minilm" and value_of(call, "--text_embeddings") == "exp_smollm2/llm"


def test_every_schedule_ends_with_its_training(options):
    for name in ("pretrain", "align", "joint_sft"):
        given = options[name]
        assert given.max_epoch * given.num_iters_per_epoch == given.scheduler_conf["total_steps"], name
    ia_sft = options["ia_sft"]  # its schedule is stretched to the final epochs
    swaps = options["pretrain"].scheduler_conf["total_steps"] // ia_sft.pace - 1
    assert ia_sft.final_epochs * ia_sft.num_iters_per_epoch == 240 and swaps == 2
    rates = [options[name].scheduler_conf["max_lr"] for name in TRAININGS]
    assert rates == [1e-3, 3e-3, 3e-4, 1e-4]  # 1e-3 breaks SmolLM2 within five updates


def test_attention_and_norms_of_the_llm_are_trained(options):
    class Model(AbsESPnetModel):
        def __init__(self):
            super().__init__()
            sizes = dict(hidden_size=8, intermediate_size=8, num_attention_heads=2, num_key_value_heads=1, vocab_size=9)
            self.llm = LlamaForCausalLM(LlamaConfig(num_hidden_layers=30, tie_word_embeddings=True, **sizes))
            self.encoder, self.adaptor = torch.nn.Linear(8, 8), ConcatAdaptor(8, 8)

        def forward(self):
            raise NotImplementedError

        collect_feats = forward

    for name in ("ia_sft", "joint_sft"):
        model = freeze(Model(), options[name].freeze_param)
        trained = {re.sub(r"\d+", "N", key) for key, value in model.named_parameters() if value.requires_grad}
        kinds = {key for key in trained if key.startswith("llm")}
        layers = {f"llm.model.layers.N.self_attn.{letter}_proj.weight" for letter in "qkvo"}
        norms = {f"llm.model.layers.N.{norm}_layernorm.weight" for norm in ("input", "post_attention")}
        assert kinds == {*layers, *norms, "llm.model.norm.weight"}
        assert any(key.startswith("adaptor") for key in trained)
        assert any(key.startswith("encoder") for key in trained) == (name == "joint_sft")


def test_lora_as_the_script_says(recipe, tmp_path):
    """The command in its comment: on the encoders that are there, with LoRA in attention layers."""
    text = (recipe.dir / "run_smollm2.sh").read_text()
    lines = (
        re.search(r'#   (lora=.*\n#   \./run_smollm2\.sh(?:.*\\\n)*.*")\n', text)[1]
        .replace("\\\n#", " ")
        .replace("#", "")
    )
    lora, command = lines.split("\n")
    words = shlex.split(command.replace("$lora", shlex.split(lora)[0].partition("=")[2]))[1:]
    recipe.succeed(*words)
    assert "pretrain" not in recipe.names() and not recipe.calls("prepare_llm")
    for name, rate in (("ia_sft", 3e-3), ("joint_sft", 1e-3)):
        (call,) = recipe.calls(f"--output_dir exp_smollm2_lora/{name} ")
        given = LLMASRTask.get_parser().parse_args(shlex.split(call.split("_train ")[1])[5:])
        assert given.lora == yaml.safe_load("{rank: 16, alpha: 32, target_modules: [q_proj, k_proj, v_proj, o_proj]}")
        assert given.scheduler_conf["max_lr"] == rate
