"""Makes a data directory of a published corpus, from the form in which its owner publishes it.

    python -m espnet_llmasr.bin.prepare_corpus --list
    python -m espnet_llmasr.bin.prepare_corpus librispeech /corpora/LibriSpeech train-clean-100 data/ls100

OUT gets wav.scp [segments] text utt2spk utt2lang utt2dur spk2utt stats.json, and dropped.txt, which names each item
that could not be used and why. OUT is replaced when it is complete. Nothing is fetched from the network.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, Print, at_least, run
from espnet_llmasr.data.prepare import CORPORA, Canonical, listing, prepare
from espnet_llmasr.files import parse_shard
from espnet_llmasr.text.transcript import STYLES


def get_parser() -> Parser:
    parser = Parser(description="Make a data directory of a published corpus.")
    parser.add_argument("corpus", choices=CORPORA, metavar="CORPUS", help=", ".join(CORPORA))
    parser.add_argument("src", type=Path, metavar="SRC", help="the folder that the owner publishes")
    parser.add_argument("part", metavar="PART", help="a part, see --list")
    parser.add_argument("out", type=Path, metavar="OUT", help="data directory to write")
    parser.add_argument("--prefix", help="begins all ids; the name of the corpus if not given")
    parser.add_argument("--text_style", choices=STYLES, default="plain", help="plain words, or as written")
    parser.add_argument("--limit", type=at_least(1), help="stop after so many utterances")
    parser.add_argument("--shard", default="1/1", help="prepare only part i of n")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="option of a corpus")
    parser.add_argument("--list", action=Print, text=listing, help="print all corpora and their parts, and exit")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    canonical = Canonical(args.prefix or args.corpus, args.text_style)
    prepare(args.corpus, args.src, args.part, args.out, canonical, args.set, parse_shard(args.shard), args.limit)


if __name__ == "__main__":
    run(main)
