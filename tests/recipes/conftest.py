"""Copies of the mini recipe, as it lies in the repository and with everything run; the corpora that recipes make."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from recipe import REPO, Recipe


@pytest.fixture
def recipe(tmp_path):
    return Recipe(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    recipe = Recipe(tmp_path_factory.mktemp("finished"))
    recipe.succeed()
    return recipe


@pytest.fixture
def made(finished, recipe):
    """A recipe in which everything has been run."""
    shutil.rmtree(recipe.dir)
    shutil.copytree(finished.dir, recipe.dir, symlinks=True)
    shutil.copy(finished.record, recipe.record)
    return recipe


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Recordings for fsdd: two speakers, indices 0-9; the tone's pitch tells digit, speaker and index apart."""
    folder = tmp_path_factory.mktemp("source") / "recordings"
    folder.mkdir()
    for number in range(200):
        digit, speaker, index = number % 10, ("ann", "bob")[number // 10 % 2], number // 20
        samples = 0.3 * np.sin(np.arange(1600 + 10 * number) * (0.1 + 0.01 * number))
        soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", samples, 8000, subtype="PCM_16")
    return folder.parent


@pytest.fixture(scope="session")
def make_corpus(digits):
    """(recipe's name, folder, more options) -> the ended process that made its corpus, of a few utterances, there."""
    small = {
        "mini_zh_en": ["--train_hours", 0.05, "--num_valid", 12, "--num_cka", 4, "--num_test", 6],
        "fsdd": ["--src", digits, "--num_train", 60, "--num_valid", 10, "--num_cka", 4, "--num_test", 50],
        "misheard": ["--src", digits, "--train_hours", 0.05, "--num_valid", 12, "--num_cka", 4, "--num_test", 40]
        + ["--num_lm", 300],
    }

    def make(name, folder, *more):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, REPO / f"egs2/{name}/llmasr1/local/{name}.py", *small[name], *more]
        return subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True)

    return make


@pytest.fixture(scope="session")
def made_corpora(make_corpus, tmp_path_factory):
    """Recipe's name -> the folder in which its corpus has been made."""
    folders = {name: tmp_path_factory.mktemp(name) / "a" for name in ("mini_zh_en", "fsdd", "misheard")}
    for name, folder in folders.items():
        done = make_corpus(name, folder)
        assert done.returncode == 0, done.stderr
    return folders
