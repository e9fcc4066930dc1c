"""Makes one data directory of several: the shards of a corpus, or many corpora.

    python -m espnet_llmasr.bin.combine_data data/train data/aishell1_train data/librispeech_train-clean-100
    python -m espnet_llmasr.bin.combine_data data/train data/all --exclude data/overlaps/exclude.txt
    python -m espnet_llmasr.bin.combine_data data/cka data/valid --utts 500

OUT has segments if one of the directories has; recordings that are not cut become one segment then. The audio stays
where the entries of wav.scp say: keep the directories if they hold audio. OUT is replaced when it is complete.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.data.combine import combine


def get_parser() -> Parser:
    parser = Parser(description="Make one data directory of several, sorted; ids that occur twice are refused.")
    parser.add_argument("out", type=Path, metavar="OUT", help="data directory to write")
    parser.add_argument("parts", type=Path, nargs="+", metavar="IN", help="data directories")
    parser.add_argument(
        "--exclude", type=Path, action="append", default=[], help="file of ids to leave out, one a line"
    )
    parser.add_argument("--utts", type=at_least(1), help="take at most so many, evenly from all speakers")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    stats = combine(args.out, args.parts, args.exclude, args.utts)
    print(f"{args.out}: {stats['utts']} utterances, {stats['hours']:.2f} h; dropped: {stats['dropped'] or 'none'}")


if __name__ == "__main__":
    run(main)
