"""egs2/aishell: its plan of passes and updates holds on any number of GPUs, in the trainings and in its README."""

import re

import pytest
import yaml
from recipe import REPO, Recipe, value_of

UTTERANCES, SECONDS = 120_098, 4.5  # of its training set
PASSES = {"pretrain": 30, "align": 10, "ia_sft": 25, "joint_sft": 10, "ctc_head": 3}
README = (REPO / "egs2/aishell/llmasr1/README.md").read_text(encoding="utf-8")


def scheduled(call: str, name: str) -> float:
    """The last --scheduler_conf of this name; ESPnet takes that."""
    return float(re.findall(rf"--scheduler_conf {name}=(\S+)", call)[-1])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """All trainings on 8 GPUs, one after the other, from a released encoder."""
    recipe = Recipe(tmp_path_factory.mktemp("aishell"), "aishell")
    released = recipe.dir / "FireRedASR-AED-L"
    for folder, names in ((released, ("model.pth.tar", "cmvn.ark")), (recipe.dir / "data", ())):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    for name in ("train", "valid", "cka", "test"):
        (recipe.dir / "data" / name).mkdir()
        for table in ("wav.scp", "text"):
            (recipe.dir / "data" / name / table).write_text("u1 x\n")
    options = ["--test_sets", "test", "--init_encoder", released, "--strategy", "no_swap", "--ngpu", 8]
    recipe.succeed("--stage", 2, "--stop_stage", 10, *options)
    return recipe


@pytest.mark.parametrize("name", PASSES)
def test_an_epoch_is_a_pass_and_the_schedule_is_as_long_as_the_training(recipe, name):
    (call,) = [line for line in recipe.calls("_train ") if f"/{name} " in line]
    conf = yaml.safe_load((REPO / f"conf/{name}.yaml").read_text(encoding="utf-8"))
    assert (value_of(call, "--init_param") == "exp/stats/encoder.pth:encoder:encoder") == (name == "pretrain")
    batches, accum = int(value_of(call, "--num_iters_per_epoch")), int(value_of(call, "--accum_grad"))
    epochs, updates = int(value_of(call, "--max_epoch")), batches // accum
    assert value_of(call, "--shared_batches") == "true" and batches % accum == 0 and accum % 8 == 0
    one_pass = UTTERANCES * (SECONDS * 100 - 2) / conf["max_frames"]
    assert batches == pytest.approx(one_pass, rel=0.03) and epochs == PASSES[name]
    assert scheduled(call, "total_steps") == epochs * updates
    assert scheduled(call, "warmup_steps") <= 0.11 * epochs * updates
    (row,) = re.findall(
        rf"(?m)^\| \d+ .*\| {epochs} \| {epochs * updates:,} \| {accum * conf['max_frames']:,} .*$", README
    )
    rates = re.findall(r"--scheduler_conf max_lr=(\S+)", call)
    assert float(row.split("|")[5]) == float(rates[-1] if rates else conf["scheduler_conf"]["max_lr"])


def test_cka_and_swaps_follow_the_passes(recipe):
    (ia_sft,) = [line for line in recipe.calls("_train ") if "/ia_sft " in line]
    run = (recipe.dir / "run.sh").read_text()
    start = int(re.search(r"--start_step (\d+)", run).group(1))
    updates = 2720 // 8
    assert start % updates == 0 and 0.2 < start / (30 * updates) < 0.3  # a quarter of the pretraining, as in the paper
    pace, final = int(value_of(ia_sft, "--pace")), int(value_of(ia_sft, "--final_epochs"))
    assert pace % updates == 0 and 30 * updates // pace - 1 + final == PASSES["ia_sft"]
