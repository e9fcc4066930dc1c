"""Copies of the mini recipe: as it lies in the repository, and with everything run (by a stand-in for Python)."""

import shutil

import pytest
from recipe import Recipe


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
