"""Verifies the transcripts of any system with our CTC head; needs no LLM.

python -m espnet_llmasr.bin.verify_transcripts --ctc_train_config exp/ctc_head/config.yaml \
    --ctc_model_file exp/ctc_head/latest.pth --data_dir dump/test --hyp_dir theirs/test
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, add_ctc_options, run
from espnet_llmasr.guard.calibration import read_calibration
from espnet_llmasr.guard.verifier import CTCVerifier, read_transcripts, verify_set, write_verified
from espnet_llmasr.train.speech_batches import SpeechSet


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--hyp_dir", type=Path, required=True, help="folder with text: a transcript of each utterance")
    parser.add_argument("--output_dir", type=Path, help="for confidence, flagged and words.jsonl; default: --hyp_dir")
    add_ctc_options(parser)
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    speech_set = SpeechSet(args.data_dir)
    transcripts = read_transcripts(args.hyp_dir / "text", speech_set)
    verifier = CTCVerifier(args.ctc_train_config, args.ctc_model_file, args.device)
    threshold = read_calibration(args.ctc_model_file.with_name("guard.json"), verifier.fingerprint()).threshold
    verified = dict(verify_set(verifier, speech_set, transcripts, args.max_frames))
    flagged = write_verified(args.output_dir or args.hyp_dir, verified, threshold)
    logging.info("%d of %d utterances are not supported", len(flagged), len(verified))
    unknown = sum(each.verification.unknown for each in verified.values())
    labels = sum(each.verification.labels for each in verified.values())
    if unknown:
        logging.warning("%d of %d labels have no token of the CTC head; they count as not supported", unknown, labels)


if __name__ == "__main__":
    run(main)
