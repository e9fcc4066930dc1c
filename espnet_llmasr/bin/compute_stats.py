"""Mean and variance of the features.

python -m espnet_llmasr.bin.compute_stats --data_dir dump/train --output exp/stats/feats_stats.npz
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.train.feature_statistics import compute_statistics


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--output", type=Path, required=True, help="feats_stats.npz, in ESPnet's form")
    parser.add_argument("--fs", type=at_least(MIN_FS), default=16000, help="sample rate")
    parser.add_argument(
        "--encoder_config", type=Path, help="YAML file with frontend and frontend_conf; else KaldiFbank"
    )
    parser.add_argument("--max_utterances", type=at_least(1), default=100000, help="taken evenly from the set")
    return parser


def main(argv=None):
    """Raises ValueError: see `compute_statistics`."""
    args = get_parser().parse_args(argv)
    counts = compute_statistics(args.output, args.data_dir, args.fs, args.encoder_config, args.max_utterances)
    logging.info("statistics of %d frames from %d utterances", *counts)


if __name__ == "__main__":
    run(main)
