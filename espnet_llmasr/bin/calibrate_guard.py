"""Calibrates the guard on true transcripts and on corrupted audio. Writes guard.json beside the CTC head.

python -m espnet_llmasr.bin.calibrate_guard --ctc_train_config exp/ctc_head/config.yaml \
    --ctc_model_file exp/ctc_head/latest.pth --data_dir dump/valid
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, add_ctc_options, at_least, between, run
from espnet_llmasr.guard.calibration import TARGET
from espnet_llmasr.guard.evaluation import calibrate, flagged_shares
from espnet_llmasr.guard.verifier import CTCVerifier


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with true transcripts, not trained on")
    help_text = "share of true transcripts that may be doubtful"
    parser.add_argument("--false_alarms", type=between(0, 1), default=TARGET, help=help_text)
    parser.add_argument("--max_utterances", type=at_least(1), default=2000, help="use at most so many")
    parser.add_argument("--seed", type=int, default=0, help="seed of the corrupted audio")
    add_ctc_options(parser)
    return parser


def main(argv=None):
    """Writes guard.json and logs the share of each kind of audio below the threshold."""
    args = get_parser().parse_args(argv)
    verifier = CTCVerifier(args.ctc_train_config, args.ctc_model_file, args.device)
    limits = args.false_alarms, args.max_utterances, args.max_frames, args.seed
    calibration, confidences = calibrate(verifier, args.data_dir, *limits)
    path = args.ctc_model_file.with_name("guard.json")
    calibration.write(path)
    logging.info("%s: %s", path, calibration.summary())
    for kind, share in flagged_shares(confidences, calibration.threshold).items():
        logging.info("flagged with %s audio, %%: %s", kind, share)


if __name__ == "__main__":
    run(main)
