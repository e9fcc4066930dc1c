"""conf/: the paper's numbers, and keys that the commands know."""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from espnet2.tasks.abs_task import scheduler_classes

from espnet_llmasr.bin import llm_asr_inference, prepare_llm, watch
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.tasks.speech_task import SpeechTask

CONF = Path(__file__).resolve().parents[2] / "conf"
PARSERS = {
    "pretrain": PhonemeCTCTask.get_parser,
    "ctc_head": PhonemeCTCTask.get_parser,
    "align": LLMASRTask.get_parser,
    "ia_sft": LLMASRTask.get_parser,
    "joint_sft": LLMASRTask.get_parser,
    "context_sft": LLMASRTask.get_parser,
    "watch": watch.get_parser,
    "decode": llm_asr_inference.get_parser,
    "llm": prepare_llm.get_parser,
}
SHARED = ("training", "encoder")
TRAININGS = ("pretrain", "align", "ia_sft", "joint_sft", "context_sft", "ctc_head")
FOLDERS = sorted({path.parent for path in CONF.rglob("pretrain.yaml")})

# Appendix A.3 and A.4 of arXiv 2604.08003: updates, frames per batch, highest learning rate, frozen modules
PAPER = {
    "pretrain": (2_000_000, 20_000, 5e-4, None),
    "align": (1_300_000, 10_000, 1e-3, ["encoder", "llm"]),
    "ia_sft": (4_000_000, 7_000, 1e-5, ["encoder"]),
    "joint_sft": (2_000_000, 7_000, 1e-5, None),
}


def read(name, folder=CONF):
    """The options of a command; those of a training with what all trainings share."""
    names = (*SHARED, name) if name in TRAININGS else (name,)
    confs = [yaml.safe_load((folder / f"{part}.yaml").read_text(encoding="utf-8")) for part in names]
    return {key: value for conf in confs for key, value in conf.items()}


@pytest.mark.parametrize("name", PAPER)
def test_values_of_appendix_a3(name):
    conf, (updates, frames, max_lr, frozen) = read(name), PAPER[name]
    schedule = conf["scheduler_conf"]
    assert conf["accum_grad"] == 4 and conf["num_iters_per_epoch"] == 4 * 10_000
    assert conf["max_epoch"] * conf["num_iters_per_epoch"] // conf["accum_grad"] == updates == schedule["total_steps"]
    assert conf["max_frames"] == frames and conf.get("freeze_param") == frozen
    assert conf["optim"] == "adam" and conf["scheduler"] == "exponentialdecaywarmup" and conf["use_amp"] is True
    assert (schedule["max_lr"], schedule["warmup_steps"], schedule["warm_from_zero"]) == (max_lr, 8000, True)
    assert 0 < schedule["min_lr"] < max_lr


def test_values_of_appendix_a4_and_a2():
    watcher, ia_sft = read("watch"), read("ia_sft")
    assert (watcher["threshold"], watcher["start_step"]) == (0.975, 500_000)
    assert ia_sft["swap"] == "every_epoch" and read("align")["swap"] == "first"
    assert ia_sft["final_epochs"] * 10_000 == 2_000_000
    encoder = read("pretrain")["encoder_conf"]
    assert (encoder["num_blocks"], encoder["output_size"]) == (16, 1280)
    assert (encoder["attention_heads"], encoder["kernel_size"]) == (20, 33)
    assert read("decode")["beam_size"] == 3 and read("llm")["llm"] == "Qwen/Qwen3-1.7B"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_one_encoder_in_a_folder_and_whole_updates(folder):
    own = [yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")) for name in TRAININGS]
    assert not any({"encoder", "encoder_conf"} & set(conf) for conf in own)
    assert {"encoder", "encoder_conf"} == set(read("encoder", folder))
    alike = [key for key in own[0] if all(conf.get(key) == own[0][key] for conf in own)]
    assert alike == []  # what all trainings say alike stands in the shared files
    confs = [read(name, folder) for name in TRAININGS]
    assert all(conf["num_iters_per_epoch"] % conf["accum_grad"] == 0 for conf in confs)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", TRAININGS)
def test_the_parser_reads_the_files_as_the_recipe_gives_them(folder, name):
    paths = [str(folder / f"{part}.yaml") for part in (*SHARED, name)]
    parse = PARSERS[name]().parse_args
    options = vars(parse(["--base_config", *paths[:-1], "--config", paths[-1]]))
    assert {key: options[key] for key in read(name, folder)} == read(name, folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", PARSERS)
def test_every_key_is_an_option_of_the_command_and_every_name_a_choice(name, folder):
    conf, actions = read(name, folder), {action.dest: action for action in PARSERS[name]()._actions}
    assert set(conf) <= set(actions)
    for key, value in conf.items():
        assert value is None or actions[key].choices is None or value in actions[key].choices, key
    numbers = [value for value in (*conf.values(), *conf.get("scheduler_conf", {}).values()) if isinstance(value, str)]
    assert not any(value[0].isdigit() for value in numbers)  # YAML reads 1e-5 as text, 1.0e-5 as a number


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", TRAININGS)
def test_every_component_takes_its_options(name, folder):
    """Also the keys inside of encoder_conf, scheduler_conf and the like: a stray one would end a run at its start."""
    conf = read(name, folder)
    assert {"encoder_conf", "scheduler"} <= set(conf) and len(FOLDERS) == 2
    names = {choices: conf.get(choices.name, choices.default) for choices in SpeechTask.class_choices_list}
    classes = {f"{choices.name}_conf": choices.get_class(name) for choices, name in names.items() if name}
    for key, component in {**classes, "scheduler_conf": scheduler_classes[conf["scheduler"]]}.items():
        assert set(conf.get(key, {})) <= set(inspect.signature(component).parameters), key


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_a_file_opens_with_its_command_and_every_key_has_a_comment(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert "./run.sh --stage" in lines[1] and path.name in lines[1]
    bare = [line for line in lines if line and "#" not in line and not line.endswith(":")]
    assert bare == []
    several = [line for line in lines if re.search(r"\{.*:.*,.*:.*\}", line)]  # one comment explains none of the keys
    assert path.name in ("benchmark.yaml", "strategies.yaml") or several == []
