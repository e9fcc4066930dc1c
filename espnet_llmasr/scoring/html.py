"""A page of utterances to look at and listen to: one HTML file that needs no network and no script.

Every text on it comes from elsewhere (a hypothesis may hold "<script>"), so everything is escaped.
"""

import os
from html import escape
from pathlib import Path
from typing import Optional, Sequence, Tuple
from urllib.parse import quote

from espnet_llmasr.audio import Entry
from espnet_llmasr.files import PathLike
from espnet_llmasr.metrics.error_rate import Counts, Pair
from espnet_llmasr.text.normalize import is_han

PLAYABLE = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm")  # containers that browsers play
CLASSES = {"correct": "p", "substitution": "p s", "deletion": "p d", "insertion": "p i"}
SIGNS = {"substitution": "≠", "deletion": "−", "insertion": "+"}
LEGEND = "Upper line: reference. Lower line: hypothesis. " + "".join(
    f'<span class="{CLASSES[name]}"><span><b>{sign}</b> {name}</span></span> ' for name, sign in SIGNS.items()
)
POLICY = "script-src 'none'; object-src 'none'"

STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --soft: #595959; --line: #d0d0d0; --paper: #fff; --card: #f7f7f5;
  --s: #8a4b00; --s-back: #ffe9c7; --d: #a3122a; --d-back: #ffdfe2; --i: #0b5394; --i-back: #d9ebff; }
@media screen and (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --soft: #a8a8a8; --line: #444;
  --paper: #161616; --card: #202020; --s: #ffc56e; --s-back: #46300a; --d: #ff9aa5; --d-back: #4a1119;
  --i: #93c8ff; --i-back: #0d2f52; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--text);
  font: 1rem/1.45 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; margin: .8rem 0;
  padding: .6rem .8rem; }
h3, h4 { font-size: 1rem; margin: 0 0 .2rem; } h3 small, h4 small, .soft { color: var(--soft); font-weight: normal; }
.mark { border: 1px solid var(--d); border-radius: .3rem; color: var(--d); padding: 0 .35rem; }
audio { display: block; width: 100%; max-width: 30rem; margin: .4rem 0; }
.soft { font-size: .85rem; } .text { unicode-bidi: isolate; white-space: pre-wrap; }
.pairs { margin: .5rem 0; font-size: 1.1rem; }
.p { display: inline-grid; vertical-align: top; max-width: 100%; margin: .1rem 0; border-radius: .2rem; }
.p > span { min-height: 1.45em; unicode-bidi: isolate; }
.p b { font-weight: bold; } .l { color: var(--soft); font-size: .85em; line-height: 1.706; }
.s { color: var(--s); background: var(--s-back); border-bottom: 2px dotted; }
.d { color: var(--d); background: var(--d-back); border-bottom: 2px dashed; }
.i { color: var(--i); background: var(--i-back); border-bottom: 2px solid; }
@media print { body { max-width: none; padding: 0; } article { break-inside: avoid; } audio { display: none; }
  .s, .d, .i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def render(
    title: str,
    sections: Sequence[Tuple[str, Sequence[dict]]],
    notes: Sequence[str] = (),
    folder: Optional[PathLike] = None,
) -> str:
    """The page as text: `notes` are paragraphs at its head, a section is a heading and its rows, the worst first.

    Keys of a row: `id`, `set`, `reference` and `hypothesis` (the texts as they were), `alignment` (as by
    `error_rate.align`), `counts` (as `Counts`), `rate`, `hallucinations` (names of the definitions met), `audio` (an
    entry of wav.scp or None), `confidence` (or None). With `folder`, where the page will lie, paths of audio are made
    relative to it; without, they are left as they are. A `rank` replaces the position in the section.
    """
    paragraphs = "".join(f"<p>{escape(note)}</p>\n" for note in notes)
    body = "".join(_section(heading, rows, folder) for heading, rows in sections)
    return document(title, f"{paragraphs}<p>{LEGEND}</p>\n{body}")


def document(title: str, body: str, style: str = STYLE, policy: str = POLICY) -> str:
    """A whole page: `body` is HTML, `policy` its Content-Security-Policy (no double quotes in it)."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f"{body}</body>\n</html>\n"
    )


def _section(heading: str, rows: Sequence[dict], folder: Optional[PathLike]) -> str:
    articles = "".join(article(rank, row, _audio(row["audio"], folder)) for rank, row in enumerate(rows, 1))
    return f"<section>\n<h2>{escape(heading)}</h2>\n{articles or '<p>None.</p>'}\n</section>\n"


def article(rank: int, row: dict, player: str, level: int = 3) -> str:
    """One utterance (a row as in `render`) under a heading of that level; `player` is HTML."""
    counts = Counts(*row["counts"])
    errors = (
        f"{counts.errors} {'error' if counts.errors == 1 else 'errors'} in {counts.reference_length} reference tokens"
    )
    edits = f"{counts.substitutions}\u00a0≠, {counts.deletions}\u00a0−, {counts.insertions}\u00a0+"
    marks = "".join(f' <span class="mark">{escape(name)}</span>' for name in row["hallucinations"])
    confidence = "" if row["confidence"] is None else f" · confidence {row['confidence']:.2f}"
    return (
        f"<article>\n<h{level}>{row.get('rank', rank)}. {escape(row['id'])} <small>{escape(row['set'])}</small>"
        f"</h{level}>\n<div>{_percent(row['rate'])} · {errors} ({edits}){confidence}{marks}</div>\n{player}"
        f'<div class="pairs">{_pairs(row["alignment"])}</div>\n'
        f"{_text('reference', row['reference'])}{_text('hypothesis', row['hypothesis'])}</article>\n"
    )


def _percent(rate: float) -> str:
    return "∞ %" if rate == float("inf") else f"{100 * rate:.2f} %"


def _text(name: str, text: str) -> str:
    return f'<div class="soft">{name}: <span class="text">{escape(text) or "(empty)"}</span></div>\n'


def _pairs(alignment: Sequence[Pair]) -> str:
    """Columns of two lines; a blank between two of them where one holds a word."""
    out, after_word = ['<span class="p l"><span>ref</span><span>hyp</span></span>'], True
    for operation, reference, hypothesis in alignment:
        word = not all(is_han(token) for token in (reference, hypothesis) if token is not None)
        out += [" " if word or after_word else "", _column(operation, reference, hypothesis)]
        after_word = word
    return "".join(out)


def _column(operation: str, reference: Optional[str], hypothesis: Optional[str]) -> str:
    """The sign stands where a token is missing, or before the wrong one."""
    upper, lower = escape(reference or ""), escape(hypothesis or "")
    title = ""
    if operation in SIGNS:
        sign, title = f"<b>{SIGNS[operation]}</b>", f' title="{operation}"'
        upper, lower = (sign + upper, lower) if operation == "insertion" else (upper, sign + lower)
    return f'<span class="{CLASSES[operation]}"{title}><span>{upper}</span><span>{lower}</span></span>'


def _audio(entry: Optional[str], folder: Optional[PathLike]) -> str:
    """A player for a file or a piece of one (browsers know "#t=start,end"), and the entry as text for all."""
    if entry is None:
        return ""
    source, player = Entry.parse(entry), ""
    if source.offset is None and source.path.lower().endswith(PLAYABLE):
        piece = "" if source.end is None else f"#t={source.start:.3f},{source.end:.3f}"
        link = escape(quote(_relative(source.path, folder)) + piece)
        player = f'<audio controls preload="none" src="{link}"></audio>\n'
    return f'{player}<div class="soft">audio: <span class="text">{escape(entry)}</span></div>\n'


def _relative(path: str, folder: Optional[PathLike]) -> str:
    return path if folder is None else Path(os.path.relpath(path, folder)).as_posix()
