"""Transcribes speech by beam search: python -m espnet_llmasr.bin.llm_asr_inference --llm_asr_train_config ..."""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, between, device, run
from espnet_llmasr.inference.hypothesis import write_hypotheses
from espnet_llmasr.inference.speech2text import Speech2Text, transcribe


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--llm_asr_train_config", required=True, help="config.yaml of the training")
    parser.add_argument("--llm_asr_model_file", required=True, help="weights (*.pth)")
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--output_dir", type=Path, required=True, help="for text and score (mean log-probability)")
    parser.add_argument("--shard", default="1/1", help="transcribe only part i of n")
    parser.add_argument("--beam_size", type=at_least(1), default=3, help="beams")
    parser.add_argument("--tokens_per_second", type=between(0), default=15.0, help="token limit per second of speech")
    parser.add_argument("--max_frames", type=at_least(1), default=10000, help="padded frames per batch")
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    parser.add_argument("--guard", default="off", help="off, flag, or redecode (doubtful ones, with 3 times the beams)")
    parser.add_argument("--ctc_train_config", help="for the guard: config.yaml of the CTC head")
    parser.add_argument("--ctc_model_file", help="for the guard: weights of the CTC head, with guard.json beside them")
    parser.add_argument("--hotwords", help="a file of names and rare words, one a line; needs a guard")
    return parser


def main(argv=None):
    """Writes <output_dir>/text[.i] and score[.i], and with a guard its files (see `GUARD_FILES`)."""
    args = get_parser().parse_args(argv)
    options = dict(device=args.device, beam_size=args.beam_size, tokens_per_second=args.tokens_per_second)
    guard = dict(guard=args.guard, ctc_train_config=args.ctc_train_config, ctc_model_file=args.ctc_model_file)
    speech2text = Speech2Text(args.llm_asr_train_config, args.llm_asr_model_file, **options, **guard)
    hypotheses = transcribe(
        speech2text, args.data_dir, args.max_frames, args.shard, speech2text.hotwords(args.hotwords)
    )
    number, total = args.shard.split("/")
    write_hypotheses(args.output_dir, "" if total == "1" else f".{number}", hypotheses, args.guard)
    if args.guard != "off":
        flagged = sum(bool(hypothesis.flags) for hypothesis in hypotheses.values())
        logging.info("the guard has flagged %d of %d utterances", flagged, len(hypotheses))


if __name__ == "__main__":
    run(main)
