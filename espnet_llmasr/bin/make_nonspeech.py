"""Makes the non-speech suite: clips of silence, noise, hum, clicks, music-like tones and babble, with empty references.

    python -m espnet_llmasr.bin.make_nonspeech --out dump/nonspeech --wav_scp dump/train/wav.scp

Any word that a system writes for them is made up. The clips last 0.5 to 8 s; their peaks are between -60 and -6 dBFS.
Babble is made of the utterances of --wav_scp: 24 at a time in pieces of 0.1 to 0.4 s, so that no word is intelligible.
The output is a directory as stage 2 makes it, with the kind of each clip as its speaker; the same seed and the same
utterances give the same bytes.
"""

import logging
from pathlib import Path

from espnet_llmasr.audio import Windows
from espnet_llmasr.cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.data.nonspeech import make_suite


def get_parser() -> Parser:
    parser = Parser(description="Make clips without speech, to see what a system writes for them.")
    parser.add_argument("--out", type=Path, required=True, help="dump directory to write; replaced when complete")
    parser.add_argument("--wav_scp", type=Path, required=True, help="training utterances, for babble")
    parser.add_argument("--clips", type=at_least(1), default=1200, help="how many, evenly of all kinds")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--fs", type=at_least(MIN_FS), default=16000, help="sample rate in Hz")
    return parser


def main(argv=None) -> None:
    """Raises ValueError: see `make_suite`."""
    args = get_parser().parse_args(argv)
    frames = Windows.of_features(args.fs).count
    stats = make_suite(args.out, args.wav_scp, args.clips, args.seed, args.fs, frames)
    logging.info("%s: %d clips (%.2f h)", args.out, stats["utts"], stats["hours"])


if __name__ == "__main__":
    run(main)
