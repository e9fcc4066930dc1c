"""The one writer of all corpora: checks, names, sorts (LC_ALL=C) and writes a Kaldi data directory in flat memory.

Rows are spooled through GNU sort, so neither time nor memory depends on the order or the number of utterances.
"""

import json
import math
import re
from contextlib import ExitStack
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Iterable, Iterator, List, Tuple

from espnet_llmasr.data.corpora.base import Corpus, Source, Utterance

from espnet_llmasr import audio
from espnet_llmasr.files import sorted_file, write_atomically
from espnet_llmasr.text.transcript import Transcript

TABLES = ("text", "utt2spk", "utt2lang", "utt2dur")
ENCODING = dict(encoding="utf-8", errors="surrogateescape", newline="\n")
_NOT_IN_ID = re.compile(r"[^\w.:-]")
_NOT_IN_PATH = re.compile(r"[\t\n\r\ud800-\udfff]|\s$")


class Unusable(Exception):
    """An utterance to drop; the message is the reason."""


def rows_of(path: Path) -> Iterator[List[str]]:
    with open(path, **ENCODING) as lines:
        for line in lines:
            yield line.rstrip("\n").split("\t")


class Namer:
    """Ids that are unique among corpora, hold no blanks or slashes, and sort like their speakers (Kaldi's rule).

    A speaker becomes PREFIX_speaker without "-", an utterance that followed by "-": "-" sorts before all else that may
    stand in an id, so the order of the utterances is also that of the speakers.
    """

    def __init__(self, prefix: str):
        self.prefix = clean_id(prefix).replace("-", "_")

    def __call__(self, utterance: str, speaker: str) -> Tuple[str, str]:
        """(utterance id, speaker id); without a speaker both are the same."""
        name, spoken_by = clean_id(utterance), clean_id(speaker).replace("-", "_")
        if not spoken_by:
            name = f"{self.prefix}_{name.replace('-', '_')}"
            return name, name
        rest = name[len(spoken_by) + 1 :] if name.startswith(f"{spoken_by}-") else name
        return f"{self.prefix}_{spoken_by}-{rest}", f"{self.prefix}_{spoken_by}"


def clean_id(name: str) -> str:
    return _NOT_IN_ID.sub("_", name.strip())


@lru_cache(4096)
def recording_seconds(path: str) -> float:
    return audio.info(path).seconds


def seconds_of(utterance: Utterance, entry: str) -> float:
    """Duration, from the times or the manifest where they are given, otherwise from the header of the audio."""
    if utterance.end is not None:
        start, end = utterance.start or 0.0, utterance.end
        if not 0 <= start < end:
            raise Unusable("bad_times")
        if end > recording_seconds(entry) + 0.1:
            raise Unusable("beyond_end")
        return min(end, recording_seconds(entry)) - start
    if utterance.duration is None:
        return audio.info(entry).seconds
    where = audio.Entry.parse(entry)
    if not where.exists():
        raise Unusable("empty_wav" if Path(where.path).exists() else "missing_wav")
    if not (utterance.duration > 0 and math.isfinite(utterance.duration)):
        raise Unusable("bad_duration")
    return utterance.duration


class Writer:
    """Turns utterances into rows of a data directory."""

    def __init__(self, corpus: Corpus, prefix: str, text_style: str):
        self.corpus, self.name, self.transcript = corpus, Namer(prefix), Transcript(text_style)

    def row(self, utterance: Utterance, source: Source) -> List[str]:
        """id, speaker, language, seconds, text, spoken text if other, audio, and for a piece recording, start, end.

        Raises:
            Unusable, audio.AudioError: with the reason to drop it.
        """
        check(utterance)
        lang = utterance.lang or self.corpus.lang
        text, spoken = map(one_line, self.transcript(utterance.text, lang))
        if not text:
            raise Unusable("empty_text")
        seconds = seconds_of(utterance, source.staged(utterance.audio))
        key, speaker = self.name(utterance.id, utterance.speaker)
        row = [key, speaker, lang, f"{seconds:.3f}", text, spoken, utterance.audio]
        if utterance.end is not None:
            start, recording = utterance.start or 0.0, utterance.recording or Path(utterance.audio).stem
            row += [f"{self.name.prefix}_{clean_id(recording)}", f"{start:.3f}", f"{start + seconds:.3f}"]
        return row


def check(utterance: Utterance) -> None:
    """Raises Unusable for what no table can hold."""
    if not utterance.id.strip():
        raise Unusable("empty_id")
    if not (is_utf8(utterance.text) and is_utf8(utterance.id)):
        raise Unusable("not_utf8")
    if _NOT_IN_PATH.search(utterance.audio):
        raise Unusable("bad_path")


def is_utf8(text: str) -> bool:
    """False for lone surrogates, as which bytes of another encoding come (`readers.lines`)."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def one_line(text: str) -> str:
    """Tabs and line breaks would make other columns and lines."""
    return text if text.isprintable() else " ".join(text.split())


def write_data_dir(staged: Path, source: Source, writer: Writer, utterances: Iterable[Utterance]) -> dict:
    """Writes all tables of one corpus part into `staged` and returns what stands in stats.json.

    Raises:
        ValueError: an id occurs twice, or a recording has two paths.
    """
    rows, pairs, recordings = (staged / f".{name}" for name in ("rows", "speakers", "recordings"))
    pieces = False
    with sorted_file(rows) as add_row, sorted_file(pairs) as add_pair, sorted_file(recordings, True) as add_recording:
        for utterance in utterances:
            try:
                row = writer.row(utterance, source)
            except (Unusable, audio.AudioError) as error:
                source.drop(utterance.id, getattr(error, "reason", str(error)))
                continue
            add_row("\t".join(row) + "\n")
            add_pair(f"{row[1]}\t{row[0]}\n")
            if len(row) > 7:
                pieces = True
                add_recording(f"{row[7]}\t{row[6]}\n")
    stats = write_tables(staged, rows, pieces)
    if pieces:
        write_recordings(staged / "wav.scp", recordings)
    write_spk2utt(staged / "spk2utt", pairs)
    for spool in (rows, pairs, recordings):
        spool.unlink()
    stats["dropped"] = dict(sorted(source.dropped.items()))
    write_atomically(staged / "stats.json", json.dumps(stats, indent=1) + "\n")
    return stats


def write_tables(staged: Path, rows: Path, pieces: bool) -> dict:
    """All tables that have a line for each utterance, from the sorted rows."""
    utterances, seconds, previous = 0, 0.0, ""
    names = (*TABLES, "text_spoken", "segments" if pieces else "wav.scp")
    with ExitStack() as stack:
        text, spk, langs, durations, spoken, wav = (
            stack.enter_context(open(staged / name, "w", **ENCODING)).write for name in names
        )
        for key, speaker, lang, duration, line, spoken_line, entry, *piece in rows_of(rows):
            if key == previous:
                raise ValueError(
                    f"two utterances are called {key}: the source holds it twice, or ids differ only in signs"
                )
            previous, utterances, seconds = key, utterances + 1, seconds + float(duration)
            text(f"{key} {line}\n")
            spk(f"{key} {speaker}\n")
            langs(f"{key} {lang}\n")
            durations(f"{key} {duration}\n")
            wav(f"{key} {' '.join(piece) if pieces else entry}\n")
            if spoken_line:
                spoken(f"{key} {spoken_line}\n")
    if not (staged / "text_spoken").stat().st_size:
        (staged / "text_spoken").unlink()
    return {"utts": utterances, "hours": round(seconds / 3600, 6)}


def write_recordings(path: Path, recordings: Path) -> None:
    previous = ("", "")
    with open(path, "w", **ENCODING) as wavs:
        for name, entry in rows_of(recordings):
            if name == previous[0]:
                raise ValueError(f"two recordings are called {name}: {previous[1]} and {entry}")
            previous = (name, entry)
            wavs.write(f"{name} {entry}\n")


def write_spk2utt(path: Path, pairs: Path) -> None:
    with open(path, "w", **ENCODING) as out:
        for speaker, rows in groupby(rows_of(pairs), key=lambda row: row[0]):
            out.write(speaker)
            out.writelines(f" {utterance}" for _, utterance in rows)
            out.write("\n")
