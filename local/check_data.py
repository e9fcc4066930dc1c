#!/usr/bin/env python3
"""Checks data directories: every line of every table, the tables against each other, and some of the audio.

    python local/check_data.py data/librispeech_train-clean-100 data/aishell1_train

Prints a line for each problem with file and line number (at most 20 of a kind) and exits with 1; or one line with
utterances, hours, speakers and languages. Tables are read as streams, so memory does not grow with them.
"""

import random
import sys
import tempfile
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))


from espnet_llmasr.data.data_dirs import TABLES, audio_entries, audio_table, rows  # noqa: E402
from espnet_llmasr.data.table_checks import END, Report, check_ids, check_sparse, check_table, ids  # noqa: E402

from espnet_llmasr import audio  # noqa: E402
from espnet_llmasr.cli import Parser, at_least, run  # noqa: E402
from espnet_llmasr.files import sorted_file  # noqa: E402

TOLERANCE_S = 0.001
COMPRESSED_TOLERANCE_S = 0.1  # manifests do not count the padding of mp3


def get_parser() -> Parser:
    parser = Parser(description="Check data directories; one line for each problem, exit code 1 if there is any.")
    parser.add_argument("dirs", type=Path, nargs="+", metavar="DIR", help="data directories")
    parser.add_argument("--audio", type=at_least(0), default=20, help="random utterances to open in each; 0: none")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the random choice")
    return parser


class Values:
    """Checks that need several tables at once, a row at a time; keeps the totals and a random sample."""

    def __init__(self, directory: Path, report: Report, samples: int, seed: int):
        self.directory, self.report, self.samples = directory, report, samples
        self.cut = audio_table(directory) == "segments"
        self.seconds, self.speakers, self.utts = Counter(), 0, 0
        self.sample: List[Tuple[bytes, bytes, float]] = []
        self._random, self._last_speaker = random.Random(seed), b""

    def row(self, key: bytes, speaker: bytes, language: bytes, duration: bytes, where: bytes) -> None:
        self.utts += 1
        seconds = float(duration)
        self.seconds[language.decode()] += seconds
        self._check_speaker(key, speaker)
        if self.cut:
            start, end = map(float, where.split(b" ")[1:])
            if abs(end - start - seconds) > TOLERANCE_S + 1e-6:
                self._add("utt2dur", "not the length of its segment", f"{key.decode()} {seconds} and {end - start:.3f}")
        at = self._random.randrange(self.utts)
        if len(self.sample) < self.samples:
            self.sample.append((key, where, seconds))
        elif at < self.samples:
            self.sample[at] = (key, where, seconds)

    def _check_speaker(self, key: bytes, speaker: bytes) -> None:
        if speaker < self._last_speaker:
            self._add("utt2spk", "sorted by utterance, the speakers must be sorted, too", key.decode())
        self.speakers += speaker != self._last_speaker
        self._last_speaker = speaker

    def _add(self, table: str, kind: str, what: str) -> None:
        self.report.add(f"{self.directory / table}:{self.utts}", kind, what)


def check_values(directory: Path, report: Report, samples: int, seed: int) -> Values:
    """The tables against each other, which all have the same ids."""
    values = Values(directory, report, samples, seed)
    speakers, agree = by_speaker(directory / "spk2utt"), True
    for key, _, speaker, language, duration, where in rows(directory, *TABLES, audio_table(directory)):
        values.row(key, speaker, language, duration, where)
        said, by, line = next(speakers)
        if agree and (said, by) != (key, speaker):
            report.add(f"{directory}/spk2utt:{line}", f"not the inverse of utt2spk from {key.decode()} on")
            agree = False
    said, _, line = next(speakers)
    if agree and said != END:
        report.add(f"{directory}/spk2utt:{line}", f"not the inverse of utt2spk, which lacks {said.decode()}")
    return values


def by_speaker(path: Path) -> Iterator[Tuple[bytes, bytes, int]]:
    """(utterance, speaker, line), at last (END, END, last line) for ever."""
    number = 1
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            speaker, *said = line.split()
            for key in said:
                yield key, speaker, number
    while True:
        yield END, END, number


def check_recordings(directory: Path, report: Report) -> None:
    """Segments and wav.scp must name the same recordings (as in Kaldi)."""
    segments, wavs = directory / "segments", directory / "wav.scp"
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder, "recordings")
        with sorted_file(spool) as add, open(segments, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                add(f"{line.split()[1]} {number:012}\n")
        check_ids({segments: first_uses(spool), wavs: ids(wavs)}, report)


def first_uses(spool: Path) -> Iterator[Tuple[bytes, int]]:
    """(recording, line number), at last (END, 0) for ever."""
    with open(spool, "rb") as lines:
        for name, uses in groupby(lines, key=lambda line: line.partition(b" ")[0]):
            yield name, int(next(uses).split()[1])
    while True:
        yield END, 0


def check_audio(directory: Path, values: Values, report: Report) -> None:
    """Decodes the sample of utterances and compares lengths."""
    entry_of = audio_entries(directory)
    for key, where, seconds in sorted(values.sample):
        entry, place = entry_of(key, where), f"{directory / audio_table(directory)} {key.decode()}"
        try:
            header = audio.info(entry)
            found = len(audio.read(entry, header.rate)) / header.rate
        except audio.AudioError as error:
            report.add(place, error.reason, entry)
            continue
        tolerance = TOLERANCE_S if header.plain else COMPRESSED_TOLERANCE_S
        if abs(found - seconds) > tolerance + 1e-6:
            report.add(place, "the audio has another length than utt2dur says", f"{found:.3f} s, not {seconds:.3f} s")


def needed_tables(directory: Path) -> List[str]:
    return [*TABLES, audio_table(directory)]


def check(directory: Path, samples: int, seed: int, report: Report) -> Optional[Values]:
    """All checks; what builds on a table is done only if the table is in order. None if something was wrong."""
    tables = list(dict.fromkeys([*needed_tables(directory), "wav.scp", "spk2utt"]))
    if (directory / "text_spoken").exists():
        tables.append("text_spoken")
    for name in tables:
        if (directory / name).is_file():
            check_table(directory / name, report)
        else:
            report.add(str(directory / name), "this table is missing")
    if report.problems:
        return None
    check_ids({directory / name: ids(directory / name) for name in needed_tables(directory)}, report)
    if "text_spoken" in tables:
        check_sparse(directory, report)
    if audio_table(directory) == "segments":
        check_recordings(directory, report)
    if report.problems:
        return None
    values = check_values(directory, report, samples, seed)
    check_audio(directory, values, report)
    return None if report.problems else values


def main(argv: Optional[List[str]] = None) -> int:
    args, bad = get_parser().parse_args(argv), 0
    for directory in args.dirs:
        if not directory.is_dir():
            raise ValueError(f"{directory} is no directory")
        report = Report()
        values = check(directory, args.audio, args.seed, report)
        report.close()
        if values is None:
            bad += 1
            print(f"{directory}: {report.problems} problems")
            continue
        languages = ", ".join(f"{name} {s / 3600:.2f} h" for name, s in sorted(values.seconds.items()))
        hours = sum(values.seconds.values()) / 3600
        print(f"{directory}: {values.utts} utterances, {hours:.2f} h, {values.speakers} speakers; {languages}")
    return 1 if bad else 0


if __name__ == "__main__":
    run(main)
