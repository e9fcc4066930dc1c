"""Verifies the transcripts of any system with our CTC head; needs no LLM.

python -m espnet_llmasr.bin.verify_transcripts --ctc_train_config exp/ctc_head/config.yaml \
    --ctc_model_file exp/ctc_head/latest.pth --data_dir dump/test --hyp_dir theirs/test
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, add_ctc_options, run
from espnet_llmasr.guard.transcripts import verify_transcripts


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--hyp_dir", type=Path, required=True, help="folder with text: a transcript of each utterance")
    parser.add_argument("--output_dir", type=Path, help="for confidence, flagged and words.jsonl; default: --hyp_dir")
    add_ctc_options(parser)
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    head = args.ctc_train_config, args.ctc_model_file, args.max_frames, args.device
    totals = verify_transcripts(args.data_dir, args.hyp_dir, args.output_dir or args.hyp_dir, *head)
    logging.info("%d of %d utterances are not supported", totals.flagged, totals.utterances)
    if totals.unknown:
        counts = totals.unknown, totals.labels
        logging.warning("%d of %d labels have no token of the CTC head; they count as not supported", *counts)


if __name__ == "__main__":
    run(main)
