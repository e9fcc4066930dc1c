"""Copies of the mini recipe: as it lies in the repository, and with everything run (by a stand-in for Python)."""

import importlib.util
import shutil
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("recipe", Path(__file__).with_name("recipe.py"))
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
Recipe = _module.Recipe


@pytest.fixture
def recipe(tmp_path):
    return Recipe(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    recipe = Recipe(tmp_path_factory.mktemp("finished"))
    code, output = recipe.run()
    assert code == 0, output
    return recipe


@pytest.fixture
def made(finished, recipe):
    """A recipe in which everything has been run."""
    shutil.rmtree(recipe.dir)
    shutil.copytree(finished.dir, recipe.dir, symlinks=True)
    shutil.copy(finished.record, recipe.record)
    return recipe
