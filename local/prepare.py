#!/usr/bin/env python3
"""Makes an ESPnet data directory of a published corpus, from the form in which its owner publishes it.

    python local/prepare.py --list
    python local/prepare.py librispeech /corpora/LibriSpeech train-clean-100 data/librispeech_train-clean-100

OUT gets wav.scp [segments] text utt2spk utt2lang utt2dur spk2utt stats.json, and dropped.txt, which names each item
that could not be used and why. OUT is written beside its place and put there when it is complete. Nothing is fetched
from the network.
"""

import argparse
import importlib
import logging
import shlex
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from espnet_llmasr.data.corpora.base import Corpus, Source, Utterance  # noqa: E402
from espnet_llmasr.data.corpora.writer import Writer, write_data_dir  # noqa: E402

from espnet_llmasr.cli import Parser, at_least, run  # noqa: E402
from espnet_llmasr.files import replacing  # noqa: E402
from espnet_llmasr.text.transcript import STYLES  # noqa: E402

TRAINING = (  # Table 4 of arXiv 2604.08003, in its order
    "yodas_granary emilia mls_english voxpopuli msr_86k commonvoice gigaspeech libriheavy librispeech spgispeech"
    " peoples_speech vctk tedlium3 wenetspeech_yue wenetspeech_chuan wenetspeech fleurs aishell1 aishell2 kespeech"
    " cs_dialogue ascend"
).split()
BENCHMARKS = "aishell_2021_eval wsc_eval wsyue_eval speechio".split()
CORPORA = (*TRAINING, *BENCHMARKS)


def load(name: str) -> Corpus:
    """The entry of one corpus."""
    return importlib.import_module(f"espnet_llmasr.data.corpora.{name}").CORPUS


def listing() -> str:
    """All corpora with licence, address, parts and options."""
    out = [
        "CORPUS (languages), licence; below: address, PARTs ([test]: never to train on), options with their defaults\n"
    ]
    for name in CORPORA:
        corpus = load(name)
        out.append(f"{name} ({corpus.lang}), {corpus.licence}\n    {corpus.url}")
        out += [f"    {part:24} {what}{' [test]' * (part in corpus.tests)}" for part, what in corpus.parts.items()]
        settings = (f"{option}={default}" for option, default in corpus.options().items())
        out += [f"    --set {shlex.quote(setting)}" for setting in settings]
    return "\n".join(out)


def get_parser() -> Parser:
    parser = Parser(description="Make an ESPnet data directory of a published corpus. --list: corpora and their parts.")
    parser.add_argument("corpus", choices=CORPORA, metavar="CORPUS", help=", ".join(CORPORA))
    parser.add_argument("src", type=Path, metavar="SRC", help="the folder that the owner publishes")
    parser.add_argument("part", metavar="PART", help="a part, see --list")
    parser.add_argument("out", type=Path, metavar="OUT", help="data directory to write")
    parser.add_argument("--prefix", help="begins all ids; the name of the corpus if not given")
    parser.add_argument("--text_style", choices=STYLES, default="plain", help="plain words, or as written")
    parser.add_argument("--limit", type=at_least(1), help="stop after so many utterances")
    parser.add_argument("--shard", type=shard, default="1/1", help="prepare only part i of n")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="option of a corpus")
    return parser


def reader_options(corpus: Corpus, given: List[str]) -> Dict[str, object]:
    """--set OPTION=VALUE, each value in the type of its default.

    Raises:
        ValueError: an option that the corpus does not have, or a value of another type.
    """
    options = corpus.options()
    for setting in given:
        name, equals, value = setting.partition("=")
        if name not in options or not equals:
            have = ", ".join(f"{option}=..." for option in options) or "no options"
            raise ValueError(f"--set {setting}: this corpus has {have}")
        try:
            options[name] = type(options[name])(value)
        except ValueError as error:
            raise ValueError(f"--set {setting}: expected a value such as {options[name]}") from error
    return options


def shard(text: str) -> Tuple[int, int]:
    """An argument type: i/n."""
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise argparse.ArgumentTypeError(f"{text} is not i/n with 1 <= i <= n, such as 1/4")
    return int(number), int(total)


def mine(source: Source, utterances: Iterator[Utterance], limit: Optional[int]) -> Iterator[Utterance]:
    """The utterances of this shard, at most `limit`; drops what has fields of a wrong type (wrong_type)."""
    taken = 0
    for utterance in utterances:
        if utterance.is_mistyped():
            source.drop(str(utterance.id), "wrong_type")
        elif source.is_mine(utterance.id):
            yield utterance
            taken += 1
            if taken == limit:
                return


def prepare(args) -> dict:
    """Writes the data directory and returns its statistics.

    Raises:
        ValueError: an unknown part or option, a source of another layout, duplicate ids, or nothing left.
    """
    corpus = load(args.corpus)
    if args.part not in corpus.parts:
        raise ValueError(f"{args.corpus} has no part '{args.part}', its parts are {', '.join(corpus.parts)}")
    if not args.src.is_dir():
        raise ValueError(f"{args.src} is no folder: {args.corpus} comes from {corpus.url}")
    src, out, options = args.src.absolute(), args.out.absolute(), reader_options(corpus, args.set)
    with replacing(out) as staged, open(staged / "dropped.txt", "w", encoding="utf-8", errors="replace") as log:
        source = Source(src, args.part, staged / "audio", out / "audio", args.shard, log)
        writer = Writer(corpus, args.prefix or args.corpus, args.text_style)
        stats = write_data_dir(staged, source, writer, mine(source, corpus.read(source, **options), args.limit))
        dropped = ", ".join(f"{reason} {count}" for reason, count in stats["dropped"].items())
        logging.info(
            "%s: %d utterances, %.2f h; dropped: %s", args.out, stats["utts"], stats["hours"], dropped or "none"
        )
        if not stats["utts"] and source.shard[1] == 1:
            raise ValueError(
                f"no utterance of {args.src} is left (dropped: {dropped or 'none'}): is it the right folder?"
            )
    return stats


def main(argv: Optional[List[str]] = None) -> None:
    if "--list" in (argv or sys.argv[1:]):
        print(listing())
        return
    prepare(get_parser().parse_args(argv))


if __name__ == "__main__":
    run(main)
