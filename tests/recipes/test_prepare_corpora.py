"""Stages 1 and 2 of a real recipe on small corpora of the real layout: nothing of the test sets is left in training."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from recipe import REPO, Recipe

pytestmark = pytest.mark.slow
LINES = ["THE QUICK BROWN FOX JUMPS OVER IT", "SHE SELLS SEA SHELLS BY THE SHORE", "I DON'T KNOW WHAT YOU MEAN BY THAT"]


def voice(seed, seconds=3.0, rate=16000):
    """A sequence of short chords, other for each seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(0.15 * rate)) / rate
    chords = [
        sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(200, 3000, 4)) for _ in range(round(seconds / 0.15))
    ]
    return 0.05 * np.concatenate(chords) + 0.003 * rng.standard_normal(round(seconds / 0.15) * len(time))


def librispeech(root, part, speaker, seed):
    folder = root / part / speaker / "1"
    folder.mkdir(parents=True)
    names = [f"{speaker}-1-{number:04d}" for number in range(len(LINES))]
    (folder / f"{speaker}-1.trans.txt").write_text("".join(f"{n} {t}\n" for n, t in zip(names, LINES)))
    for number, name in enumerate(names):
        soundfile.write(folder / f"{name}.flac", voice(seed + number), 16000)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """LibriSpeech, of which a training chapter is a test chapter once more, and AISHELL-1."""
    root = tmp_path_factory.mktemp("corpora")
    seeds = {"train-clean-100": 0, "train-clean-360": 10, "train-other-500": 90}
    seeds |= {"dev-clean": 70, "dev-other": 80, "test-clean": 90, "test-other": 100}
    for speaker, (part, seed) in enumerate(seeds.items(), 11):
        librispeech(root / "LibriSpeech", part, str(speaker), seed)
    aishell = root / "data_aishell"
    (aishell / "transcript").mkdir(parents=True)
    lines = []
    for number, part in enumerate(("train", "dev", "test")):
        name = f"BAC009S000{number}W0001"
        (aishell / "wav" / part / f"S000{number}").mkdir(parents=True)
        soundfile.write(aishell / "wav" / part / f"S000{number}" / f"{name}.wav", voice(200 + number), 16000)
        lines.append(f"{name} 今天 天气 很 好\n")
    (aishell / "transcript" / "aishell_transcript_v0.8.txt").write_text("".join(lines), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, corpora):
    """zh_en after stages 1 and 2, with two of its corpora."""
    recipe = Recipe(tmp_path_factory.mktemp("zh_en"), "zh_en")
    return recipe, run(recipe, corpora)


def run(recipe, corpora, more=""):
    options = ["--python", sys.executable, "--stop_stage", "2", "--nj", "1", "--num_splits", "2"]
    options += ["--local_data_opts", f"--nj 2 --valid_utts 3 --cka_utts 1 {more}"]
    found = {"LIBRISPEECH": str(corpora / "LibriSpeech"), "AISHELL1": str(corpora / "data_aishell")}
    environment = {**os.environ, **found, "PYTHONPATH": str(REPO)}
    command = ["./run.sh", *options]
    return subprocess.run(command, cwd=recipe.dir, env=environment, capture_output=True, text=True, timeout=1500)


def ids(recipe, folder):
    return [line.split()[0] for line in (recipe.dir / folder / "text").read_text(encoding="utf-8").splitlines()]


def test_what_is_missing_is_said_first(prepared):
    _, done = prepared
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSING: set EMILIA in db.sh" in done.stdout
    assert "here: 2 of 22 train, 0 of 9 valid, 2 of 10 test corpora; 1,110 of 509,999 h" in done.stdout


def test_no_test_recording_trains(prepared):
    """train-other-500 holds the sound of test-clean; it is left out, whatever it is called."""
    recipe, _ = prepared
    sets = {name: set(ids(recipe, f"dump/{name}")) for name in ("train", "valid", "cka", "librispeech_test-clean")}
    assert len(sets["librispeech_test-clean"]) == 3 and len(sets["valid"]) == 2 and sets["cka"] < sets["valid"]
    assert not sets["train"] & sets["valid"]
    left = sets["train"] | sets["valid"]
    assert left == {f"librispeech_{s}-1-000{n}" for s in (11, 12) for n in range(3)} | {
        "aishell1_S0000-BAC009S0000W0001"
    }
    assert json.loads((recipe.dir / "data/train/stats.json").read_text())["utts"] == 5


def test_dump_is_ready_to_train(prepared):
    recipe, _ = prepared
    assert (recipe.dir / "data/test_sets").read_text().split() == [
        *("aishell1_dev", "aishell1_test"),
        *(f"librispeech_{part}" for part in ("dev-clean", "dev-other", "test-clean", "test-other")),
    ]
    phones = (recipe.dir / "dump/aishell1_test/phones").read_text().split(maxsplit=1)[1].split()
    assert phones == "j in1 t ian1 t ian1 q i4 h en3 h ao3".split()
    splits = recipe.dir / "dump/train/splits2"
    assert sorted(p.name for p in splits.iterdir()) == ["phones", "stats.json", "text", "utt2num_frames", "wav.scp"]


def test_a_second_run_prepares_nothing(prepared, corpora):
    recipe, _ = prepared
    before = {path: path.stat().st_mtime_ns for path in recipe.dir.glob("d*/**/text")}
    old = recipe.dir / "data/overlap/9/exclude.txt"  # of a run with more jobs
    old.parent.mkdir()
    old.write_text("librispeech_11-1-0000\n")
    done = run(recipe, corpora)
    assert "librispeech_11-1-0000" not in (recipe.dir / "data/exclude.txt").read_text().split()
    assert done.returncode == 0 and {path: path.stat().st_mtime_ns for path in before} == before
    assert done.stdout.count("is up to date") > 10


def test_a_moved_corpus_and_another_validation_set_make_all_that_hangs_on_them(prepared, corpora, tmp_path):
    """As many utterances lie elsewhere; fewer validate, so that more train, and cka is a part of those."""
    recipe, _ = prepared
    before = {name: ids(recipe, f"data/{name}") for name in ("train", "valid")}
    for name in ("LibriSpeech", "data_aishell"):
        shutil.copytree(corpora / name, tmp_path / name)
    done = run(recipe, tmp_path, "--valid_utts 2")
    assert done.returncode == 0, done.stdout + done.stderr
    after = {name: ids(recipe, f"data/{name}") for name in ("train", "valid", "cka")}
    assert len(after["valid"]) < len(before["valid"]) and set(after["cka"]) <= set(after["valid"])
    assert sorted(after["train"] + after["valid"]) == sorted(before["train"] + before["valid"])
    for name in ("train", "valid", "cka", "aishell1_test", "librispeech_test-clean"):
        rows = (recipe.dir / f"data/{name}/wav.scp").read_text().splitlines()
        assert all(str(tmp_path) in row for row in rows), rows
