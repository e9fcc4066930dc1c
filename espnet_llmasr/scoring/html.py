"""A page of utterances with their alignments and audio: one HTML file that needs no network and no script.

Every text on it comes from elsewhere (a hypothesis may hold `<script>`), so the templates escape everything.
"""

import os
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Tuple
from urllib.parse import quote

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined

from espnet_llmasr.audio import Entry
from espnet_llmasr.files import PathLike
from espnet_llmasr.metrics.error_rate import Counts, Pair
from espnet_llmasr.text.normalize import is_han

PLAYABLE = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm")  # containers that browsers play
TEMPLATES = PackageLoader("espnet_llmasr.scoring")


def environment(loader: BaseLoader) -> Environment:
    """Templates that escape every value and refuse unknown names."""
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(
    title: str,
    sections: Sequence[Tuple[str, Sequence[dict]]],
    notes: Sequence[str] = (),
    folder: Optional[PathLike] = None,
) -> str:
    """The page as text: `notes` are paragraphs at its head, a section is a heading and its rows, the worst first.

    Rows are those of `scoring.results.page_row`; a `rank` in a row replaces its position in the section. With `folder`,
    the place of the page, paths of audio are made relative to it; without, they stay as they are.
    """
    views = [(heading, [view(row, link(row["audio"], folder)) for row in rows]) for heading, rows in sections]
    template = environment(TEMPLATES).get_template("utterances.html.j2")
    return template.render(title=title, notes=notes, sections=views)


def view(row: dict, player: Dict[str, Optional[str]]) -> dict:
    """An utterance as templates/utterance.html.j2 shows it.

    Keys of a row: `id`, `set`, `reference` and `hypothesis` (the texts as they were), `alignment` (of
    `error_rate.align`), `counts` (as `Counts`), `rate`, `hallucinations` (names of the definitions met), `audio` (an
    entry of wav.scp or None), `confidence` (or None). `player`: `src` and `preload` of the sound, and a `note`.
    """
    percent = "∞ %" if row["rate"] == float("inf") else f"{100 * row['rate']:.2f} %"
    shown = {"counts": Counts(*row["counts"]), "percent": percent, "columns": list(columns(row["alignment"]))}
    return {"rank": None, **row, **shown, "player": player}


def columns(alignment: Sequence[Pair]) -> Iterator[Tuple[str, Optional[str], Optional[str], bool]]:
    """(operation, reference token, hypothesis token, whether a blank comes before): none between Han characters."""
    after_word = True
    for operation, reference, hypothesis in alignment:
        word = not all(is_han(token) for token in (reference, hypothesis) if token is not None)
        yield operation, reference, hypothesis, word or after_word
        after_word = word


def link(entry: Optional[str], folder: Optional[PathLike]) -> Dict[str, Optional[str]]:
    """A player for a file or a piece of a file (browsers know "#t=start,end"); the entry as text for all."""
    if entry is None:
        return {"src": None, "note": None}
    source = Entry.parse(entry)
    if source.offset is not None or not source.path.lower().endswith(PLAYABLE):
        return {"src": None, "note": entry}
    path = source.path if folder is None else Path(os.path.relpath(source.path, folder)).as_posix()
    return {"src": quote(path) + source.fragment, "preload": "none", "note": entry}
