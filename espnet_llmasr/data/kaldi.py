"""Kaldi tables as sorted streams: joined by id in flat memory, however long they are."""

import logging
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from espnet_llmasr.files import BYTE_ORDER, SortedTable, read_rows, read_scp, sorted_file

END = ("\U0010ffff", "")  # sorts behind every id
BOM = b"\xef\xbb\xbf"
OPTIONAL = ("utt2spk", "utt2lang", "utt2dur", "text_spoken")
_SECONDS = re.compile(r"\d+(\.\d+)?").fullmatch


class Utterance(NamedTuple):
    """A row of all tables; what a table does not say is None. `fault` says why there is no audio."""

    id: str
    audio: Optional[str]
    fault: Optional[str]
    text: Optional[str]
    speaker: Optional[str]
    lang: Optional[str]
    seconds: Optional[str]
    spoken: Optional[str]


class Table:
    """A sorted table that is read forwards, to the id asked for.

    Raises:
        ValueError: an id out of order that GNU sort takes for another one (control characters).
    """

    def __init__(self, path: Path):
        self.path, self._rows, self.key, self.value = path, read_rows(path), "", ""
        self.step()

    def step(self) -> None:
        previous = self.key
        self.key, self.value = next(self._rows, END)
        if self.key <= previous:
            raise ValueError(f"{self.path}: '{self.key}' comes after '{previous}': are there control characters in it?")

    def get(self, key: str) -> Optional[str]:
        while self.key < key:
            self.step()
        return self.value if self.key == key else None


def sorted_path(path: Path, scratch: Path) -> Path:
    """`path` itself if its ids are unique and in byte order, otherwise a sorted copy in the folder `scratch`.

    Raises:
        ValueError: it is missing or not UTF-8, or an id occurs twice (both lines are named).
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    with open(path, "rb") as file:
        marked = file.read(3) == BOM
    check = ["sort", "-c", "-u", "-s", "-b", "-k1,1", str(path)]
    if not marked and subprocess.run(check, env=BYTE_ORDER, stderr=subprocess.DEVNULL).returncode == 0:
        return path
    copy = Path(tempfile.mkdtemp(dir=scratch)) / path.name
    if not _sort_into(copy, path):
        logging.warning("%s is not sorted; the ids are sorted now", path)
    previous = None
    for key, _ in read_rows(copy):
        if key == previous:
            first, second = _lines_of(path, key)[:2]
            raise ValueError(f"{path}: id '{key}' stands in line {first} and in line {second}: ids must be unique")
        previous = key
    return copy


def _sort_into(copy: Path, path: Path) -> bool:
    """Writes the sorted copy; returns whether the ids were in order."""
    in_order, previous = True, ""
    with sorted_file(copy) as add:
        for key, value in read_rows(path):
            in_order, previous = in_order and previous <= key, key
            add(f"{key} {value}\n")
    return in_order


def _lines_of(path: Path, key: str) -> List[int]:
    with open(path, encoding="utf-8-sig", newline="\n") as lines:
        return [number for number, line in enumerate(lines, 1) if line.split(maxsplit=1)[:1] == [key]]


class Recordings:
    """Paths by the name of the recording, looked up in the sorted file: millions of them need no memory."""

    def __init__(self, path: Path):
        self._table = SortedTable(open(path, "rb"))

    def piece(self, segment: str) -> Tuple[Optional[str], Optional[str]]:
        """ "recording start end" -> (entry, None), or (None, the reason why there is none)."""
        fields = segment.split()
        if len(fields) != 3 or not all(map(_SECONDS, fields[1:])) or not float(fields[1]) < float(fields[2]):
            return None, "bad_times"
        path = self._table.get(fields[0].encode("utf-8"))
        return (f"{path.decode()}#t={fields[1]},{fields[2]}", None) if path else (None, "no_recording")


def audio_table(data: Path) -> Path:
    """The table that has a line for each utterance."""
    return data / ("segments" if (data / "segments").exists() else "wav.scp")


def read_utterances(data: Path, scratch: Path) -> Iterator[Utterance]:
    """All ids of wav.scp (or segments) and text in byte order; unsorted tables are sorted in the folder `scratch`.

    Raises:
        ValueError: a missing table, a duplicate id, or a command in place of a path.
    """
    source = audio_table(data)
    recordings = Recordings(sorted_path(data / "wav.scp", scratch)) if source.name == "segments" else None
    audio, text = (Table(sorted_path(path, scratch)) for path in (source, data / "text"))
    others = [Table(sorted_path(data / name, scratch)) if (data / name).exists() else None for name in OPTIONAL]
    return _join(data, audio, text, others, recordings)


def _join(data: Path, audio: Table, text: Table, others: list, recordings: Optional[Recordings]) -> Iterator[Utterance]:
    while True:
        key = min(audio.key, text.key)
        if key == END[0]:
            return
        entry, line = audio.get(key), text.get(key)
        fault = "no_wav" if entry is None else None
        if entry is not None and recordings:
            entry, fault = recordings.piece(entry)
        if entry is not None and entry.endswith("|"):
            raise ValueError(f"{data / 'wav.scp'}: '{key}' is a command ({entry}): only plain paths are allowed")
        yield Utterance(key, entry, fault, line, *(table and table.get(key) for table in others))
        for table in (audio, text):
            if table.key == key:
                table.step()


def read_training_text(text: Path, scratch: Path) -> Iterator[str]:
    """The lines that labels are made of: those of text_spoken beside `text` where it has one, otherwise of `text`."""
    spoken = text.with_name("text_spoken")
    spoken_lines = Table(sorted_path(spoken, scratch)) if spoken.exists() else None
    for key, line in read_rows(sorted_path(text, scratch)):
        yield (spoken_lines and spoken_lines.get(key)) or line


def read_utt2lang(data: Path) -> Dict[str, str]:
    """id -> language; empty if the directory has no utt2lang."""
    return read_scp(data / "utt2lang") if (data / "utt2lang").exists() else {}
