"""Checks data directories: every line of every table, the tables against each other, and some of the audio.

Each problem is one line with file and line number. Tables are read as streams, so memory does not grow with them.
"""

import heapq
import math
import random
import re
import tempfile
from collections import Counter
from itertools import groupby, repeat, zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Collection, Dict, Iterator, List, Optional, Tuple

from espnet_llmasr import audio
from espnet_llmasr.data.kaldi import BOM, TABLES, audio_table, piece_of, read_complete
from espnet_llmasr.data.utterance import LONGEST_S, Utterance
from espnet_llmasr.files import printable, sorted_file

SHOWN = 20
TOLERANCE_S = 0.001 + 1e-6
COMPRESSED_TOLERANCE_S = 0.1 + 1e-6  # manifests do not count the padding of mp3
_LANGUAGE = re.compile(rb"(?!zh-yue\Z)[a-z]{2,3}(-[a-z][a-z_-]*)?")
Ids = Iterator[Tuple[bytes, int]]
"""(id, line number) in byte order."""


class Report:
    """Prints problems and counts them."""

    def __init__(self):
        self.kinds: Counter = Counter()

    @property
    def problems(self) -> int:
        return self.kinds.total()

    def add(self, where: object, kind: str, what: str = "") -> None:
        """`where` is FILE or FILE:LINE; problems of a `kind` are shown SHOWN times, `what` tells them apart."""
        self.kinds[kind] += 1
        if self.kinds[kind] <= SHOWN:
            print(printable(f"{where}: {kind}{what and ': '}{what}"))

    def close(self) -> None:
        for kind, count in self.kinds.items():
            if count > SHOWN:
                print(f"... {count - SHOWN} more: {kind}")


def wrong_value(table: str, value: bytes) -> str:
    """The fault of a value by itself; empty if there is none."""
    if table == "utt2lang" and value and not _LANGUAGE.fullmatch(value):
        return (
            "the language must be zh, en, zh-en, yue (not zh-yue), zh-DIALECT, or for a table of pronunciations its "
            "code (es)"
        )
    if table == "utt2spk" and b" " in value:
        return "a speaker holds blanks"
    if table == "utt2dur":
        try:
            return "" if 0 < float(value) < LONGEST_S else "no positive number of seconds"
        except ValueError:
            return "no positive number of seconds"
    if table == "segments":
        fields = value.decode(errors="replace").split(" ")[1:]
        if len(fields) not in (2, 3):
            return "expected 'id recording start end'"
        return "" if piece_of(fields) else "expected 0 <= start < end"
    return ""


def wrong_form(table: str, key: bytes, value: bytes, number: int) -> str:
    """The fault in the form of a line; empty if there is none. A language may be left out: the script then tells it."""
    if number == 1 and key.startswith(BOM):
        return "a byte order mark"
    if value.endswith(b"\r") or key.endswith(b"\r"):
        return "the line ends in \\r\\n"
    if not key or b"\t" in key:
        return "expected an id, one blank and a value"
    if not value.strip() and table != "utt2lang":
        return "no value after the id"
    try:
        key.decode(), value.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return ""


def check_table(path: Path, report: Report) -> None:
    """The form of each line, the order of the ids, and each value by itself."""
    number, line, previous = 0, b"\n", b""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            where, (key, _, value) = f"{path}:{number}", line.rstrip(b"\n").partition(b" ")
            form = wrong_form(path.name, key, value, number)
            if form:
                report.add(where, form)
            if key <= previous and number > 1:
                kind = "this id occurs twice" if key == previous else "the order is not that of LC_ALL=C sort"
                report.add(where, kind, key.decode(errors="replace"))
            previous = key
            fault = not form and wrong_value(path.name, value)
            if fault:
                report.add(where, fault, value.decode(errors="replace"))
    if not number:
        report.add(path, "the table is empty")
    if not line.endswith(b"\n"):
        report.add(f"{path}:{number}", "the last line has no end")


def check_ids(streams: Dict[Path, Ids], report: Report, complete: Optional[Collection[Path]] = None) -> None:
    """Every id of a stream must be in all of the `complete` ones, which are all streams if not given."""
    named = (zip(repeat(path), stream) for path, stream in streams.items())
    for key, uses in groupby(heapq.merge(*named, key=lambda row: row[1][0]), key=lambda row: row[1][0]):
        lines = {path: line for path, (_, line) in uses}
        path, line = next(iter(lines.items()))
        for other in complete or streams:
            if other not in lines:
                report.add(f"{path}:{line}", f"this id is not in {other.name}", key.decode())


def ids(path: Path) -> Ids:
    """The ids of a table."""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            yield line.partition(b" ")[0].rstrip(b"\n"), number


class Values:
    """Checks that need several tables at once, an utterance at a time; keeps the totals and a random sample."""

    def __init__(self, directory: Path, report: Report, samples: int, seed: int):
        self.directory, self.report, self.samples = directory, report, samples
        self.seconds, self.speakers, self.utts = Counter(), 0, 0
        self.sample: List[Utterance] = []
        self._random, self._last_speaker = random.Random(seed), ""

    def add(self, utterance: Utterance) -> None:
        self.utts += 1
        self.seconds[utterance.lang] += utterance.duration
        if utterance.speaker < self._last_speaker:
            kind = "sorted by utterance, the speakers must be sorted, too"
            self.report.add(f"{self.directory / 'utt2spk'}:{self.utts}", kind, utterance.id)
        self.speakers += utterance.speaker != self._last_speaker
        self._last_speaker = utterance.speaker
        if utterance.recording:
            piece = audio.Entry.parse(utterance.audio)
            length = utterance.duration if piece.end == math.inf else piece.end - piece.start
            if abs(length - utterance.duration) > TOLERANCE_S:
                what = f"{utterance.id} {utterance.duration} and {length:.3f}"
                self.report.add(f"{self.directory / 'utt2dur'}:{self.utts}", "not the length of its segment", what)
        at = self._random.randrange(self.utts)  # each utterance is in the sample with the same probability
        if len(self.sample) < self.samples:
            self.sample.append(utterance)
        elif at < self.samples:
            self.sample[at] = utterance

    def summary(self) -> str:
        """ "3 utterances, 0.01 h, 2 speakers; en 0.01 h"."""
        languages = ", ".join(f"{name} {seconds / 3600:.2f} h" for name, seconds in sorted(self.seconds.items()))
        hours = sum(self.seconds.values()) / 3600
        return f"{self.utts} utterances, {hours:.2f} h, {self.speakers} speakers; {languages}"


def check_speakers(directory: Path, values: Values) -> None:
    """The tables against each other, which all have the same ids, and spk2utt against utt2spk."""
    spk2utt, agree = directory / "spk2utt", True
    for utterance, row in zip_longest(read_complete(directory), by_speaker(spk2utt)):
        if utterance:
            values.add(utterance)
        if agree and (row and row[:2]) != (utterance and (utterance.id, utterance.speaker)):
            agree = False
            which = f"from {utterance.id} on" if utterance else f"which lacks {row[0]}"
            place = f"{spk2utt}:{row[2]}" if row else spk2utt
            values.report.add(place, f"not the inverse of utt2spk, {which}")


def by_speaker(spk2utt: Path) -> Iterator[Tuple[str, str, int]]:
    """(utterance, speaker, line number)"""
    with open(spk2utt, encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            speaker, *utterances = line.split()
            yield from ((utterance, speaker, number) for utterance in utterances)


def check_recordings(directory: Path, report: Report) -> None:
    """Segments and wav.scp must name the same recordings (as in Kaldi)."""
    segments, wavs = directory / "segments", directory / "wav.scp"
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder, "recordings")
        with sorted_file(spool) as add, open(segments, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                add(f"{line.split()[1]} {number:012}\n")
        with open(spool, "rb") as uses:
            by_name = groupby(map(bytes.split, uses), key=itemgetter(0))
            first_uses = ((name, int(next(rows)[1])) for name, rows in by_name)
            check_ids({segments: first_uses, wavs: ids(wavs)}, report)


def check_audio(directory: Path, sample: List[Utterance], report: Report) -> None:
    """Decodes the utterances and compares lengths."""
    for utterance in sorted(sample, key=lambda utterance: utterance.id):
        place = f"{audio_table(directory)} {utterance.id}"
        try:
            header = audio.info(utterance.audio)
            audio.refuse_more_than_stated(utterance.audio)
            seconds = len(audio.read(utterance.audio, header.rate)) / header.rate
        except audio.AudioError as error:
            report.add(place, error.reason, utterance.audio)
            continue
        if abs(seconds - utterance.duration) > (TOLERANCE_S if header.plain else COMPRESSED_TOLERANCE_S):
            kind = "the audio has another length than utt2dur says"
            report.add(place, kind, f"{seconds:.3f} s, not {utterance.duration:.3f} s")


def check(directory: Path, samples: int, seed: int, report: Report) -> Optional[Values]:
    """All checks; what builds on a table is done only if the table is in order. None if something was wrong.

    Args:
        samples: how many random utterances are decoded.
        seed: of the random choice.
    Raises:
        ValueError: no such directory.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory} is no directory")
    needed, text, pronunciation = [*TABLES, audio_table(directory).name], directory / "text", directory / "text_pron"
    optional = ["text_pron"] if pronunciation.exists() else []
    for name in dict.fromkeys([*needed, "wav.scp", "spk2utt", *optional]):
        if (directory / name).is_file():
            check_table(directory / name, report)
        else:
            report.add(directory / name, "this table is missing")
    if report.problems:
        return None
    check_ids({directory / name: ids(directory / name) for name in needed}, report)
    if optional:
        check_ids({pronunciation: ids(pronunciation), text: ids(text)}, report, complete=[text])
    if "segments" in needed:
        check_recordings(directory, report)
    if report.problems:
        return None
    values = Values(directory, report, samples, seed)
    check_speakers(directory, values)
    check_audio(directory, values.sample, report)
    return None if report.problems else values
