"""Stage 2: checks and filters a Kaldi data directory, makes the labels, and writes the dump directory in one step.

    python -m espnet_llmasr.bin.format_data --data data/train --out dump/train --tokens dump/phones.txt --unit phone

Every utterance that cannot be used is dropped, counted by reason in stats.json and named in dropped.txt. Tables are
read and written as streams, so memory does not grow with their length; no audio is copied: wav.scp of the dump holds
entries as in espnet_llmasr.audio (a segment is path#t=start,end), whose rate and channels are converted on reading.
"""

import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterable, Iterator, List, Optional

from espnet_llmasr.data.checks import AUDIO_CHECKS, Check, check_all
from espnet_llmasr.cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.data.dump import Dump
from espnet_llmasr.data.kaldi import audio_table, read_training_text, read_utterances
from espnet_llmasr.files import count_rows, replacing, write_atomically
from espnet_llmasr.text.phonemes import INVENTORIES, Characters, make_units


def with_progress(results: Iterable, total: int, interval_s: float = 10.0) -> Iterator:
    last = time.monotonic()
    for number, result in enumerate(results, 1):
        if number % 64 == 0 and time.monotonic() - last > interval_s:
            logging.info("%d of %d utterances checked", number, total)
            last = time.monotonic()
        yield result


def write_tokens(path: Path, tokens: List[str]) -> None:
    """One token per line; the line number is the index."""
    write_atomically(path, "".join(f"{token}\n" for token in tokens))


def read_tokens(path: Path) -> List[str]:
    return Path(path).read_text(encoding="utf-8").split("\n")[:-1]


def prepare_units(args, scratch: Path):
    """The units to label with, equal to an existing token file.

    The character list comes from --token_text if that is given, or from the text of --data if there is no token file
    yet, otherwise from the file.

    Raises:
        ValueError: the token file holds another list.
    """
    tokens = args.tokens
    if args.unit == "char" and tokens.exists() and not args.token_text:
        return Characters(read_tokens(tokens))
    lines = read_training_text(args.token_text or args.data / "text", scratch) if args.unit == "char" else ()
    units = make_units(args.unit, lines, args.inventory)
    if tokens.exists() and read_tokens(tokens) != units.tokens:
        raise ValueError(
            f"{tokens} holds {len(read_tokens(tokens))} tokens, other than the {len(units.tokens)} of"
            f" --unit {args.unit} --inventory {args.inventory}:"
            " remove it (and what was trained on it) or name another file with --tokens"
        )
    return units


def get_parser() -> Parser:
    parser = Parser(description="Check and filter a data directory and make its labels.")
    parser.add_argument(
        "--data", type=Path, required=True, help="Kaldi data directory: wav.scp, text; segments, utt2* if there"
    )
    parser.add_argument("--out", type=Path, required=True, help="dump directory to write; replaced when complete")
    parser.add_argument("--tokens", type=Path, required=True, help="token list, shared by all sets")
    parser.add_argument("--unit", choices=["phone", "char"], default="phone")
    parser.add_argument("--inventory", choices=INVENTORIES, default="zh_en", help="phones of --unit phone")
    parser.add_argument("--token_text", type=Path, help="training text for --unit char; else the token list or --data")
    parser.add_argument(
        "--fs", type=at_least(MIN_FS), default=16000, help="sample rate in Hz; others are converted on reading"
    )
    parser.add_argument(
        "--audio_check",
        choices=AUDIO_CHECKS,
        default="decode",
        help="decode: compressed and float audio as a whole; header: headers only; utt2dur: trust that, open nothing",
    )
    parser.add_argument(
        "--encoder_config", type=Path, help="YAML file with encoder and encoder_conf (default: FireRedASR's Conformer)"
    )
    parser.add_argument("--min_duration", type=float, default=0.1, help="in seconds")
    parser.add_argument("--max_duration", type=float, default=30.0, help="in seconds")
    parser.add_argument("--nj", type=at_least(1), default=1, help="processes")
    parser.add_argument("--test", action="store_true", help="a test set: only what cannot be decoded is dropped")
    return parser


def format_data(args) -> dict:
    """Runs the stage and returns its statistics.

    Raises:
        ValueError: see `read_utterances`, `prepare_units`, `Dump` and `replacing`, or no utterance is left.
    """
    from espnet_llmasr.asr.encoder import read_windows  # slow, and the --nj processes do without

    if not 0 <= args.min_duration < args.max_duration:
        raise ValueError(f"--min_duration {args.min_duration} must be below --max_duration {args.max_duration}")
    if args.audio_check == "utt2dur" and not (args.data / "utt2dur").exists():
        raise ValueError(f"--audio_check utt2dur: there is no {args.data / 'utt2dur'}: give --audio_check header")
    with replacing(args.out) as staged, TemporaryDirectory(dir=staged) as scratch:
        utterances = read_utterances(args.data, Path(scratch))
        units, test = prepare_units(args, Path(scratch)), args.test
        lengths = read_windows(args.encoder_config).count
        check = Check(units, lengths, args.fs, args.min_duration, args.max_duration, args.audio_check, test)
        with Dump(staged, args.fs) as dump:
            for row in with_progress(check_all(check, utterances, args.nj), count_rows(audio_table(args.data))):
                dump.add(*row)
        stats = dump.finish()
        dump.report(args.data)
        if not stats["utts"]:
            dropped = sum(stats["dropped"].values())
            raise ValueError(f"no utterance of {args.data} is left: all {dropped} dropped, see the line above")
        if not args.tokens.exists():
            write_tokens(args.tokens, units.tokens)
    return stats


def main(argv: Optional[List[str]] = None) -> None:
    format_data(get_parser().parse_args(argv))


if __name__ == "__main__":
    run(main)
