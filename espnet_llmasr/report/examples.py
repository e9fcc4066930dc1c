"""Utterances to listen to: chosen by rules, with their sound inside the page."""

import base64
import io
from html import escape
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import soundfile

from espnet_llmasr import audio
from espnet_llmasr.scoring.html import LEGEND, article
from espnet_llmasr.report.files import beside, json_lines, made_by
from espnet_llmasr.report.html import note
from espnet_llmasr.report.scores import decodings, main_route, read_scores
from espnet_llmasr.scoring.results import page_row
from espnet_llmasr.files import read_scp

RATE = 16000  # Hz
LONGEST_S = 30.0
AUDIO_BYTES = 2_500_000  # of all players; a third more as text in the page

Row = Dict
Group = Tuple[str, str, Callable[[Row], bool], Callable[[Row], Tuple]]
GROUPS: Sequence[Group] = (
    ("Hallucinated", "by any rule, most errors first", lambda row: row["rules"], lambda row: _badness(row)),
    ("Flagged by the guard", "lowest confidence first", lambda row: row["flagged"], lambda row: _confidence(row)),
    ("Worst", "most errors first", lambda row: row["counts"].errors, lambda row: _badness(row)),
    ("Typical", "nearest to the error rate of its set", lambda row: row["reference"], lambda row: _distance(row)),
    (
        "Best",
        "the longest without an error",
        lambda row: not row["counts"].errors,
        lambda row: (-row["counts"].correct,),
    ),
)


def _badness(row: Row) -> Tuple:
    return -row["counts"].errors, -row["rate"]


def _confidence(row: Row) -> Tuple:
    return (2.0 if row["confidence"] is None else row["confidence"],)


def _distance(row: Row) -> Tuple:
    return abs(row["rate"] - row["set_rate"]), -row["counts"].reference_length


def examples(expdir: Path, each: int) -> str:
    """`each` utterances of each group, from the sets in turn; none stands there twice."""
    folder = next(iter(decodings(expdir)), None)
    if folder is None:
        return note("No */decode/scores.json: stage 11 decodes and stage 12 scores.")
    with made_by(folder / "*" / "alignments.jsonl", "stage 12"):
        sets = _read_sets(folder)
        if not any(sets):
            return note(f"No {folder.parent.name}/decode/*/alignments.jsonl: stage 12 writes it.")
        return _groups(sets, Player(expdir), each)


def _groups(sets: Sequence[Sequence[Row]], player: "Player", each: int) -> str:
    parts, shown = [f"<p>{LEGEND}</p>\n"], set()
    for title, rule, belongs, order in GROUPS:
        ranked = [sorted(filter(belongs, rows), key=order) for rows in sets]
        total = sum(map(len, ranked))
        chosen = [row for row in in_turns(ranked) if (row["set"], row["id"]) not in shown][:each]
        shown |= {(row["set"], row["id"]) for row in chosen}
        articles = "".join(article(place, row, player(row["audio"]), level=4) for place, row in enumerate(chosen, 1))
        parts.append(f"<h3>{title}</h3>\n{note(f'{rule}; {len(chosen)} of {total}' if total else 'None.')}{articles}")
    return "".join(parts)


def in_turns(ranked: Sequence[Sequence[Row]]) -> Iterator[Row]:
    """The first of every list, then the second of every list, and so on."""
    for place in range(max(map(len, ranked), default=0)):
        yield from (rows[place] for rows in ranked if place < len(rows))


def _read_sets(folder: Path) -> List[List[Row]]:
    """The utterances of every scored set, ready for `_page.article`."""
    with made_by(folder / "scores.json", "stage 12"):
        rates = {name: main_route(result)["mer"]["rate"] or 0.0 for name, result in read_scores(folder)["sets"].items()}
    return [_read_set(folder / name, rate) for name, rate in rates.items()]


def _read_set(folder: Path, rate: float) -> List[Row]:
    flagged = read_scp(folder / "flagged") if (folder / "flagged").is_file() else {}
    rows = [page_row(row) for row in json_lines(folder / "alignments.jsonl")]
    return [_marked(row, flagged.get(row["id"]), rate) for row in rows]


def _marked(row: Row, reason: Optional[str], rate: float) -> Row:
    marks = [f"hallucinated: {name}" for name in row["hallucinations"]]
    marks += [] if reason is None else [f"flagged: {reason}"]
    return {
        **row,
        "rules": row["hallucinations"],
        "hallucinations": marks,
        "flagged": reason is not None,
        "set_rate": rate,
    }


class Player:
    """Entry of wav.scp -> a player with the sound inside, until AUDIO_BYTES are used up; then only the entry."""

    def __init__(self, expdir: Path):
        self.expdir, self.left = expdir, AUDIO_BYTES

    def __call__(self, entry: Optional[str]) -> str:
        if entry is None:
            return note("audio: not known, the set has no wav.scp")
        try:
            samples = audio.read(self._where(entry), RATE)
        except audio.AudioError as error:
            return note(f"audio: {error.reason}, {entry}")
        content, kind = encode(samples[: int(LONGEST_S * RATE)])
        if len(content) > self.left:
            return note(f"audio left out, the page would grow too large: {entry}")
        self.left -= len(content)
        length = len(samples) / RATE
        said = f"{length:.1f} s" if length <= LONGEST_S else f"the first {LONGEST_S:g} of {length:.1f} s"
        source = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
        return (
            f'<audio controls preload="metadata" aria-label="{escape(entry)}" src="{source}"></audio>\n'
            f"{note(f'{said}, {entry}')}"
        )

    def _where(self, entry: str) -> str:
        place = audio.Entry.parse(entry)
        found = str(beside(self.expdir, place.path))
        return f"{found}{entry.removeprefix(place.path)}"


def encode(samples: np.ndarray) -> Tuple[bytes, str]:
    """(N,) at RATE -> (file, MIME type): MP3, which every phone plays; FLAC where libsndfile has no MP3.

    Not Ogg: older phones do not play it, and its serial number would make every page another one.
    """
    format_, subtype, kind = ("MP3", "MPEG_LAYER_III", "audio/mpeg")
    if format_ not in soundfile.available_formats():
        format_, subtype, kind = ("FLAC", "PCM_16", "audio/flac")
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=format_, subtype=subtype)
    return file.getvalue(), kind
