#!/usr/bin/env python3
"""Keeps test sets out of the training data: finds training utterances that are also in a test set.

    python local/check_overlap.py --train data/aishell1_train data/ascend_train --test data/ascend_test \\
        --out data/overlaps
    python local/combine_data.py data/train data/aishell1_train data/ascend_train --exclude data/overlaps/exclude.txt

Compared are ids as published (same corpus only), audio (fingerprints, which another container, rate, gain or cut does
not change), and text (normalised; equal lines, or 10 tokens in one run that are at least half of one of the two lines).
OUT gets
    overlaps.tsv    training id, test set, test id, kind (id, audio or text), score: share of equal bits of the audio,
                    or of the test sentence that is in the training text; of equal sentences in a set the first is named
    exclude.txt     training ids to leave out: same id or same audio; with --exclude_text also same text. Read corpora
                    share their sentences by design (AISHELL, KeSpeech, Common Voice), so text alone is only listed
    unreadable.txt  set, id and reason of audio that could not be compared
    stats.json      sums for each pair of sets
The exit code is 0 when OUT is complete; with --strict 1 if an id or audio is shared. A training set too big for one
process is dealt out with --shard JOB/n; exclude.txt and overlaps.tsv of the shards are put together with cat.
"""

import json
import logging
import sys
import time
import zlib
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from espnet_llmasr.data.overlap.report import Report, sentence  # noqa: E402
from espnet_llmasr.data.overlap.sets import Listener, TestSets, Utterance, utterances  # noqa: E402
from prepare import CORPORA, shard  # noqa: E402

from espnet_llmasr.cli import Parser, run  # noqa: E402
from espnet_llmasr.files import replacing, write_atomically  # noqa: E402

PROGRESS_S = 30.0


def get_parser() -> Parser:
    parser = Parser(description="Find training utterances that are in a test set, by id, audio and text.")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="data directories to train on")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="data directories to test on")
    parser.add_argument("--out", type=Path, required=True, help="directory to write; replaced when complete")
    parser.add_argument(
        "--audio",
        choices=["all", "text", "none"],
        default="all",
        help="compare the audio of all training utterances, of those with equal or similar text, or of none",
    )
    parser.add_argument("--exclude_text", action="store_true", help="leave out what shares only the text, too")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if an id or audio is shared")
    parser.add_argument(
        "--shard", type=shard, default="1/1", help="compare only part i of n of the training utterances"
    )
    return parser


def check_sets(train: Sequence[Path], test: Sequence[Path]) -> None:
    """Raises:
    ValueError: a directory is missing, given twice, or on both sides.
    """
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


def my_utterances(train: Sequence[Path], part: Tuple[int, int]) -> Iterator[Tuple[Path, Utterance]]:
    """The training utterances of this shard; logs how far it is."""
    number, total = part
    count, last = 0, time.monotonic()
    for directory in train:
        for utterance in utterances(directory):
            if zlib.crc32(utterance.id.encode()) % total == number - 1:
                yield directory, utterance
                count += 1
            if time.monotonic() - last > PROGRESS_S:
                last = time.monotonic()
                logging.info("%d utterances compared, now in %s", count, directory)


def guard(args) -> dict:
    """Writes OUT and returns what stands in its stats.json.

    Raises:
        ValueError: see `check_sets` and `overlap.sets.utterances`, or a test set is empty.
    """
    check_sets(args.train, args.test)
    excluding = ("id", "audio", "text") if args.exclude_text else ("id", "audio")
    compared, seconds = 0, 0.0
    with replacing(args.out.absolute()) as staged, open(staged / "unreadable.txt", "w", encoding="utf-8") as log:
        listener = None if args.audio == "none" else Listener(log)
        tests = TestSets(args.test, CORPORA, listener)
        empty = set(range(len(args.test))) - set(tests.set_of)
        if empty:
            raise ValueError(f"--test {args.test[min(empty)]} has no utterances: is it complete?")
        test_counts = listener.restart() if listener else {}
        report = Report(staged, tests, excluding)
        for directory, utterance in my_utterances(args.train, args.shard):
            report.add(directory, utterance, list(tests.overlaps(directory, utterance, args.audio == "text")))
            compared, seconds = compared + 1, seconds + utterance.seconds
        report.close()
        stats = {
            "train": {"utts": compared, "hours": round(seconds / 3600, 6), **(listener.restart() if listener else {})},
            "test": {"utts": len(tests.names), "hours": round(sum(tests.seconds) / 3600, 6), **test_counts},
            "excluded": {"utts": report.excluded, "hours": round(report.excluded_seconds / 3600, 6)},
            "pairs": report.sums(),
        }
        write_atomically(staged / "stats.json", json.dumps(stats, indent=1) + "\n")
    return stats


def summary(stats: dict, out: Path) -> Iterator[str]:
    for row in stats["pairs"]:
        yield sentence(row)
    for side in ("train", "test"):
        cells = [f"{stats[side]['utts']} utterances, {stats[side]['hours']:.2f} h"]
        cells += [f"{name.replace('_', ' ')} {stats[side][name]}" for name in Listener.COUNTED if name in stats[side]]
        yield f"compared, {side}: {', '.join(cells)}"
    yield f"to leave out of training: {stats['excluded']['utts']} utterances, {stats['excluded']['hours']:.2f} h" + (
        f", listed in {out}/exclude.txt"
    )


def main(argv: Optional[List[str]] = None) -> int:
    args = get_parser().parse_args(argv)
    stats = guard(args)
    print("\n".join(summary(stats, args.out)))
    certain = sum(row["train_utts"] for row in stats["pairs"] if row["kind"] in ("id", "audio"))
    if args.strict and certain:
        print(
            f"--strict: training sets share audio or ids with test sets, see {args.out}/overlaps.tsv", file=sys.stderr
        )
    return 1 if args.strict and certain else 0


if __name__ == "__main__":
    run(main)
