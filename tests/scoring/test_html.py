"""The page of utterances: parsed back by the standard library's HTML parser and compared with what went in."""

import pytest

from espnet_llmasr.metrics.error_rate import align, count_errors
from espnet_llmasr.scoring.html import render

EVIL = '<script>alert("1")</script>'


def row(reference, hypothesis, **changes):
    sides = reference.split(), hypothesis.split()
    counts = count_errors(*sides)
    texts = dict(reference=reference, hypothesis=hypothesis, alignment=align(*sides), counts=counts, rate=counts.rate)
    return {"id": "u", "set": "test", **texts, "hallucinations": (), "audio": None, "confidence": None, **changes}


@pytest.fixture
def page(parse):
    """(rows, options) -> the parsed page of one section."""
    return lambda *rows, **options: parse(render("Title", [("Section", rows)], **options))


def columns(parsed):
    """(class, upper line, lower line) of the alignment."""
    spans = [element for element in parsed.elements if element[0] == "span"]
    first = next(i for i, element in enumerate(spans) if element[1].get("class") == "p l")
    found = []
    for i in range(first + 3, len(spans) - 2):
        name = spans[i][1].get("class", "")
        if name.split()[:1] == ["p"]:
            found.append((name, *("".join(spans[j][2]) for j in (i + 1, i + 2))))
    return found


def test_alignment_has_signs_on_two_lines(page):
    assert columns(page(row("a b c", "a x c d"))) == [
        ("p", "a", "a"),
        ("p s", "b", "≠x"),
        ("p", "c", "c"),
        ("p i", "+", "d"),
    ]
    assert columns(page(row("a b", "b"))) == [("p d", "a", "−"), ("p", "b", "b")]
    assert columns(page(row("a b", ""))) == [("p d", "a", "−"), ("p d", "b", "−")]


def test_blanks_stand_around_words_only(page):
    text = page(row("今 天 go on 好", "今 天 go on 好")).find("div", class_="pairs")[0]
    assert text == "refhyp 今今天天 gogo onon 好好"


def test_figures_and_marks(page):
    (found,) = page(row("a", "b", rank=7, counts=[0, 3, 0, 0])).find("article")  # the row's counts, not the text's
    assert "7. u" in found and "100.00 % · 3 errors" in found
    text = page(row("a b c", "a x", hallucinations=("paper", "loop"), confidence=0.256), row("", "x")).find("article")
    text = [part.replace("\n", " ") for part in text]
    assert "1. u test" in text[0] and "66.67 %" in text[0] and "2 errors in 3 reference tokens" in text[0]
    assert "(1\u00a0≠, 1\u00a0−, 0\u00a0+) · confidence 0.26 paper loop" in text[0]
    assert "2. u" in text[1] and "∞ %" in text[1] and "1 error in 0 reference tokens" in text[1]
    assert "reference: (empty)" in text[1] and "hypothesis: x" in text[1] and "confidence" not in text[1]


def test_everything_is_escaped(parse):
    names = dict(id=EVIL, set=EVIL, hallucinations=(EVIL,), audio=EVIL + ".wav")
    evil = row(EVIL, EVIL + " b", **names)
    text = render(EVIL, [(EVIL, [evil])], [EVIL])
    parsed = parse(text)
    assert not parsed.find("script") and "<script" not in text
    assert parsed.find("title") == parsed.find("h1") == parsed.find("h2") == [EVIL]
    assert columns(parsed)[0] == ("p", EVIL, EVIL) and parsed.find("p")[0] == EVIL
    assert EVIL in parsed.find("h3")[0] and parsed.find("span", class_="mark") == [EVIL]
    assert parsed.attributes("audio")[0]["src"] == "%3Cscript%3Ealert%28%221%22%29%3C/script%3E.wav"


@pytest.mark.parametrize(
    "entry, folder, source",
    [
        ("data/a b#1.wav", None, "data/a%20b%231.wav"),
        ("data/a.flac", "exp/decode", "../../data/a.flac"),
        ("/corpus/a.mp3", "/corpus/pages", "../a.mp3"),
        ("javascript:x.wav", None, "javascript%3Ax.wav"),
        ("data/talk.opus#t=1.500,3.000", "exp", "../data/talk.opus#t=1.500,3.000"),
        ("data/shard.tar:1536", "exp", None),
        ("sox a.wav -t wav - |", "exp", None),
        ("data/a.sph", "exp", None),
    ],
)
def test_audio(page, entry, folder, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parsed = page(row("a", "b", audio=entry), folder=folder)
    expected = [] if source is None else [{"controls": None, "preload": "none", "aria-label": entry, "src": source}]
    assert parsed.attributes("audio") == expected
    assert f"audio: {entry}" in parsed.find("div", class_="soft")
    assert not page(row("a", "b"), folder=folder).attributes("audio")


def test_the_page_needs_nothing_else(parse):
    text = render("Title", [("Full", [row("a", "b")]), ("Bare", [])], ["a note"])
    assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
    parsed = parse(text)
    assert {tag for tag, _, _ in parsed.elements}.isdisjoint({"script", "link", "img", "iframe"})
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in parsed.attributes("meta")
    assert parsed.find("section")[1].split() == ["Bare", "None."] and "a note" in parsed.find("p")
    assert "prefers-color-scheme: dark" in text and "@media print" in text
