"""Mean and variance of the features.

python -m espnet_llmasr.bin.compute_stats --data_dir dump/train --output exp/stats/feats_stats.npz
"""

import logging
from itertools import islice
from pathlib import Path
from typing import Dict

import numpy as np

from espnet_llmasr.asr.fbank import write_statistics
from espnet_llmasr.asr.frontends import read_frontend
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.files import count_rows, read_rows
from espnet_llmasr.train.speech_batches import SpeechSet

MAX_FRAMES = 20000  # padded frames per batch


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


def sample(path: Path, most: int) -> Dict[str, str]:
    """At most `most` rows of a table of any length, taken at even distances; the same ones every time."""
    rows = read_rows(path)
    return dict(islice(rows, 0, None, -(-count_rows(path) // most) or 1)) if path.exists() else dict(rows)


def main(argv=None):
    """Sums features and their squares over valid frames, in double precision."""
    args = get_parser().parse_args(argv)
    speech_set = SpeechSet(args.data_dir, sample(args.data_dir / "wav.scp", args.max_utterances))
    frontend, total = read_frontend(args.encoder_config, args.fs), 0
    first, second = np.zeros(frontend.output_size()), np.zeros(frontend.output_size())
    budget = max([MAX_FRAMES, *speech_set.num_frames.values()])
    for _, speech, lengths in speech_set.batches(budget, args.fs):
        feats, feat_lengths = frontend(speech, lengths)
        valid = feats[valid_frames(feat_lengths, feats)].double().numpy()
        total, first, second = total + len(valid), first + valid.sum(0), second + (valid**2).sum(0)
    write_statistics(args.output, total, first, second)
    logging.info("statistics of %d frames from %d utterances", total, len(speech_set.wavs))


if __name__ == "__main__":
    run(main)
