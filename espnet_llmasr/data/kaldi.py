"""The only reader of Kaldi data directories: sorted tables as streams, joined by id in memory that stays flat."""

import logging
import mmap
import os
import re
import subprocess
import tempfile
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Tuple

from espnet_llmasr.data.utterance import LONGEST_S, Utterance, Utterances
from espnet_llmasr.files import BYTE_ORDER, duplicate_id, read_rows, read_scp, sorted_file

TABLES = ("text", "utt2spk", "utt2lang", "utt2dur")  # have a line for each utterance, as the audio table has
SPARSE = ("utt2spk", "utt2lang", "utt2dur", "text_pron")  # may lack some, or all, in a directory made elsewhere
END = "\U0010ffff"  # sorts behind every id
BOM = b"\xef\xbb\xbf"
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?").fullmatch
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?").fullmatch
_CHANNEL = re.compile("[0-9]").fullmatch


class Table:
    """A sorted table that is read forwards. Raises ValueError if it is missing or not UTF-8, or its ids do not ascend."""

    def __init__(self, path: Path):
        self.path, self._rows, self.key, self.value = path, read_rows(path), "", ""
        self.step()

    def step(self) -> None:
        previous = self.key
        self.key, self.value = next(self._rows, (END, ""))
        if self.key <= previous:
            raise ValueError(
                f"{self.path}: '{self.key}' comes after '{previous}', expected ids in the order of LC_ALL=C sort:"
                f" bin.check_data {self.path.parent} lists all problems"
            )

    def get(self, key: str) -> Optional[str]:
        """The value of an id, None if the table lacks it; ids must be asked for in ascending order."""
        while self.key < key:
            self.step()
        return self.value if self.key == key else None


class SortedTable:
    """A Kaldi table whose ids are in byte order, searched on disk by bisection: any number of rows needs no memory."""

    def __init__(self, path: Path):
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self.get = lru_cache(4096)(self._search)

    def _search(self, key: str) -> Optional[str]:
        """The rest of the line of an id, or None."""
        wanted = key.encode("utf-8")
        low, high = 0, len(self._data)  # both at the beginning of a line
        while low < high:
            begin = self._data.rfind(b"\n", low, (low + high) // 2) + 1 or low
            stop = self._data.find(b"\n", begin)
            stop = len(self._data) if stop < 0 else stop
            name, value = (*self._data[begin:stop].split(None, 1), b"", b"")[:2]
            if name == wanted:
                return value.rstrip().decode("utf-8")
            low, high = (stop + 1, high) if name < wanted else (low, begin)
        return None


def sorted_path(path: Path, scratch: Path) -> Path:
    """`path` itself if its ids are unique and in byte order, otherwise a sorted copy in the folder `scratch`.

    Raises ValueError if it is missing or not UTF-8, or an id occurs twice (both lines are named).
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    with open(path, "rb") as file:
        marked = file.read(3) == BOM
    check = ["sort", "-c", "-u", "-s", "-b", "-k1,1", str(path)]
    if not marked and subprocess.run(check, env=BYTE_ORDER, stderr=subprocess.DEVNULL).returncode == 0:
        return path
    copy, in_order, previous = Path(tempfile.mkdtemp(dir=scratch)) / path.name, True, ""
    with sorted_file(copy) as add:
        for key, value in read_rows(path):
            in_order, previous = in_order and previous <= key, key
            add(f"{key} {value}\n")
    if not in_order:
        logging.warning("%s is not sorted; the ids are sorted now", path)
    previous = None
    for key, _ in read_rows(copy):
        if key == previous:
            raise duplicate_id(path, key)
        previous = key
    return copy


def audio_table(data: Path) -> Path:
    """The table of the audio that has a line for each utterance."""
    return data / ("segments" if (data / "segments").exists() else "wav.scp")


def read_utterances(data: Path, scratch: Path) -> Utterances:
    """All ids of wav.scp (or segments) and text in byte order; unsorted tables are sorted in the folder `scratch`.

    An utterance without audio or text has a `fault`. Raises ValueError for a missing table, a duplicate id, a command in
    place of a path, or a duration that is no number.
    """
    paths = [audio_table(data), data / "text", *(data / name for name in SPARSE if (data / name).exists())]
    tables = {path.name: Table(sorted_path(path, scratch)) for path in paths}
    recordings = SortedTable(sorted_path(data / "wav.scp", scratch)) if "segments" in tables else None
    return _join(data, tables, (audio_table(data).name, "text"), recordings)


def read_complete(data: Path, needed: Sequence[str] = TABLES) -> Utterances:
    """The utterances of a directory made by bin.prepare_corpus: sorted, and each in all of the `needed` tables.

    Raises ValueError if a table is missing or not sorted, or lacks an utterance.
    """
    source = audio_table(data).name
    names = [*needed, source, *(name for name in SPARSE if name not in needed and (data / name).exists())]
    tables = {name: Table(data / name) for name in names}
    recordings = SortedTable(data / "wav.scp") if source == "segments" else None
    needed = (*needed, source)
    for utterance in _join(data, tables, needed, recordings):
        lacking = [name for name in needed if tables[name].key != utterance.id]
        if lacking or utterance.fault:
            reason = f"is not in {' and '.join(lacking)}" if lacking else f"cannot be used ({utterance.fault})"
            raise ValueError(f"{data}: utterance '{utterance.id}' {reason}: bin.check_data {data} lists all problems")
        yield utterance


def _join(
    data: Path, tables: Dict[str, Table], deciding: Sequence[str], recordings: Optional[SortedTable]
) -> Utterances:
    """The utterances that one of the `deciding` tables has; those tables stay at its line while it is used."""
    source = audio_table(data).name
    while True:
        key = min(tables[name].key for name in deciding)
        if key == END:
            return
        values = {name: table.get(key) for name, table in tables.items()}
        entry, recording, fault = _audio_of(values[source], recordings)
        if (recordings.get(recording) or "" if recordings else entry).endswith("|"):
            raise ValueError(f"{data / 'wav.scp'}: '{key}' is a command ({entry}): only plain paths are allowed")
        if not fault and values["text"] is None:
            fault = "no_text"
        seconds = _seconds(data, key, values.get("utt2dur"))
        if not fault and seconds is not None and not 0 < seconds < LONGEST_S:
            fault = "bad_duration"
        text, speaker, lang, spoken = (values.get(name) or "" for name in ("text", "utt2spk", "utt2lang", "text_pron"))
        more = dict(duration=seconds, recording=recording, fault=fault)
        yield Utterance(key, entry, text, speaker, lang, pronunciation_text=spoken, **more)
        for name in deciding:
            if tables[name].key == key:
                tables[name].step()


def _audio_of(value: Optional[str], recordings: Optional[SortedTable]) -> Tuple[str, str, str]:
    """(entry of espnet_llmasr.audio, recording, fault) from a line of wav.scp, or of segments with `recordings`."""
    if value is None:
        return "", "", "no_wav"
    if recordings is None:
        return value, "", ""
    fields = value.split()
    fragment = piece_of(fields[1:])
    if not fragment:
        return "", "", "bad_times"
    path = recordings.get(fields[0])
    return (f"{path}{fragment}", fields[0], "") if path else ("", fields[0], "no_recording")


def piece_of(fields: Sequence[str]) -> str:
    """The piece of an entry by the fields of segments behind the name of the recording; empty if they are wrong.

    As in Kaldi's extract-segments: start and end in seconds (5e-1, .5), the end may be -1 for that of the recording, and
    a third field is the channel, counted from 0.

    >>> piece_of(["5e-1", "-1", "1"])
    '#t=0.5&channel=1'
    """
    if len(fields) not in (2, 3) or not all(map(_NUMBER, fields[:2])) or not all(map(_CHANNEL, fields[2:])):
        return ""
    start, end = map(float, fields[:2])
    if not 0 <= start < (LONGEST_S if end == -1 else end) <= LONGEST_S:
        return ""
    times = map(_as_seconds, fields[: 1 if end == -1 else 2])
    return f"#t={','.join(times)}{''.join(f'&channel={field}' for field in fields[2:])}"


def _as_seconds(field: str) -> str:
    """A number as an entry has it: 0.5 of 5e-1, .5 and +0.5."""
    return field if _SECONDS(field) else format(abs(Decimal(field)), "f")


def _seconds(data: Path, key: str, value: Optional[str]) -> Optional[float]:
    try:
        return None if value is None else float(value)
    except ValueError as error:
        raise ValueError(f"{data}/utt2dur has '{value}' for {key}, expected a number of seconds") from error


def read_training_text(text: Path, scratch: Path) -> Iterator[str]:
    """The lines that labels are made of: those of text_pron beside `text` where it has one, otherwise of `text`."""
    table = text.with_name("text_pron")
    pronunciation = Table(sorted_path(table, scratch)) if table.exists() else None
    for key, line in read_rows(sorted_path(text, scratch)):
        yield (pronunciation and pronunciation.get(key)) or line


def read_utt2lang(data: Path) -> Dict[str, str]:
    """id -> language; empty if the directory has no utt2lang."""
    return read_scp(data / "utt2lang") if (data / "utt2lang").exists() else {}
