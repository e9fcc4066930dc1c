"""Finds the training utterances that are also in a test set, by id, audio and text."""

import zlib
from pathlib import Path
from typing import Iterator, Sequence, Tuple

from espnet_llmasr.data.kaldi import read_complete
from espnet_llmasr.data.overlap.report import Report, sentence
from espnet_llmasr.data.overlap.sets import NEEDED, FingerprintReader, TestSets
from espnet_llmasr.data.prepare import CORPORA
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import write_stats
from espnet_llmasr.files import progress, replacing

PROGRESS_S = 30.0


def check_sets(train: Sequence[Path], test: Sequence[Path]) -> None:
    """Raises ValueError if a directory is missing, given twice, or on both sides."""
    seen = {}
    for option, directories in (("--train", train), ("--test", test)):
        for directory in directories:
            if not directory.is_dir():
                raise ValueError(f"{option} {directory} is no directory: make it with local/prepare.py")
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
    """Writes the directory `out` (see local/check_overlap.py) and returns the content of its stats.json.

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
            "train": {"utts": compared, "hours": round(seconds / 3600, 6), **(reader.restart() if reader else {})},
            "test": {"utts": len(tests.names), "hours": round(sum(tests.seconds) / 3600, 6), **test_counts},
            "excluded": {"utts": report.excluded, "hours": round(report.excluded_seconds / 3600, 6)},
            "pairs": report.sums(),
        }
        write_stats(staged, stats)
    return stats


def summary(stats: dict, out: Path) -> Iterator[str]:
    for row in stats["pairs"]:
        yield sentence(row)
    for side in ("train", "test"):
        cells = [f"{stats[side]['utts']} utterances, {stats[side]['hours']:.2f} h"]
        cells += [
            f"{name.replace('_', ' ')} {stats[side][name]}" for name in FingerprintReader.COUNTED if name in stats[side]
        ]
        yield f"compared, {side}: {', '.join(cells)}"
    yield f"to leave out of training: {stats['excluded']['utts']} utterances, {stats['excluded']['hours']:.2f} h" + (
        f", listed in {out}/exclude.txt"
    )
