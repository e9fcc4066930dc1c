"""Finds the training utterances that are also in a test set, by id, audio and text; lists and sums the overlaps."""

import zlib
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Set, Tuple

from espnet_llmasr.data.kaldi import read_complete
from espnet_llmasr.data.overlap.sets import NEEDED, FingerprintReader, Overlap, TestSets
from espnet_llmasr.data.prepare import CORPORA
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import new_file, write_stats
from espnet_llmasr.files import progress, replacing

PROGRESS_S = 30.0
KINDS = {"id": "the same id", "audio": "the same audio", "text": "the same text", "short": "short equal texts"}


@dataclass
class Shared:
    """The utterances that a training set and a test set share, of one kind of overlap."""

    train_utts: int = 0
    train_seconds: float = 0.0
    tests: Set[int] = field(default_factory=set)
    last: str = ""

    def add(self, utterance: Utterance, tests: Sequence[int]) -> None:
        self.tests.update(tests)
        if utterance.id != self.last:
            self.last = utterance.id
            self.train_utts += 1
            self.train_seconds += utterance.duration


class Report:
    """Writes overlaps.tsv and exclude.txt as the overlaps come; only sums are held in memory. A context manager."""

    def __init__(self, folder: Path, tests: TestSets, excluding: Sequence[str]):
        self.tests, self.excluding = tests, excluding
        self.excluded, self.excluded_seconds = 0, 0.0
        self.pairs: Dict[Tuple[str, int, str], Shared] = defaultdict(Shared)
        self._folder, self._stack = folder, ExitStack()

    def __enter__(self) -> "Report":
        names = ("overlaps.tsv", "exclude.txt")
        self._overlaps, self._exclude = (self._stack.enter_context(new_file(self._folder / name)) for name in names)
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    def add(self, directory: Path, utterance: Utterance, overlaps: Sequence[Overlap]) -> None:
        """All overlaps of one training utterance."""
        for overlap in overlaps:
            for number, tests in self.tests.by_set(overlap.tests).items():
                self.pairs[str(directory), number, overlap.kind].add(utterance, tests)
                if overlap.kind != "short":
                    cells = (utterance.id, self.tests.directories[number], self.tests.names[tests[0]], overlap.kind)
                    self._overlaps("\t".join(map(str, cells)) + f"\t{overlap.score:.3f}\n")
        if any(overlap.kind in self.excluding for overlap in overlaps):
            self.excluded += 1
            self.excluded_seconds += utterance.duration
            self._exclude(f"{utterance.id}\n")

    def sums(self) -> List[dict]:
        """For each pair of sets and kind: training and test utterances that are shared, and their hours."""
        order = list(KINDS).index
        pairs = sorted(self.pairs.items(), key=lambda pair: (pair[0][:2], order(pair[0][2])))
        return [
            {
                "train": train,
                "test": str(self.tests.directories[number]),
                "kind": kind,
                "train_utts": shared.train_utts,
                "train_hours": hours(shared.train_seconds),
                "test_utts": len(shared.tests),
                "test_hours": hours(sum(self.tests.seconds[test] for test in shared.tests)),
            }
            for (train, number, kind), shared in pairs
        ]


def hours(seconds: float) -> float:
    return round(seconds / 3600, 6)


def check_sets(train: Sequence[Path], test: Sequence[Path]) -> None:
    """Raises ValueError if a directory is missing, given twice, or on both sides."""
    seen = {}
    for option, directories in (("--train", train), ("--test", test)):
        for directory in directories:
            if not directory.is_dir():
                raise ValueError(f"{option} {directory} is no directory: make it with bin.prepare_corpus")
            if directory.resolve() in seen:
                raise ValueError(
                    f"{option} {directory} is given twice, also in {seen[directory.resolve()]}: name it once"
                )
            seen[directory.resolve()] = option


def shard_of(train: Sequence[Path], shard: Tuple[int, int]) -> Iterator[Tuple[Path, Utterance]]:
    """(directory, utterance) of the training utterances of shard i of n, dealt out by id."""
    number, total = shard
    for directory in train:
        for utterance in read_complete(directory, NEEDED):
            if zlib.crc32(utterance.id.encode()) % total == number - 1:
                yield directory, utterance


def find_overlaps(
    train: Sequence[Path],
    test: Sequence[Path],
    out: Path,
    audio: str = "all",
    exclude_text: bool = False,
    shard: Tuple[int, int] = (1, 1),
) -> dict:
    """Writes the directory `out` (see bin.check_overlap) and returns the content of its stats.json.

    Args:
        audio: compare the audio of all training utterances, of those with similar `text`, or of `none`.
        exclude_text: also list, in exclude.txt, training utterances that share only the text.
        shard: (i, n), compare only part i of n of the training utterances.
    Raises:
        ValueError: see `check_sets` and `read_complete`, or a test set is empty.
    """
    check_sets(train, test)
    excluding = ("id", "audio", "text") if exclude_text else ("id", "audio")
    compared, seconds = 0, 0.0
    with replacing(out.absolute()) as staged, open(staged / "unreadable.txt", "w", encoding="utf-8") as log:
        reader = None if audio == "none" else FingerprintReader(log)
        tests = TestSets(test, CORPORA, reader)
        empty = set(range(len(test))) - set(tests.set_of)
        if empty:
            raise ValueError(f"--test {test[min(empty)]} has no utterances: is it complete?")
        test_counts = reader.restart() if reader else {}
        with Report(staged, tests, excluding) as report:
            for directory, utterance in progress(shard_of(train, shard), "training utterances compared", PROGRESS_S):
                report.add(directory, utterance, list(tests.overlaps(directory, utterance, audio == "text")))
                compared, seconds = compared + 1, seconds + utterance.duration
        stats = {
            "train": {"utts": compared, "hours": hours(seconds), **(reader.restart() if reader else {})},
            "test": {"utts": len(tests.names), "hours": hours(sum(tests.seconds)), **test_counts},
            "excluded": {"utts": report.excluded, "hours": hours(report.excluded_seconds)},
            "pairs": report.sums(),
        }
        write_stats(staged, stats)
    return stats


def summary(stats: dict, out: Path) -> Iterator[str]:
    """The lines for people."""
    for row in stats["pairs"]:
        yield (
            f"{row['train']} and {row['test']}, {KINDS[row['kind']]}: {row['train_utts']} training utterances"
            f" ({row['train_hours']:.2f} h) and {row['test_utts']} test utterances ({row['test_hours']:.2f} h)"
        )
    for side in ("train", "test"):
        utts, total, *counts = stats[side].items()
        cells = [f"{utts[1]} utterances, {total[1]:.2f} h", *(f"{name.replace('_', ' ')} {n}" for name, n in counts)]
        yield f"compared, {side}: {', '.join(cells)}"
    excluded = f"{stats['excluded']['utts']} utterances, {stats['excluded']['hours']:.2f} h"
    yield f"to leave out of training: {excluded}, listed in {out}/exclude.txt"
