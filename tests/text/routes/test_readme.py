from pathlib import Path

import pytest

from espnet_llmasr.bin import score
from espnet_llmasr.scoring.score import EXAMPLES, route_tables
from espnet_llmasr.text.routes import ROUTES, route_module

pytest.importorskip("tn", reason="pip install WeTextProcessing")
pytest.importorskip("whisper_normalizer", reason="pip install whisper-normalizer")
ROOT = Path(__file__).resolve().parents[3]


def test_the_docs_have_the_tables_of_the_command(capsys):
    """To update docs/scoring.md: python -m espnet_llmasr.bin.score --list_routes"""
    with pytest.raises(SystemExit) as stopped:
        score.main(["--list_routes"])
    printed = capsys.readouterr().out
    assert stopped.value.code == 0 and printed in (ROOT / "docs/scoring.md").read_text(encoding="utf-8")
    assert all(line in printed for line in EXAMPLES) and all(f"| `{name}` |" in printed for name in ROUTES)


def test_a_route_whose_package_is_missing_has_no_column(monkeypatch):
    def make():
        raise ValueError("not installed")

    monkeypatch.setattr(route_module("sure"), "make", make)
    descriptions, examples = route_tables().split("\n\n")
    assert "| `sure` | WeTextProcessing's inverse" in descriptions and "`sure`" not in examples


def test_every_route_is_one_file():
    assert list(ROUTES) == sorted(ROUTES) and {"none", "paper"} < set(ROUTES)
    for name in ROUTES:
        module = route_module(name)
        assert module.DESCRIPTION and len(module.DESCRIPTION.splitlines()) == 1 and isinstance(module.PACKAGES, tuple)
        assert module.make().name == name
