"""Utterances with their sound inside the page, chosen by rules."""

import base64
import io
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import soundfile

from espnet_llmasr import audio
from espnet_llmasr.files import read_json_lines, read_scp, recipe_path
from espnet_llmasr.report.files import made_by
from espnet_llmasr.report.scores import SCORER, decodings, main_route, read_scores
from espnet_llmasr.scoring.html import view
from espnet_llmasr.scoring.results import page_row

RATE = 16000  # Hz
LONGEST_S = 30.0
AUDIO_BYTES = 2_500_000  # of all players; a third more as text in the page

Row = Dict


class Group(NamedTuple):
    """A title, the rule in words, whether an utterance belongs to the group, and its place in it."""

    title: str
    rule: str
    belongs: Callable[[Row], bool]
    order: Callable[[Row], Tuple]


def _errors(row: Row) -> Tuple:
    return -row["counts"].errors, -row["rate"]


def _confidence(row: Row) -> Tuple:
    return (2.0 if row["confidence"] is None else row["confidence"],)


def _distance(row: Row) -> Tuple:
    return abs(row["rate"] - row["set_rate"]), -row["counts"].reference_length


def _length(row: Row) -> Tuple:
    return (-row["counts"].correct,)


GROUPS = (
    Group("Hallucinated", "by any rule, most errors first", lambda row: row["rules"], _errors),
    Group("Flagged by the guard", "lowest confidence first", lambda row: row["flagged"], _confidence),
    Group("Worst", "most errors first", lambda row: row["counts"].errors, _errors),
    Group("Typical", "nearest to the error rate of its set", lambda row: row["reference"], _distance),
    Group("Best", "the longest without an error", lambda row: not row["counts"].errors, _length),
)


def examples(expdir: Path, each: int) -> List[Dict]:
    """`each` utterances of each group, from the sets in turn; no utterance appears twice."""
    folder = next(iter(decodings(expdir)), None)
    if folder is None:
        return [{"markdown": "No */decode/scores.json: stage 11 decodes and stage 12 scores."}]
    with made_by(folder / "*" / "alignments.jsonl", SCORER):
        sets, player, shown, blocks = _read_sets(folder), Player(expdir), set(), [{"legend": True}]
        for group in GROUPS:
            ranked = [sorted(filter(group.belongs, rows), key=group.order) for rows in sets]
            fresh = [row for row in in_turns(ranked) if (row["set"], row["id"]) not in shown][:each]
            shown |= {(row["set"], row["id"]) for row in fresh}
            total = sum(map(len, ranked))
            rule = f"{group.rule}; {len(fresh)} of {total}" if total else "None."
            articles = [view(row, player(row["audio"])) for row in fresh]
            blocks.append({"heading": group.title, "markdown": rule, "articles": articles})
    return blocks


def in_turns(ranked: Sequence[Sequence[Row]]) -> Iterator[Row]:
    """The first of every list, then the second of every list, and so on."""
    for place in range(max(map(len, ranked), default=0)):
        yield from (rows[place] for rows in ranked if place < len(rows))


def _read_sets(folder: Path) -> List[List[Row]]:
    """The utterances of every scored set."""
    with made_by(folder / "scores.json", SCORER):
        rates = {name: main_route(result)["mer"]["rate"] or 0.0 for name, result in read_scores(folder)["sets"].items()}
    return [_read_set(folder / name, rate) for name, rate in rates.items()]


def _read_set(folder: Path, rate: float) -> List[Row]:
    flagged, rows = read_scp(folder / "flagged") if (folder / "flagged").is_file() else {}, []
    for row in map(page_row, read_json_lines(folder / "alignments.jsonl")):
        rules, reason = row["hallucinations"], flagged.get(row["id"])
        marks = [f"hallucinated: {name}" for name in rules] + [f"flagged: {reason}"] * (reason is not None)
        rows.append({**row, "rules": rules, "hallucinations": marks, "flagged": reason is not None, "set_rate": rate})
    return rows


class Player:
    """Entry of wav.scp -> the sound as text for the page, until AUDIO_BYTES are used up; then only the entry."""

    def __init__(self, expdir: Path):
        self.expdir, self.left = expdir, AUDIO_BYTES

    def __call__(self, entry: Optional[str]) -> Dict[str, Optional[str]]:
        if entry is None:
            return {"src": None, "note": "not known, the set has no wav.scp"}
        try:
            samples = audio.read(self._path(entry), RATE)
        except audio.AudioError as error:
            return {"src": None, "note": f"{error.reason}, {entry}"}
        content, kind = encode(samples[: int(LONGEST_S * RATE)])
        if len(content) > self.left:
            return {"src": None, "note": f"left out, the page would grow too large: {entry}"}
        self.left -= len(content)
        seconds = len(samples) / RATE
        length = f"{seconds:.1f} s" if seconds <= LONGEST_S else f"the first {LONGEST_S:g} of {seconds:.1f} s"
        source = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
        return {"src": source, "preload": "metadata", "note": f"{length}, {entry}"}

    def _path(self, entry: str) -> str:
        path = audio.Entry.parse(entry).path
        return f"{recipe_path(self.expdir, path)}{entry.removeprefix(path)}"


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
