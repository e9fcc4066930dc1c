"""The dump directory, written row by row, and the report of what was kept and dropped."""

import json
import logging
import os
from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from espnet_llmasr.data.checks import Result, fbank_frames
from espnet_llmasr.data.kaldi import Utterance
from espnet_llmasr.files import read_rows, sorted_file, write_atomically

TABLES = "wav.scp text phones utt2spk utt2lang utt2num_samples utt2num_frames dropped.txt".split()
NAMED = 3  # utterances that the report names for each reason


class Dump:
    """The tables of a set; rows come in byte order of their ids. A context manager.

    Raises:
        ValueError: a line break in a path, or a blank in the name of a speaker.
    """

    def __init__(self, staged: Path, rate: int):
        self.dir, self.rate, self.kept, self.samples, self.resampled, self.mixed_down = staged, rate, 0, 0, 0, 0
        self.dropped: Counter = Counter()
        self.first_ids: Dict[str, List[str]] = defaultdict(list)
        self._last_speaker, self._in_order = "", True
        self._stack = ExitStack()

    def __enter__(self) -> "Dump":
        files = [open(self.dir / name, "w", encoding="utf-8", newline="\n") for name in TABLES]
        for file in files:
            self._stack.callback(_close, file)
        self._write = [file.write for file in files]
        return self

    def __exit__(self, *error) -> None:
        self._stack.close()

    def add(self, utterance: Utterance, result: Result) -> None:
        """Writes a row of every table, or one of dropped.txt."""
        wav, text, phones, utt2spk, utt2lang, utt2num_samples, utt2num_frames, dropped = self._write
        key = utterance.id
        if result.reason:
            self.dropped[result.reason] += 1
            if self.dropped[result.reason] <= NAMED:
                self.first_ids[result.reason].append(key)
            dropped(f"{key} {result.reason}\n")
            return
        samples, resampled, mixed_down = result.audio
        speaker = utterance.speaker or key
        if "\r" in utterance.audio or len(speaker.split()) != 1:
            raise ValueError(f"'{key}' has a line break in {utterance.audio!r}, or a blank in its speaker {speaker!r}")
        wav(f"{key} {utterance.audio}\n")
        text(f"{key} {result.text}\n")
        phones(f"{key} {result.labels}\n")
        utt2spk(f"{key} {speaker}\n")
        utt2lang(f"{key} {result.lang}\n")
        utt2num_samples(f"{key} {samples}\n")
        utt2num_frames(f"{key} {fbank_frames(samples, self.rate)}\n")
        self._in_order, self._last_speaker = self._in_order and self._last_speaker <= speaker, speaker
        self.kept += 1
        self.samples += samples
        self.resampled += resampled
        self.mixed_down += mixed_down

    def finish(self) -> dict:
        """Writes what needs all rows and returns the statistics."""
        with open(self.dir / "spk2utt", "w", encoding="utf-8", newline="\n") as out:
            for speaker, pairs in groupby(self._pairs(), key=itemgetter(0)):
                out.write(speaker)
                out.writelines(f" {utterance}" for _, utterance in pairs)
                out.write("\n")
        hours, dropped = self.samples / self.rate / 3600, dict(sorted(self.dropped.items()))
        stats = {"utts": self.kept, "hours": hours, "dropped": dropped}
        write_atomically(self.dir / "stats.json", json.dumps(stats, indent=1) + "\n")
        return stats

    def _pairs(self) -> Iterator[Tuple[str, str]]:
        """(speaker, utterance) in byte order."""
        pairs = ((speaker, utterance) for utterance, speaker in read_rows(self.dir / "utt2spk"))
        if self._in_order:
            yield from pairs
            return
        spool = self.dir / ".speakers"
        with sorted_file(spool) as add:
            for speaker, utterance in pairs:
                add(f"{speaker} {utterance}\n")
        yield from read_rows(spool)
        spool.unlink()

    def report(self, data: Path) -> None:
        """One line for what was kept and dropped, one warning each for other rates and several channels."""
        if self.resampled:
            message = "%s: %d utterances have another sample rate than %d Hz: converted on reading"
            logging.warning(message, data, self.resampled, self.rate)
        if self.mixed_down:
            logging.warning("%s: %d utterances have several channels: converted on reading", data, self.mixed_down)
        total, hours = self.kept + sum(self.dropped.values()), self.samples / self.rate / 3600
        logging.info("%s: kept %d of %d utterances (%.2f h)%s", data, self.kept, total, hours, self.drops())

    def drops(self) -> str:
        """ "; dropped 3: nan_samples 2 (a, b), no_text 1 (c)" or nothing."""
        parts = [f"{reason} {count} ({self.named(reason)})" for reason, count in sorted(self.dropped.items())]
        return f"; dropped {sum(self.dropped.values())}: {', '.join(parts)}" if parts else ""

    def named(self, reason: str) -> str:
        return ", ".join(self.first_ids[reason]) + (", ..." if self.dropped[reason] > NAMED else "")


def _close(file) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
