"""The site is built without a warning or a dead link, and has a page of everything."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("build_site", ROOT / "local/build_site.py")
build_site = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build_site)


def pages_of(entries) -> list:
    """The pages of a navigation, a list of {title: page or list}."""
    parts = [part for entry in entries for part in entry.values()]
    return [page for part in parts for page in (pages_of(part) if isinstance(part, list) else [part])]


def test_the_navigation_has_every_page():
    wanted = {path.as_posix() for path in build_site.tracked("*.md")}
    wanted |= {f"api/{name}.md" for name in build_site.packages()}
    pages = pages_of(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    assert sorted(pages) == sorted(wanted)


@pytest.fixture(scope="module")
def site():
    for name in ("zensical", "mkdocstrings"):
        pytest.importorskip(name)
    done = subprocess.run([sys.executable, str(ROOT / "local/build_site.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build/site"


def test_docstrings_and_documents_are_in_it(site):
    api, index = (site / name for name in ("api/text.html", "index.html"))
    assert 'id="espnet_llmasr.text.prompt.Prompt"' in api.read_text(encoding="utf-8")
    assert "&lt;speech&gt;" in api.read_text(encoding="utf-8")  # a word of a docstring, and no element of HTML
    assert "docs/stages.svg" in index.read_text(encoding="utf-8") and (site / "docs/stages.svg").is_file()


def test_every_command_is_there_with_its_help(site):
    page = (site / "api/bin.html").read_text(encoding="utf-8")
    for path in (ROOT / "espnet_llmasr/bin").glob("[a-z]*.py"):
        assert f'id="{path.stem}"' in page and f"usage: {path.stem} " in page
    assert "--max_waiting MAX_WAITING" in page and str(ROOT) not in page


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = build_site.Page(page).loaded
        assert loaded and not [address for address in loaded if "://" in address], page


@pytest.mark.parametrize(
    "target, dead",
    [("b.html", False), ("b.html#here", False), ("b.html#there", True), ("c.html", True), ("#x", True), ("", False)]
    + [("sub/", False), ("sub/#here", True), ("https://example.org/c.html#x", False), ("picture.svg#x", False)],
)
def test_dead_links_are_found(tmp_path, target, dead):
    (tmp_path / "sub").mkdir()
    (tmp_path / "picture.svg").write_text("<svg/>")
    for name, content in {"a": f'<a href="{target}">x</a>', "b": '<h2 id="here">x</h2>', "sub/index": "x"}.items():
        (tmp_path / f"{name}.html").write_text(content)
    assert build_site.dead_links(tmp_path) == ([f"a.html: {target}"] if dead else [])
