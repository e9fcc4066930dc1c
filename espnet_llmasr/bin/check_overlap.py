"""Keeps test sets out of the training data: finds training utterances that are also in a test set.

    python -m espnet_llmasr.bin.check_overlap --train data/aishell1_train data/ascend_train --test data/ascend_test \\
        --out data/overlaps
    python -m espnet_llmasr.bin.combine_data data/train data/aishell1_train data/ascend_train \\
        --exclude data/overlaps/exclude.txt

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

import sys
from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.data.overlap.find import find_overlaps, summary
from espnet_llmasr.files import parse_shard

AUDIO = "compare the audio of all training utterances, of those with equal or similar text, or of none"


def get_parser() -> Parser:
    parser = Parser(description="Find training utterances that are in a test set, by id, audio and text.")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="data directories to train on")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="data directories to test on")
    parser.add_argument("--out", type=Path, required=True, help="directory to write; replaced when complete")
    parser.add_argument("--audio", choices=["all", "text", "none"], default="all", help=AUDIO)
    parser.add_argument("--exclude_text", action="store_true", help="leave out what shares only the text, too")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if an id or audio is shared")
    parser.add_argument("--shard", default="1/1", help="compare only part i of n of the training utterances")
    return parser


def main(argv=None) -> int:
    args = get_parser().parse_args(argv)
    stats = find_overlaps(args.train, args.test, args.out, args.audio, args.exclude_text, parse_shard(args.shard))
    print("\n".join(summary(stats, args.out)))
    shared = any(row["kind"] in ("id", "audio") for row in stats["pairs"])
    if args.strict and shared:
        print(
            f"--strict: training sets share audio or ids with test sets, see {args.out}/overlaps.tsv", file=sys.stderr
        )
    return 1 if args.strict and shared else 0


if __name__ == "__main__":
    run(main)
