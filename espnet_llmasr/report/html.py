"""The parts of which the report is built: sections, tables in boxes that scroll, notes. Everything is escaped."""

import math
from datetime import timedelta
from html import escape
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from espnet_llmasr.scoring import html as _page
from espnet_llmasr.scoring.markdown import percent

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)
STYLE = (
    _page.STYLE
    + """:root { --c1: #0b5394; --c2: #a34700; --c3: #a3122a; --c4: #2f6b1f; }
@media screen and (prefers-color-scheme: dark) {
  :root { --c1: #93c8ff; --c2: #ffb869; --c3: #ff9aa5; --c4: #a5d68a; } }
a { color: var(--i); } nav a { display: inline-block; padding: .3rem .6rem .3rem 0; }
section { border-top: 1px solid var(--line); margin-top: 1.5rem; } section h2 { margin-top: 1rem; }
section h3 { margin-top: 1.2rem; }
.box { overflow-x: auto; margin: .6rem 0; } .box:focus-visible { outline: 2px solid var(--i); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.name { color: var(--soft); font-size: .9rem; margin: .8rem 0 .2rem; } .box { margin-top: 0; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem .25rem 0; text-align: right; white-space: nowrap;
  unicode-bidi: isolate; }
thead th { vertical-align: bottom; }
th:first-child, .t { text-align: left; }
tbody th { font-weight: normal; }
tbody th span { display: inline-block; width: max-content; max-width: 11rem; white-space: normal;
  overflow-wrap: break-word; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem;
  margin: .8rem 0; }
.big { grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); }
dl > div { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .7rem;
  min-width: 0; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; } .big dd { font-size: 1.15rem; font-weight: bold; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); gap: .8rem; }
figure { margin: 0; min-width: 0; } figcaption { font-size: .9rem; }
figure svg { width: 100%; height: auto; max-width: 34rem; } svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure img { width: 100%; min-width: 36rem; height: auto; background: #fff; padding: .3rem; }
summary { cursor: pointer; padding: .3rem 0; } li { margin: .2rem 0; }
"""
)

Cells = Sequence[str]


def section(ident: str, title: str, body: str) -> str:
    """`ident` is the anchor of the page's list of contents; `body` is HTML."""
    return f'<section id="{ident}">\n<h2>{escape(title)}</h2>\n{body}</section>\n'


def note(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>\n'


def facts(pairs: Iterable[Tuple[str, str]], kind: str = "") -> str:
    """Names and values as small cards; `kind` is a class of the style sheet."""
    cards = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in pairs)
    return f'<dl class="{kind}">\n{cards}</dl>\n'


def table(name: str, head: Cells, rows: Iterable[Cells], text_columns: Sequence[int] = ()) -> str:
    """A table with its name above, in a box of its own that scrolls; the first column names the row.

    `text_columns` are those, besides the first, that hold words: they stand at the left.
    """
    body = "".join(_row(row, text_columns) for row in rows)
    columns = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in _kinds(head, text_columns))
    inner = f"<table>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"
    return f'<p class="name">{escape(name)}</p>\n{box(name, inner)}'


def box(name: str, inner: str) -> str:
    """What may be wider than a phone, and then scrolls by itself."""
    return f'<div class="box" tabindex="0" role="region" aria-label="{escape(name)}">\n{inner}\n</div>\n'


def _row(cells: Cells, text_columns: Sequence[int]) -> str:
    (_, first), *others = _kinds(cells, text_columns)
    marked = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in others)
    return f'<tr><th scope="row"><span>{escape(first)}</span></th>{marked}</tr>\n'


def _kinds(cells: Cells, text_columns: Sequence[int]) -> Iterable[Tuple[str, str]]:
    """The class of each cell, as an attribute, and its text."""
    return [(' class="t"' if place in text_columns else "", cell) for place, cell in enumerate(cells)]


def details(summary: str, body: str) -> str:
    return f"<details>\n<summary>{escape(summary)}</summary>\n{body}</details>\n"


def definitions(items: Iterable[Tuple[str, str]]) -> str:
    """Terms with what they mean, folded away."""
    listed = "".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>\n" for name, text in items if text)
    return details("What the columns mean", f"<ul>\n{listed}</ul>\n")


def markdown(name: str, text: str) -> str:
    """The tables and paragraphs of a Markdown page of ours as HTML; tables are called `name`."""
    parts, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().replace("\\|", "|") for cell in _cells(line)])
            continue
        if rows:
            parts.append(table(name, rows[0], rows[2:]))
            rows = []
        if line.strip():
            parts.append(note(line.removeprefix("- ")))
    return "".join(parts)


def _cells(line: str) -> List[str]:
    """Between the bars of a line, where `\\|` is no bar."""
    inner = line.strip().removeprefix("|").removesuffix("|").replace("\\|", "\0")
    return [cell.replace("\0", "|") for cell in inner.split("|")]


def rate_cell(found: Optional[dict], interval: Optional[Sequence[Optional[float]]] = None) -> str:
    """ "7.12 (4.72-10.21)" of {"rate", "interval"}, in percent; "-" where there is no rate."""
    if not found or found["rate"] is None:
        return "-"
    interval = interval or found.get("interval") or (None, None)
    known = None not in interval
    return percent(found["rate"]) + (f" ({percent(interval[0])}-{percent(interval[1])})" if known else "")


def duration(seconds: float) -> str:
    """Seconds as "1:02:03", with days in front."""
    return str(timedelta(seconds=round(seconds)))


def number(value: Optional[float], form: Callable[[float], str] = "{:.4f}".format) -> str:
    """A number in that form, "-" where there is none."""
    return "-" if value is None or not math.isfinite(value) else form(value)
