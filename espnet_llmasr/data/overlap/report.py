"""Writes the overlaps: overlaps.tsv, exclude.txt, and the sums for each pair of sets."""

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Sequence, Set, Tuple

from espnet_llmasr.data.overlap.sets import Overlap, TestSets
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import new_file

KINDS = ("id", "audio", "text", "short")


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
    """Lines are written as they come; only sums are held in memory. A context manager."""

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
        out = []
        for (train, number, kind), shared in sorted(self.pairs.items(), key=lambda p: (p[0][:2], KINDS.index(p[0][2]))):
            hours = (shared.train_seconds, sum(self.tests.seconds[test] for test in shared.tests))
            out.append(
                {
                    "train": train,
                    "test": str(self.tests.directories[number]),
                    "kind": kind,
                    "train_utts": shared.train_utts,
                    "train_hours": round(hours[0] / 3600, 6),
                    "test_utts": len(shared.tests),
                    "test_hours": round(hours[1] / 3600, 6),
                }
            )
        return out


def sentence(row: dict) -> str:
    """One of the sums for people."""
    what = {"short": "short equal texts", "text": "the same text"}.get(row["kind"], f"the same {row['kind']}")
    return (
        f"{row['train']} and {row['test']}, {what}: {row['train_utts']} training utterances"
        f" ({row['train_hours']:.2f} h) and {row['test_utts']} test utterances ({row['test_hours']:.2f} h)"
    )
