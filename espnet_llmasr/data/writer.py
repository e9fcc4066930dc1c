"""The only writer of Kaldi directories: data directories and dump directories, row by row in memory that stays flat."""

import json
import logging
import os
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping

from espnet_llmasr.audio import Entry
from espnet_llmasr.data.checks import Result
from espnet_llmasr.data.kaldi import TABLES
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.files import printable, read_rows, sorted_file, write_atomically

NAMED = 3  # utterances that the report names for each reason


@contextmanager
def new_file(path: Path) -> Iterator[Callable[[str], object]]:
    """Yields the `write` of a text file, which is flushed to the disk at the end."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        yield file.write
        file.flush()
        os.fsync(file.fileno())


def write_stats(directory: Path, stats: Mapping) -> None:
    """Writes stats.json, which marks a directory as made by this project (`files.replacing`)."""
    write_atomically(directory / "stats.json", json.dumps(stats, indent=1) + "\n")


def write_spk2utt(directory: Path) -> None:
    """Writes the inverse of utt2spk, speakers in byte order."""
    path, spool = directory / "utt2spk", directory / ".speakers"
    if all(first <= second for first, second in pairwise(speaker for _, speaker in read_rows(path))):
        pairs = ((speaker, utterance) for utterance, speaker in read_rows(path))
    else:
        with sorted_file(spool) as add:
            for utterance, speaker in read_rows(path):
                add(f"{speaker} {utterance}\n")
        pairs = read_rows(spool)
    with new_file(directory / "spk2utt") as write:
        for speaker, utterances in groupby(pairs, key=itemgetter(0)):
            write(speaker)
            for _, utterance in utterances:
                write(f" {utterance}")
            write("\n")
    spool.unlink(missing_ok=True)


class DataWriter:
    """A data directory of utterances that come in byte order of their ids. A context manager.

    With `cut` it has `segments`; an utterance that is not cut becomes the only segment of a recording of its own.
    Raises ValueError if an id occurs twice, or two recordings have one name.
    """

    def __init__(self, directory: Path, cut: bool):
        self.directory, self.cut, self.utts, self.seconds = directory, cut, 0, 0.0
        self._last = ""
        self._stack = ExitStack()

    def __enter__(self) -> "DataWriter":
        with ExitStack() as stack:
            names = (*TABLES, "segments" if self.cut else "wav.scp", "text_pron")
            self._write = [stack.enter_context(new_file(self.directory / name)) for name in names]
            if self.cut:
                self._add_recording = stack.enter_context(sorted_file(self.directory / ".recordings", unique=True))
            self._stack = stack.pop_all()
        return self

    def add(self, utterance: Utterance) -> None:
        """Writes a row of every table; `duration`, `speaker` and `lang` must be set."""
        key, text, speaker, lang, duration, audio, pronunciation = utterance.id, *self._write
        if key == self._last:
            raise ValueError(f"two utterances are called {key}: the source holds it twice, or ids differ only in signs")
        self._last = key
        self.utts += 1
        self.seconds += utterance.duration
        text(f"{key} {utterance.text}\n")
        speaker(f"{key} {utterance.speaker}\n")
        lang(f"{key} {utterance.lang}\n")
        duration(f"{key} {utterance.duration:.3f}\n")
        audio(f"{key} {self._segment(utterance) if self.cut else utterance.audio}\n")
        if utterance.pronunciation_text:
            pronunciation(f"{key} {utterance.pronunciation_text}\n")

    def _segment(self, utterance: Utterance) -> str:
        """The line of segments; notes the recording that it is cut out of."""
        path, times, name = utterance.audio, f"0.000,{utterance.duration:.3f}", utterance.recording or utterance.id
        if utterance.recording or Entry.parse(utterance.audio).fragment:
            path, _, piece = utterance.audio.rpartition("#t=")
            times, _, channel = piece.partition("&channel=")
            times = f"{times if ',' in times else f'{times},-1'},{channel}".rstrip(",")
        self._add_recording(f"{name} {path}\n")
        return f"{name} {times.replace(',', ' ')}"

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)
        if error[0] is None:  # the rest needs all rows
            write_spk2utt(self.directory)
            if self.cut:
                self._write_recordings(self.directory / ".recordings")
            if not (self.directory / "text_pron").stat().st_size:
                (self.directory / "text_pron").unlink()

    def _write_recordings(self, spool: Path) -> None:
        previous = ("", "")
        with new_file(self.directory / "wav.scp") as write:
            for name, entry in read_rows(spool):
                if name == previous[0]:
                    raise ValueError(f"two recordings are called {name}: {previous[1]} and {entry}")
                previous = (name, entry)
                write(f"{name} {entry}\n")
        spool.unlink()


class DumpWriter:
    """A dump directory of utterances that come in byte order of their ids, and dropped.txt. A context manager.

    `rate` (Hz) is that of utt2num_samples; `num_frames` gives the feature frames of a number of samples. Raises
    ValueError for a line break in a path, or a blank in the name of a speaker.
    """

    TABLES = ("wav.scp", "text", "phones", "utt2spk", "utt2lang", "utt2num_samples", "utt2num_frames", "dropped.txt")

    def __init__(self, directory: Path, rate: int, num_frames: Callable[[int], int]):
        self.directory, self.rate, self.num_frames = directory, rate, num_frames
        self.kept, self.samples, self.resampled, self.mixed_down = 0, 0, 0, 0
        self.dropped: Counter = Counter()
        self.faults: Counter = Counter()
        """Of utterances of a test set, which are kept."""
        self.first_ids: Dict[str, List[str]] = defaultdict(list)
        self._stack = ExitStack()

    def __enter__(self) -> "DumpWriter":
        with ExitStack() as stack:
            self._write = [stack.enter_context(new_file(self.directory / name)) for name in self.TABLES]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    def add(self, utterance: Utterance, result: Result) -> None:
        """Writes a row of every table, or one of dropped.txt."""
        key, (*tables, dropped) = utterance.id, self._write
        if result.reason:
            self._count(self.dropped, result.reason, key)
            dropped(f"{key} {result.reason}\n")
            return
        speaker, (samples, resampled, mixed_down, fault) = utterance.speaker or key, result.audio
        if "\r" in utterance.audio or len(speaker.split()) != 1:
            raise ValueError(f"'{key}' has a line break in {utterance.audio!r}, or a blank in its speaker {speaker!r}")
        values = (utterance.audio, result.text, result.labels, speaker, result.lang, samples, self.num_frames(samples))
        for write, value in zip(tables, values):
            write(f"{key} {value}\n")
        self.kept += 1
        self.samples += samples
        self.resampled += resampled
        self.mixed_down += mixed_down
        if fault:
            self._count(self.faults, fault, key)

    def _count(self, counter: Counter, reason: str, key: str) -> None:
        counter[reason] += 1
        if counter[reason] <= NAMED:
            self.first_ids[reason].append(key)

    @property
    def hours(self) -> float:
        return self.samples / self.rate / 3600

    def finish(self) -> dict:
        """Writes what needs all rows, after the tables are closed, and returns the statistics."""
        write_spk2utt(self.directory)
        stats = {"utts": self.kept, "hours": self.hours, "dropped": dict(sorted(self.dropped.items()))}
        if self.faults:
            stats["kept_with_fault"] = dict(sorted(self.faults.items()))
        write_stats(self.directory, stats)
        return stats

    def report(self, data: Path) -> None:
        """One line for what was kept and dropped; a warning each for other rates, several channels and faults."""
        if self.resampled:
            message = "%s: %d utterances have another sample rate than %d Hz: converted on reading"
            logging.warning(message, data, self.resampled, self.rate)
        if self.mixed_down:
            logging.warning("%s: %d utterances have several channels: converted on reading", data, self.mixed_down)
        if self.faults:
            message = "%s: the test set keeps utterances that nobody can understand: %s"
            logging.warning(message, data, self._listed(self.faults))
        dropped = sum(self.dropped.values())
        drops = f"; dropped {dropped}: {self._listed(self.dropped)}" if dropped else ""
        logging.info("%s: kept %d of %d utterances (%.2f h)%s", data, self.kept, self.kept + dropped, self.hours, drops)

    def _listed(self, counter: Counter) -> str:
        """ "nan_samples 2 (a, b), no_text 1 (c)"."""
        parts = []
        for reason, count in sorted(counter.items()):
            ids = self.first_ids[reason] + ["..."] * (count > NAMED)
            parts.append(f"{reason} {count} ({', '.join(ids)})")
        return printable(", ".join(parts))
