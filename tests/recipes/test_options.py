"""Options of a recipe and of its user: --x_args are appended, quotes group words, a user's --x_conf goes first."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from recipe import REPO, Recipe

FSDD_PRETRAIN = ["--max_epoch", "30", "--scheduler_conf", "total_steps=3000", "--model_conf", "cr_warmup_batches=1000"]


def stage(number, *options):
    return ["--stage", number, "--stop_stage", number, *options]


@pytest.fixture
def fsdd(tmp_path):
    """The recipe fsdd, whose run.sh gives --pretrain_args, ready for its pretraining."""
    recipe = Recipe(tmp_path, "fsdd")
    recipe.succeed("--stop_stage", 4)
    return recipe


def ends_with(recipe, command, words) -> bool:
    """Whether the only call of a command ends with these words, joined by blanks."""
    (call,) = recipe.calls(command)
    return call.endswith(" " + " ".join(words))


def test_args_of_the_user_are_appended_to_those_of_the_recipe(fsdd):
    fsdd.succeed(*stage(5, "--pretrain_args", "--max_epoch 5", "--pretrain_args", "--patience 3"))
    assert ends_with(fsdd, "exp/pretrain ", [*FSDD_PRETRAIN, "--max_epoch", "5", "--patience", "3"])


def test_options_of_the_data_are_appended(tmp_path):
    recipe = Recipe(tmp_path, "fsdd")
    recipe.succeed(*stage(1, "--local_data_opts", "--src '/my corpora/fsdd' --num_train 9"))
    assert ends_with(recipe, "fsdd.py", ["--nj", "2", "--src", "/my corpora/fsdd", "--num_train", "9"])


@pytest.mark.parametrize("user", [[], ["--pretrain_args", "--patience 3"]], ids=["alone", "with_args"])
@pytest.mark.parametrize("args_first", [True, False])
def test_a_configuration_of_the_user_is_not_overruled_by_the_recipe(fsdd, user, args_first):
    (fsdd.dir / "my.yaml").touch()
    conf = ["--pretrain_conf", "my.yaml"]
    fsdd.succeed(*stage(5, *(user + conf if args_first else conf + user)))
    (call,) = fsdd.calls("exp/pretrain ")
    assert "--config my.yaml" in call and "3000" not in call and "cr_warmup_batches" not in call
    assert ("--patience 3" in call) == bool(user)


def test_the_same_configuration_keeps_the_args_of_the_recipe_and_other_stages_keep_theirs(fsdd):
    (fsdd.dir / "my.yaml").touch()
    fsdd.succeed(*stage(5, "--pretrain_conf", "conf/pretrain.yaml", "--watch_conf", "my.yaml"))
    assert ends_with(fsdd, "exp/pretrain ", FSDD_PRETRAIN)


def test_encoder_and_training_configuration_are_options(fsdd):
    for name in ("big.yaml", "all.yaml"):
        (fsdd.dir / name).touch()
    fsdd.succeed(*stage(5, "--encoder_conf", "big.yaml", "--training_conf", "all.yaml"))
    assert "--base_config all.yaml big.yaml --config conf/pretrain.yaml" in fsdd.calls("exp/pretrain ")[0]
    assert ends_with(fsdd, "exp/pretrain ", FSDD_PRETRAIN)
    code, output = fsdd.run(*stage(5, "--encoder_conf", "none.yaml"))
    assert code == 1 and "no file none.yaml: name an existing one with --encoder_conf" in output


def test_a_changed_encoder_file_trains_again(made):
    (made.dir / "encoder.yaml").touch()
    made.run(*stage(5, "--encoder_conf", "encoder.yaml"))
    assert made.names() == ["pretrain"]
    made.run(*stage(5, "--encoder_conf", "encoder.yaml"))
    assert made.names() == []
    (made.dir / "encoder.yaml").write_text("encoder: e_branchformer\n")
    made.run(*stage(5, "--encoder_conf", "encoder.yaml"))
    assert made.names() == ["pretrain"]


@pytest.mark.parametrize(
    "number, option, command",
    [
        (4, "llm_args", "exp/llm "),
        (5, "pretrain_args", "exp/pretrain "),
        (6, "watch_args", ".watch "),
        (7, "align_args", "exp/align "),
        (8, "ia_sft_args", "exp/ia_sft "),
        (9, "joint_sft_args", "exp/joint_sft "),
        (10, "ctc_head_args", "exp/ctc_head --resume"),
        (12, "benchmark_args", ".benchmark "),
    ],
)
def test_quotes_group_words_and_nothing_is_expanded(made, number, option, command):
    value = """--system 'a  b' "it's" c\\ d '' $(touch oops) `touch oops` $HOME * ~"""
    more = ["--benchmark_conf", made.dir / "conf/watch.yaml"] if number == 12 else []
    made.succeed(*stage(number, f"--{option}", value, *more))
    words = ["--system", "a  b", "it's", "c d", "", "$(touch", "oops)", "`touch", "oops`", "$HOME", "*", "~"]
    assert ends_with(made, command, words) and not (made.dir / "oops").exists()


def test_quotes_in_decode_args_and_in_a_planned_length(made):
    made.succeed(*stage(11, "--decode_args", "--prompt 'a b'", "--inference_nj", 1))
    assert len(made.calls("llm_asr_inference")) == len(made.calls("--prompt a b")) == 3
    made.succeed(*stage(9, "--joint_sft_args", "--system 'a b'", "--flops_budget", "3e14"))
    assert made.calls("bin.flops ")[0].count("--options=--system 'a b'") == 1
    end = ["--system", "a b", "--max_epoch", "7", "--scheduler_conf", "total_steps=700"]
    assert ends_with(made, "exp/joint_sft ", end)


@pytest.mark.parametrize("option", ["--pretrain_args", "--local_data_opts", "--benchmark_args"])
def test_an_open_quote_is_one_line_before_anything_runs(recipe, option):
    code, output = recipe.run(option, "--system 'a b")
    assert code == 1 and recipe.calls() == [] and len(output.splitlines()) == 1
    assert f"llmasr.sh: {option} is '" in output and "--system 'a b', in which a quote is not closed" in output


def test_folders_with_blanks(recipe):
    recipe.succeed("--dumpdir", "my dump", "--expdir", "my exp")
    assert (recipe.dir / "my dump/train/text").is_file() and (recipe.dir / "my exp/ctc_head/guard.json").is_file()
    files = ("training", "encoder", "pretrain", "watch", "align", "ia_sft", "joint_sft", "ctc_head", "decode")
    shutil.copytree(recipe.dir / "conf", recipe.dir / "my conf")
    confs = [word for name in files for word in (f"--{name}_conf", f"my conf/{name}.yaml")]
    swaps = recipe.dir / "my swaps/ia_sft/swaps.jsonl"
    for stage in ("align", "ia_sft"):
        (swaps.parents[1] / stage).mkdir(parents=True)
        (swaps.parents[1] / stage / "swaps.jsonl").write_text("")
    folders = ["--base_exp", "my base", "--encoder_dir", "my encoders", "--swap_schedule", swaps, "--llm", "./my llm"]
    code, output = recipe.run("--dumpdir", "my dump", "--expdir", "my exp", *confs, *folders)
    assert code == 0, output
    assert {path.name for path in (recipe.dir / "my base").iterdir()} >= {"stats", "llm", "pretrain"}
    assert any(f"--encoder_dir my encoders --swap_schedule {swaps}" in line for line in recipe.calls("llm_asr_train"))
    assert not [path for path in recipe.dir.glob("my") if path.exists()]


def test_the_command_in_the_results_makes_them_again(fsdd):
    fsdd.succeed("--stage", 5, "--stop_stage", 12, "--pretrain_args", "--system 'a b'", "--seed", 3)
    (command,) = re.findall(r"Made by\n\n    (.+)\n", (fsdd.dir / "RESULTS.md").read_text())
    given = shlex.split(command)
    assert given[given.index("--") :].count("--system 'a b'") == 1 and "--fs 8000" in command
    before = fsdd.calls("_train ")
    fsdd.record.write_text("")
    environment = {"RECORD": str(fsdd.record), "PATH": "/usr/bin:/bin", "TEST_PYTHON": sys.executable}
    environment["PYTHONPATH"] = str(REPO)
    done = subprocess.run(["bash", "-c", command], cwd=fsdd.dir, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(before) == 5 and fsdd.calls("_train ") == [] and fsdd.names() == ["score", "score", "swap_table"]


def test_the_doctor_gets_the_options_of_the_training_and_nothing_is_trained(fsdd):
    fsdd.succeed(*stage(5, "--doctor", "true"))
    (doctor,) = fsdd.calls("bin.doctor")
    assert not fsdd.calls("_train") and not (fsdd.dir / "exp/pretrain/finished").exists()
    fsdd.succeed(*stage(5))
    (training,) = fsdd.calls("exp/pretrain ")
    words = training.split("phoneme_ctc_train ")[1].replace(" --config conf/pretrain.yaml", "")
    assert doctor.endswith(f"espnet_llmasr.bin.doctor conf/pretrain.yaml {words}")
    code, output = fsdd.run("--stage", 5, "--stop_stage", 8, "--doctor", "true")
    assert code == 1 and "--doctor true examines one training, not stages 5 to 8: give 5, 7," in output
