"""Stage 2: checks and filters a Kaldi data directory, makes the labels, and writes the dump directory in one step.

    python -m espnet_llmasr.bin.format_data --data data/train --out dump/train --tokens dump/phones.txt --unit phone

Every utterance that cannot be used is dropped, counted by reason in stats.json and named in dropped.txt. Tables are
read and written as streams, so memory does not grow with their length. No audio is copied: wav.scp of the dump holds
entries as in espnet_llmasr.audio (a segment is path#t=start,end), whose rate and channels are converted on reading.
"""

from pathlib import Path

from espnet_llmasr.asr.frontends import read_framing
from espnet_llmasr.cli import MIN_FS, Parser, at_least, between, run
from espnet_llmasr.data.checks import AUDIO_CHECKS, Limits
from espnet_llmasr.data.labels import Labels, format_data
from espnet_llmasr.text.inventories import inventory


def get_parser() -> Parser:
    parser = Parser(description="Check and filter a data directory and make its labels.")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="Kaldi data directory: wav.scp, text; segments, utt2* if there")
    add("--out", type=Path, required=True, help="dump directory to write; replaced when complete")
    add("--tokens", type=Path, required=True, help="token list, shared by all sets")
    add("--unit", choices=["phone", "char"], default="phone")
    add("--inventory", type=inventory, default="zh_en", help="phones of --unit phone, or a table of pronunciations")
    add("--token_text", type=Path, help="training text for --unit char; else the token list or --data")
    add("--fs", type=at_least(MIN_FS), default=16000, help="sample rate in Hz; others are converted on reading")
    checks = "decode: compressed and float audio as a whole; header: headers only; utt2dur: trust that, open nothing"
    add("--audio_check", choices=AUDIO_CHECKS, default="decode", help=checks)
    add("--encoder_config", type=Path, help="YAML file with encoder, frontend and their _conf; else FireRedASR's")
    add("--min_duration", type=between(0), default=0.1, help="in seconds")
    add("--max_duration", type=between(0), default=30.0, help="in seconds")
    add("--nj", type=at_least(1), default=1, help="processes")
    add("--test", action="store_true", help="a test set: only what cannot be decoded is dropped")
    return parser


def main(argv=None) -> None:
    """Raises ValueError: see `format_data`."""
    args = get_parser().parse_args(argv)
    frames = (windows.count for windows in read_framing(args.encoder_config, args.fs))
    limits = Limits(args.fs, args.min_duration, args.max_duration, *frames, args.test)
    labels = Labels(args.tokens, args.unit, args.inventory, args.token_text)
    format_data(args.data, args.out, labels, limits, args.audio_check, args.nj)


if __name__ == "__main__":
    run(main)
