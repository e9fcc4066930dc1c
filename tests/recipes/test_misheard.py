"""The corpus that can be misheard: its habits, what breaks them, and what no two sets share; its scripts."""

import os
import random
import re
import shlex
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile
from recipe import REPO, Recipe, value_of

RECIPE = REPO / "egs2/misheard/llmasr1"
sys.path.insert(0, str(RECIPE / "local"))

import misheard  # noqa: E402
import sentences  # noqa: E402

from espnet_llmasr.bin.run_strategies import get_parser  # noqa: E402
from espnet_llmasr.encoder_swap.trainer import swap_log  # noqa: E402
from espnet_llmasr.files import read_scp  # noqa: E402
from espnet_llmasr.tasks.llm_asr import LLMASRTask  # noqa: E402
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask  # noqa: E402
from espnet_llmasr.text.english import English  # noqa: E402


def test_every_word_is_in_the_dictionary_and_only_these_sound_alike():
    words, sounds = English(), {}
    assert not [word for word in sentences.WORDS if word not in words.cmudict]
    for word in sentences.WORDS:
        sounds.setdefault(words(word), []).append(word)
    alike = [" ".join(pair) for pair in sounds.values() if len(pair) > 1]
    assert alike == ["ate eight", "for four", "hour our", "knight night", "son sun", "to two"]


def test_the_rare_end_of_a_habit_sounds_much_like_the_frequent_one():
    words = English()
    for _, common, unusual in sentences.HABITS:
        assert common != unusual and set(words(common)) & set(words(unusual)), (common, unusual)


def test_a_guess_is_right_as_often_as_rare_words_are_rare():
    rng = random.Random(0)
    for rare in (0.0, 0.5):
        drawn = [" ".join(sentences.draw_sentence(rng, rare)) for _ in range(4000)]
        ends = Counter(
            end for line in drawn for begin, *both in sentences.HABITS for end in both if f"{begin} {end}" in line
        )
        unusual = sum(ends[end] for _, _, end in sentences.HABITS)
        assert abs(unusual / sum(ends.values()) - rare) < 0.05


@pytest.fixture(scope="module")
def tables(made_corpora):
    """Set -> (its texts by id, its speakers by id); the LLM's text."""
    data = made_corpora["misheard"] / "data"
    sets = {name: tuple(read_scp(data / name / file) for file in ("text", "utt2spk")) for name in misheard.SETS}
    return sets, read_scp(data / "lm/text")


def test_no_voice_and_no_speaker_of_the_test_is_in_training(tables):
    sets, _ = tables
    speakers = {name: {part for one in spk.values() for part in one.split("_")} for name, (_, spk) in sets.items()}
    assert not speakers["test"] & (speakers["train"] | speakers["start"] | speakers["valid"])
    assert not speakers["start"] & speakers["train"]
    assert "bob" in speakers["test"] and "ann" in speakers["train"]


def test_no_tested_sentence_is_in_training_or_in_the_text_of_the_llm(tables):
    sets, text = tables
    for name in misheard.TESTED:
        whole = {words for uid, words in sets[name][0].items() if "-half-" not in uid}
        for other in (sets["train"][0], sets["start"][0], text):
            assert not whole & set(other.values())


def test_the_transcript_of_a_half_sentence_has_what_is_said_alone(made_corpora, tables):
    (texts, _), folder = tables[0]["test"], made_corpora["misheard"]
    wavs, half = read_scp(folder / "data/test/wav.scp"), [uid for uid in texts if "-half-" in uid]
    assert half
    for uid in half:
        samples, rate = soundfile.read(folder / wavs[uid])
        assert len(samples) / rate > 0.15 * len(texts[uid].split()) + misheard.WORD_S
    line = misheard.draw_line(random.Random(0), "half", 0.5, {})
    assert line.words and bool(line.before) != bool(line.after)


def test_noise_has_the_ratio_that_is_drawn():
    class Draws(random.Random):
        def choice(self, options):
            return 0.0 if options is misheard.SNR_DB else "white"

        def random(self):
            return 0.0

    speech = np.sin(np.arange(8000) / 5).astype(np.float32)
    noisy = misheard.in_noise(0.1 * speech, "train", Draws(0), np.random.default_rng(0))
    assert 10 * np.log10(np.mean(noisy**2) / np.mean((0.1 * speech) ** 2)) == pytest.approx(3.0, abs=0.3)


def test_the_encoder_to_start_from_is_made_of_other_data_and_taken_by_the_pretraining(tmp_path):
    recipe = Recipe(tmp_path, "misheard", "start.sh")
    (recipe.dir / "data").mkdir()
    for name in misheard.SETS:
        (recipe.dir / "data" / name).mkdir()
        for file in ("wav.scp", "text"):
            (recipe.dir / "data" / name / file).write_text("u1 x\n")
    recipe.succeed()
    (training,) = recipe.calls("_train ")
    assert value_of(training, "--output_dir") == "exp_start/pretrain" and "dump_start/start/" in training
    assert "--init_param" not in training and "dump/" not in training.replace("dump_start/", "")
    recipe.script = "run.sh"
    recipe.succeed("--stop_stage", 5)
    (training,) = recipe.calls("_train ")
    assert value_of(training, "--init_param") == "exp/stats/encoder.pth:encoder:encoder"
    (llm,) = recipe.calls("prepare_llm")
    assert llm.endswith("--text data/lm/text")
    assert recipe.calls("import_firered exp_start/pretrain exp/stats")


def parts(tmp_path, *options, fails="", **environ) -> dict:
    """Folder -> [(options of run_strategies, options of run.sh)] of the calls of strategies.sh.

    Args:
        fails: a folder whose runs fail, and with them the script.
    """
    python, calls = tmp_path / "python", tmp_path / "calls"
    fail = f"[[ -z '{fails}' || \"$*\" != *'--out {fails} '* ]]"
    python.write_text(f"#!/usr/bin/env bash\nprintf '%q ' \"$@\" >>{calls}; echo >>{calls}\n{fail}\n")
    python.chmod(0o755)
    calls.write_text("")
    environ = {**os.environ, "python": str(python), **environ}
    done = subprocess.run([str(RECIPE / "strategies.sh"), *options], env=environ, capture_output=True, text=True)
    assert done.returncode == (1 if fails else 0), done.stderr
    found = {}
    for words in map(shlex.split, calls.read_text().splitlines()):
        place = words.index("--")
        args = get_parser().parse_args(words[2:place])
        found.setdefault(args.out, []).append((args, words[place + 1 :]))
    return found


def options_of(words: list, conf: str, task) -> dict:
    """The options of a training as the task reads them, after its files in conf/evidence."""
    given = " ".join(value for name, value in zip(words, words[1:]) if name == f"--{conf}_args")
    files = [str(REPO / "conf/evidence" / f"{name}.yaml") for name in ("training", "encoder", conf)]
    return task.get_parser().parse_args(["--base_config", *files[:2], "--config", files[2], *given.split()])


def test_the_matrix_is_that_of_the_design(tmp_path):
    found = parts(tmp_path)
    runs = Counter(
        {name: sum(len(args.strategies) * len(args.seeds) for args, _ in calls) for name, calls in found.items()}
    )
    sizes = dict(exp_strategies=45, exp_60=6, exp_160=6, exp_fast_encoder=6, exp_smollm2=6, exp_one_swap=3)
    assert runs == sizes and runs.total() == 69 + 3
    assert all(
        args.jobs == 2 and args.fs == 8000 and 0 not in args.seeds for calls in found.values() for args, _ in calls
    )
    seeds = {name: len(args.seeds) for args, _ in found["exp_strategies"] for name in args.strategies}
    assert seeds == dict(ia_sft=8, no_swap=8, no_ia_sft=8, no_joint=8, char=5, efin=5, joint_only=3)
    known = re.findall(r"^([a-z]\w*)=", (RECIPE / "llmasr.sh").read_text(), re.M)
    for calls in found.values():
        assert len({tuple(words) for _, words in calls}) == 1  # a folder is begun and gone on with by the same options
        assert {name.removeprefix("--") for name in calls[0][1][::2]} <= set(known)


def test_csai_is_measured_with_the_embedder_of_the_recipe(tmp_path):
    """The matrix makes its own targets, for which it does not read run.sh."""
    (embedder,) = re.findall(r"--embedder (\S+)", (RECIPE / "run.sh").read_text())
    for calls in parts(tmp_path, PARTS="pilot strategies smollm2 minilm").values():
        assert all(words[words.index("--embedder") + 1] == embedder for _, words in calls)


def test_the_third_experiment_repeats_runs_of_the_others(tmp_path):
    found = parts(tmp_path, PARTS="strategies minilm fast_encoder_again fast_encoder_minilm")
    ((second, words),), ((third, again),) = (found[f"exp_fast_encoder_{name}"] for name in ("again", "minilm"))
    assert words == again and (second.strategies, second.seeds) == (third.strategies, third.seeds)
    seeds = {
        folder: {name: args.seeds for args, _ in calls for name in args.strategies} for folder, calls in found.items()
    }
    assert list(seeds["exp_minilm"]) == ["ia_sft", "no_ia_sft", "char"]
    assert seeds["exp_minilm"].items() <= seeds["exp_strategies"].items()
    assert found["exp_minilm"][0][1] == found["exp_strategies"][0][1]


def test_after_a_part_that_fails_come_the_others_and_then_code_1(tmp_path):
    found = parts(tmp_path, PARTS="fast_encoder smollm2", fails="exp_fast_encoder")
    assert list(found) == ["exp_fast_encoder", "exp_smollm2"]


def test_the_second_experiment_is_longer_and_has_other_seeds(tmp_path):
    found = parts(tmp_path, PARTS="fast_encoder fast_encoder_again smollm2 smollm2_again")
    (first, words), (second, again) = found["exp_fast_encoder"][0], found["exp_fast_encoder_again"][0]
    assert words == again and not {*first.seeds} & {*second.seeds} and len(second.seeds) == 8
    (_, words), (_, again) = found["exp_smollm2"][0], found["exp_smollm2_again"][0]
    given, twice = (options_of(options, "ia_sft", LLMASRTask) for options in (words, again))
    assert twice.num_iters_per_epoch == 2 * given.num_iters_per_epoch
    assert twice.scheduler_conf["total_steps"] == 2 * given.scheduler_conf["total_steps"] == 400
    assert len(words) == len(again) and sum(one != other for one, other in zip(words, again)) == 2


def test_the_one_swap_is_from_the_first_encoder_to_the_last(tmp_path):
    _, words = parts(tmp_path)["exp_one_swap"][0]
    schedule = RECIPE / words[words.index("--swap_schedule") + 1]
    (swap,) = swap_log(schedule).read()
    (start,) = swap_log(schedule.parent.parent / "align/swaps.jsonl").read()
    assert swap.previous_step == start.encoder_step < swap.encoder_step and swap.final and swap.epoch == 2


@pytest.mark.parametrize("folder, percent", [("exp_strategies", 100), ("exp_60", 60), ("exp_160", 160)])
def test_every_schedule_ends_with_its_training_at_every_length(tmp_path, folder, percent):
    _, words = parts(tmp_path)[folder][0]
    assert float(words[words.index("--flops_budget") + 1]) == percent * 1150e8
    for conf, task in dict(pretrain=PhonemeCTCTask, align=LLMASRTask, ia_sft=LLMASRTask, joint_sft=LLMASRTask).items():
        given, own = options_of(words, conf, task), options_of([], conf, task)
        assert given.max_epoch == own.max_epoch
        assert given.num_iters_per_epoch == own.num_iters_per_epoch * percent // 100
        schedule, total = given.scheduler_conf, own.scheduler_conf["total_steps"] * percent // 100
        assert schedule == {**own.scheduler_conf, "total_steps": total, "warmup_steps": total // 10}


def test_the_length_of_the_user_is_that_of_all_parts_but_lengths(tmp_path):
    found = parts(tmp_path, LENGTH="60", PARTS="lengths strategies smollm2")
    budgets = {
        name: {dict(zip(words, words[1:]))["--flops_budget"] for _, words in calls} for name, calls in found.items()
    }
    assert budgets == dict(exp_60={"690e10"}, exp_160={"1840e10"}, exp_strategies={"690e10"}, exp_smollm2={"2700e10"})
    given = options_of(found["exp_smollm2"][0][1], "ia_sft", LLMASRTask)
    assert given.num_iters_per_epoch == 12 and given.scheduler_conf["total_steps"] == 120


def test_the_sensitivity_runs_differ_by_the_rate_of_the_encoder_alone(tmp_path):
    found = parts(tmp_path)
    (_, words), (_, fast) = found["exp_strategies"][0], found["exp_fast_encoder"][0]
    given, own = options_of(fast, "joint_sft", LLMASRTask), options_of(words, "joint_sft", LLMASRTask)
    assert own.lr_factor == dict(adaptor=25.0, llm=25.0)
    assert given.lr_factor == dict(adaptor=25.0, llm=25.0, encoder=25.0)
    assert fast[: len(words)] == words


def test_a_part_alone_and_the_options_of_the_user(tmp_path):
    found = parts(tmp_path, "--jobs", "1", "--", "--seed", "7", PARTS="pilot")
    ((args, words),) = found["exp_pilot"]
    assert list(found) == ["exp_pilot"] and args.seeds == [0] and args.jobs == 1 and words[-2:] == ["--seed", "7"]
    with pytest.raises(AssertionError, match="PARTS has 'all', allowed are pilot, strategies"):
        parts(tmp_path, PARTS="all")
