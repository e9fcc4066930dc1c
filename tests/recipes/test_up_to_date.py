"""The real run.sh with a stand-in for Python: what is run again, and which missing input is named with its stage."""

import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest


def test_a_changed_option_or_input_runs_a_stage_again_and_what_hangs_on_it(made):
    made.run("--stage", 3, "--stop_stage", 5, "--stats_utts", 7)
    assert made.names() == ["compute_stats", "pretrain"]
    made.run("--stage", 6, "--stop_stage", 9, "--stats_utts", 7)
    assert sorted(made.names()) == ["align", "ia_sft", "joint_sft", "watch"]
    made.run("--stage", 2, "--stop_stage", 2, "--nj", 9)
    assert made.names() == []  # the number of processes changes nothing


def test_a_copied_touched_and_renamed_experiment_is_up_to_date(made):
    """Inputs count by their content, and the folders' names and this machine's Python do not count."""
    for path in sorted(made.dir.glob("**/*")):
        os.utime(path)
    made.dir.joinpath("exp").rename(made.dir / "moved exp")
    elsewhere = ["--expdir", "moved exp", "--python", made.dir / "linked"]
    elsewhere[-1].symlink_to(Path(__file__).with_name("stand_in.sh"))
    made.run("--stage", 2, "--stop_stage", 11, *elsewhere)
    assert made.names() == []
    marks = list(made.dir.glob("moved exp/**/*.done"))
    before = {path: path.stat().st_mtime_ns for path in marks}
    made.run("--stage", 2, "--stop_stage", 11, *elsewhere)
    assert len(marks) > 8 and before == {path: path.stat().st_mtime_ns for path in marks}  # read once after the copy
    (made.dir / "dump/train/phones").write_text("another")
    made.run("--stage", 3, "--stop_stage", 5, *elsewhere)
    assert made.names() == ["phoneme_ctc_train"]


def test_an_edited_input_runs_its_readers_again(made):
    """Files of the data folder beside text and wav.scp, files that options name, and a table of pronunciations."""
    (made.dir / "data/test_en/utt2lang").write_text("u1 en\n")
    made.run("--stage", 2, "--stop_stage", 2)
    assert {*made.names()} == {"format_data"} and "data/test_en " in made.calls()[0]
    (made.dir / "dump/test_en/utt2lang").write_text("u1 en\n")
    made.run("--stage", 11, "--stop_stage", 11)
    assert "dump/test_en " in made.calls("llm_asr_inference")[0]
    for stage, option, value in ((4, "--llm_args", "--text words"), (11, "--decode_args", "--hotwords words")):
        for content, again in (("red", True), ("red", False), ("green", True)):
            (made.dir / "words").write_text(content)
            made.run("--stage", stage, "--stop_stage", stage, option, value)
            assert bool(made.calls("prepare_llm" if stage == 4 else "llm_asr_inference")) == again
    for content, again in (("hola o l a", True), ("hola o l a", False), ("hola h o l a", True)):
        (made.dir / "es.tsv").write_text(content)
        made.run("--stage", 2, "--stop_stage", 2, "--inventory", "es.tsv")
        assert bool(made.calls("format_data")) == again


def test_an_ended_pretraining_is_gone_on_with_alone(made):
    """Beside it the watcher would take the old end mark for the end, and publish the wrong encoder as the last."""
    longer = ["--pretrain_args", "--max_epoch 99"]
    code, output = made.run("--stage", 5, "--stop_stage", 8, *longer)
    assert code == 1 and "exp/pretrain has ended" in output and "run stage 5 alone" in output
    assert "pretrain" not in made.names() and (made.dir / "exp/pretrain/finished").exists()
    assert made.run("--stage", 5, "--stop_stage", 5, *longer)[0] == 0 and made.names() == ["pretrain"]
    made.run("--stage", 5, "--stop_stage", 6, *longer)
    assert made.names() == ["watch"]


def test_what_another_strategy_is_making_is_waited_for_and_not_made_again(made):
    done, away = made.dir / "exp/pretrain/decode/test_zh/phones.log.done", made.dir / "away"
    done.rename(away)
    made.record.write_text("")
    with open(done.with_name("phones.lock"), "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = made.start("--stage", 11, "--stop_stage", 11)
        assert any("decode/test_zh/2.shards is up to date" in line for line in process.stdout)
        time.sleep(0.5)
        assert process.poll() is None and made.calls() == []
        away.rename(done)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and made.calls() == [] and "test_zh/phones is up to date" in output


@pytest.mark.parametrize("file, stage, name", [("encoder.1.pth", 7, "align"), ("final", 8, "ia_sft")])
def test_alignment_depends_on_the_first_encoder_and_ia_sft_on_the_last(made, file, stage, name):
    (made.dir / "exp/encoders" / file).write_text("another")
    made.run("--stage", stage, "--stop_stage", stage)
    assert made.names() == [name]


@pytest.mark.parametrize(
    "removed, stage, message",
    [
        ("data/train", 2, "data/train/text is missing: run stage 1 first"),
        ("dump/train", 3, "dump/train/wav.scp is missing: run stage 2 first"),
        ("exp/stats", 5, "exp/stats/feats_stats.npz is missing: run stage 3 first"),
        ("exp/pretrain", 6, "exp/pretrain/config.yaml is missing: run stage 5 first"),
        ("exp/llm", 7, "exp/llm/llm.pth is missing: run stage 4 first"),
        ("exp/align", 8, "exp/align/latest.pth is missing: run stage 7 first"),
        ("exp/ia_sft", 9, "exp/ia_sft/latest.pth is missing: run stage 8 first"),
        ("exp/joint_sft", 10, "exp/joint_sft/latest.pth is missing: run stage 9 first"),
        ("exp/pretrain", 11, "exp/pretrain/latest.pth is missing: run stage 5 first"),
        ("exp/joint_sft", 14, "exp/joint_sft/latest.pth is missing: run stage 9 first"),
        ("exp/joint_sft/decode", 12, "exp/joint_sft/decode/test_zh/text is missing: run stage 11 first"),
        ("exp/align", 11, "exp/align/latest.pth is missing: run stage 7 first"),
        ("exp/ia_sft", 11, "exp/ia_sft/latest.pth is missing: run stage 8 first"),
        ("exp/joint_sft", 11, "exp/joint_sft/latest.pth is missing: run stage 9 first"),
    ],
)
def test_a_missing_input_is_named_with_its_stage(made, removed, stage, message):
    (made.dir / removed).rename(made.dir / "away")
    decoded = ["--inference_exp", removed.removeprefix("exp/")] if stage == 11 and removed != "exp/pretrain" else []
    code, output = made.run("--stage", stage, "--stop_stage", stage, *decoded)
    assert code == 1 and f"llmasr.sh: {message}" in output
    assert len(output.splitlines()) == 2 and made.calls() == []


def test_alignment_without_an_encoder_and_pretraining_beside_old_encoders(made):
    (made.dir / "exp/pretrain").rename(made.dir / "away")
    assert "exp/encoders is from another pretraining: remove it" in made.fail("--stage", 5, "--stop_stage", 5)
    (made.dir / "exp/encoders").rename(made.dir / "away2")
    assert "no encoder in exp/encoders: run stages 5 and 6 first" in made.fail("--stage", 7, "--stop_stage", 7)


@pytest.mark.parametrize("options", [(7, 7), (8, 8), (7, 8), (5, 8, "--skip_stages", 6)], ids=str)
def test_no_encoder_can_come_once_pretraining_has_ended(made, options):
    """Instead of waiting for ever; while it goes on, or with the watcher before, waiting is right."""
    shutil.rmtree(made.dir / "exp/encoders")
    stages = ["--stage", options[0], "--stop_stage", options[1], *options[2:]]
    assert "no encoder in exp/encoders: run stages 5 and 6 first" in made.fail(*stages) and made.calls() == []
    (made.dir / "exp/pretrain/finished").unlink()
    assert made.run(*stages)[0] == 0
    (made.dir / "exp/pretrain/finished").touch()
    assert made.run("--stage", 6, "--stop_stage", 6)[0] == made.run("--stage", 7, "--stop_stage", 8)[0] == 0


def test_a_running_training_is_not_started_again(recipe):
    """The second start is refused at once: the holder is named, and its log stays as it is."""
    recipe.succeed("--stop_stage", 4)
    (recipe.dir / "exp/encoders").mkdir()
    (recipe.dir / "exp/encoders/encoder.1.pth").touch()
    for folder, stages in (("exp/pretrain", (5, 5)), ("exp/encoders", (5, 8)), ("exp/align", (7, 7))):
        (recipe.dir / folder).mkdir(exist_ok=True)
        (recipe.dir / folder / "train.log").write_text("epoch 1")
        with open(recipe.dir / folder / "lock", "w") as lock:
            lock.write("process 5 on node7")
            lock.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
            output = recipe.fail("--stage", stages[0], "--stop_stage", stages[1])
        line = f"llmasr.sh: {folder} is in use by process 5 on node7: wait for its end, or stop it and start again"
        assert output.splitlines()[-1] == line and recipe.calls() == []
        assert (recipe.dir / folder / "train.log").read_text() == "epoch 1"


@pytest.mark.parametrize("stage, stop_stage", [(3, 3), (5, 8)])
@pytest.mark.parametrize("group", [False, True])
def test_a_kill_leaves_no_process(recipe, stage, stop_stage, group):
    """SIGKILL, which no script can catch, to run.sh alone or to its group: all that it has started ends."""
    recipe.succeed("--stop_stage", 4)
    for done in recipe.dir.glob("**/*.done"):
        done.unlink()
    hang = {3: "compute_stats ", 5: "_train exp/pretrain"}[stage]
    words = ("compute_stats", "exp/pretrain ")
    process = recipe.hanging("--stage", stage, "--stop_stage", stop_stage, hang=hang, words=words)
    os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
    process.wait(5)
    assert recipe.left_over() == []


def test_of_two_starts_at_once_one_goes_on(recipe):
    """The stages side by side have three folders: one script gets them all, the other is told who has them."""
    recipe.succeed("--stop_stage", 4)
    words = ["--stage", 5, "--stop_stage", 8]
    runs = [recipe.start(*words, HANG="_train exp/pretrain", REAL_PYTHON=sys.executable) for _ in range(2)]
    deadline = time.monotonic() + 300
    while all(run.poll() is None for run in runs) and time.monotonic() < deadline:
        time.sleep(0.1)
    refused, running = sorted(runs, key=lambda run: run.poll() is None)
    assert refused.poll() == 1 and running.poll() is None
    holder = f"exp/pretrain is in use by process {running.pid} on "
    assert holder in refused.communicate()[0].splitlines()[-1]
    running.kill()
    running.communicate()
    assert recipe.left_over() == []
