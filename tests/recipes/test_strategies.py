"""run.sh --strategy with a stand-in for Python: which stages run, from which encoder, for how many epochs."""

import re
import shlex
import shutil

import pytest
from recipe import value_of

TRAININGS = re.compile(r"_train .*--output_dir (\S+)")
WANTED = {
    "no_swap": ["exp/pretrain", "watch", "align", "ia_sft", "joint_sft"],
    "no_ia_sft": ["exp/pretrain", "watch", "align", "joint_sft"],
    "efin": ["exp/pretrain", "watch", "align", "ia_sft"],
    "joint_only": ["joint_sft"],
}


def steps(recipe, strategy):
    """The trainings' folders, those of the strategy's own experiment by name, and the watcher, in order."""
    found = []
    for line in recipe.calls():
        training = TRAININGS.search(line)
        if training:
            found.append(training[1].removeprefix(f"exp_{strategy}/"))
        elif ".watch " in line:
            found.append("watch")
    return found


@pytest.mark.parametrize("strategy", WANTED)
def test_stages_of_a_strategy_one_after_the_other(recipe, strategy):
    output = recipe.succeed("--strategy", strategy, "--stop_stage", 9)
    assert steps(recipe, strategy) == WANTED[strategy]
    assert "side by side" not in output
    assert {value_of(line, "--epochs") for line in recipe.calls(".watch ")} <= {"last"}


def test_joint_only_starts_from_the_llm_and_nothing_of_it_needs_a_pretrained_encoder(recipe):
    recipe.succeed("--strategy", "joint_only", "--stop_stage", 12)
    assert value_of(recipe.calls("joint_sft ")[0], "--init_param") == "exp/llm/llm.pth::llm"
    (head,) = recipe.calls("exp_joint_only/ctc_head --resume")
    assert "--init_param exp_joint_only/joint_sft/latest.pth:encoder:encoder" in head and "exp/pretrain" not in head
    assert not recipe.calls("phoneme_ctc_inference") and not recipe.calls("swap_table")


def test_characters_are_another_experiment(recipe):
    recipe.succeed("--strategy", "char", "--stop_stage", 9)
    assert {value_of(line, "--unit") for line in recipe.calls("format_data")} == {"char"}
    assert {value_of(line, "--output_dir").split("/")[0] for line in recipe.calls("_train ")} == {"exp_char"}
    assert "dump_char/train/wav.scp" in recipe.calls("phoneme_ctc_train")[0]


def test_without_joint_sft_the_model_of_ia_sft_is_decoded_and_its_encoder_gets_the_head(recipe):
    output = recipe.succeed("--strategy", "no_joint", "--stop_stage", 11)
    assert "side by side" in output
    assert all("exp_no_joint/ia_sft/latest.pth" in line for line in recipe.calls("llm_asr_inference"))
    assert "exp_no_joint/ia_sft/latest.pth:encoder:encoder" in recipe.calls("exp_no_joint/ctc_head ")[0]


def test_ia_sft_after_the_pretraining_follows_a_plan(recipe):
    output = recipe.succeed("--ia_sft_epochs", 30, "--stop_stage", 8)
    assert "side by side" not in output and value_of(recipe.calls(".watch ")[0], "--epochs") == "stored"
    (plan,), (training,) = recipe.calls("make_swap_schedule"), recipe.calls("exp/ia_sft ")
    assert value_of(plan, "--epochs") == "30"
    assert value_of(training, "--swap_schedule") == value_of(plan, "--schedule") == "exp/ia_sft_swaps.jsonl"
    assert value_of(training, "--max_epoch") == "30" and value_of(training, "--final_epochs") == "none"
    recipe.run("--ia_sft_epochs", 30, "--stage", 5, "--stop_stage", 8)
    assert not recipe.calls("_train ")


@pytest.mark.parametrize(
    "strategy, stage, spent",
    [
        ("ia_sft", "joint_sft", ["exp/pretrain", "exp/align", "exp/ia_sft"]),
        ("no_ia_sft", "joint_sft", ["exp/pretrain", "exp_no_ia_sft/align"]),
        ("efin", "ia_sft", ["exp/pretrain", "exp_efin/align"]),
        ("joint_only", "joint_sft", []),
    ],
)
def test_the_last_training_gets_what_is_left_of_the_budget(recipe, strategy, stage, spent):
    options = ["--strategy", strategy, "--flops_budget", "3e14", "--ia_sft_epochs", 5, "--stop_stage", 9]
    recipe.succeed(*options, "--joint_sft_args", "--max_frames 1000")
    (plan,) = recipe.calls("bin.flops ")
    words = shlex.split(plan)
    assert (words[words.index("--spent") + 1 :] if spent else []) == spent and ("--spent" in words) == bool(spent)
    assert value_of(plan, "--budget") == "3e14"
    assert f"--plan conf/training.yaml conf/encoder.yaml conf/{stage}.yaml " in plan
    assert (" --options=--max_frames 1000 " in plan) == (stage == "joint_sft")
    training = next(line for line in recipe.calls("_train ") if f"/{stage} " in line)
    final_epochs = " --final_epochs none --pace none" * (stage == "ia_sft")
    assert training.endswith(f"--max_epoch 7 --scheduler_conf total_steps=700{final_epochs}")


def test_a_budget_is_that_of_all_gpus_and_its_failure_ends_the_run(recipe):
    options = ["--strategy", "joint_only", "--flops_budget", "3e14", "--stop_stage", 9]
    recipe.run(*options, "--ngpu", 4)
    assert value_of(recipe.calls("bin.flops ")[0], "--num_ranks") == "4"
    shutil.rmtree(recipe.dir / "exp_joint_only")
    code, output = recipe.run(*options, FAIL="bin.flops ")
    assert code == 1 and not recipe.calls("_train ")


def test_a_schedule_of_the_user_is_followed_and_stays(recipe):
    for name in ("align", "ia_sft"):
        (recipe.dir / "earlier" / name).mkdir(parents=True)
        (recipe.dir / "earlier" / name / "swaps.jsonl").write_text("precious")
    schedule = "earlier/ia_sft/swaps.jsonl"
    recipe.succeed("--ia_sft_epochs", 30, "--stop_stage", 8, "--swap_schedule", schedule)
    assert not recipe.calls("make_swap_schedule") and (recipe.dir / schedule).read_text() == "precious"
    assert value_of(recipe.calls("exp/ia_sft ")[0], "--swap_schedule") == schedule


@pytest.mark.parametrize("strategy", ["ia_sft", "no_joint"])
def test_without_a_pretraining_to_come_there_are_no_swaps(recipe, strategy):
    """After another strategy has pretrained in exp, or after the normal run."""
    recipe.run("--stop_stage", 9, *(["--strategy", "no_swap"] if strategy == "ia_sft" else []))
    code, output = recipe.run("--strategy", strategy, "--stop_stage", 9)
    assert code == 1 and "exp/pretrain has ended unwatched" in output and not recipe.calls("_train ")
    assert recipe.run("--strategy", strategy, "--stop_stage", 9, "--ia_sft_epochs", 8)[0] == 0
    assert steps(recipe, strategy)[0] == "watch" and "--epochs stored" in recipe.calls(".watch ")[0]


def test_a_strategy_without_swaps_waits_for_the_end_of_the_pretraining(made):
    (made.dir / "exp/pretrain/finished").unlink()
    code, output = made.run("--strategy", "no_swap", "--stage", 6, "--stop_stage", 6)
    assert code == 1 and "exp/pretrain/finished is missing: run stage 5 first" in output and not made.calls()


def test_a_seed_goes_to_every_training_and_is_left_out_by_default(recipe):
    recipe.run("--seed", 3, "--stop_stage", 9)
    assert {value_of(line, "--seed") for line in recipe.calls("_train ")} == {"3"}
    recipe.run("--expdir", "other", "--stop_stage", 9)
    assert recipe.calls("_train ") and not [line for line in recipe.calls("_train ") if "--seed" in line]


def test_a_strategy_shares_with_the_normal_run_what_it_can_and_leaves_its_pages_alone(made):
    pages = {name: (made.dir / name).read_text() for name in ("RESULTS.md", "ROBUSTNESS.md")}
    output = made.succeed("--strategy", "no_ia_sft", "--nonspeech_clips", 0)
    assert steps(made, "no_ia_sft") == ["watch", "align", "joint_sft", "ctc_head"]
    assert not made.calls("make_targets") and not made.calls("phoneme_ctc_inference")  # the strategies share them
    (joint,) = made.calls("exp_no_ia_sft/joint_sft --resume")
    assert value_of(joint, "--init_param") == "exp_no_ia_sft/align/latest.pth"
    assert value_of(joint, "--llm_config") == "exp/llm/config.json" and "stats_file=exp/stats/feats_stats.npz" in joint
    assert f"Results: {made.dir / 'exp_no_ia_sft/RESULTS.md'}" in output
    assert pages == {name: (made.dir / name).read_text() for name in pages}
    assert all((made.dir / "exp_no_ia_sft" / name).is_file() for name in pages)
    assert (made.dir / "exp_no_ia_sft/pretrain").resolve() == (made.dir / "exp/pretrain").resolve()


def test_a_new_strategy_is_a_new_entry(recipe):
    """No IA-SFT, with characters, and a folder of its own."""
    conf, strategies = recipe.dir / "conf", (recipe.dir / "conf/strategies.yaml").read_text()
    shutil.copytree(conf.resolve(), recipe.dir / "own_conf")
    conf.unlink()
    (recipe.dir / "own_conf").rename(conf)
    entry = "mine: {trainings: [pretrain, align, joint_sft], unit: char, expdir: models}"
    (conf / "strategies.yaml").write_text(f"{strategies}\n{entry}\n")
    options = "--strategy mine --stop_stage 12 --skip_stages 10 --guard off --flops_budget 3e14"
    output = recipe.succeed(*options.split())
    trained = [TRAININGS.search(line)[1] for line in recipe.calls("_train ")]
    assert trained == ["models/pretrain", "models/align", "models/joint_sft"] and "side by side" not in output
    assert "--epochs last" in recipe.calls(".watch ")[0]
    assert value_of(recipe.calls("models/joint_sft ")[0], "--init_param") == "models/align/latest.pth"
    assert "--spent models/pretrain models/align" in recipe.calls("bin.flops ")[0]
    assert {value_of(line, "--unit") for line in recipe.calls("format_data")} == {"char"}
    assert all("models/joint_sft/latest.pth" in line for line in recipe.calls("llm_asr_inference"))
    assert output.rstrip().endswith(f"Results: {recipe.dir / 'models/RESULTS.md'}")
