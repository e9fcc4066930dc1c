from pathlib import Path

import pytest

from espnet_llmasr.text.routes import ROUTES, make_route, tokens_of

pytest.importorskip("tn", reason="pip install WeTextProcessing")
pytest.importorskip("whisper_normalizer", reason="pip install whisper-normalizer")
README = Path(__file__).resolve().parents[3] / "README.md"


def test_the_table_of_routes_shows_what_they_give():
    lines = README.read_text(encoding="utf-8").splitlines()
    head = lines.index("| line | " + " | ".join(f"`{name}`" for name in ROUTES) + " |")
    rows = [line.strip("| ").split(" | ") for line in lines[head + 2 : lines.index("", head)]]
    assert len(rows) == 5
    for line, *cells in rows:
        given = [" ".join(tokens_of(make_route(name), line, "")[0]) for name in ROUTES]
        assert given == cells, line
