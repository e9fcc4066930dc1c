"""Transcribes recordings: python -m espnet_llmasr.bin.transcribe FILES... --model TAG --format srt"""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.files import progress


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("files", nargs="+", help="recordings, folders, Kaldi directories, or - for the standard input")
    parser.add_argument(
        "--format", default="text", choices=["text", "json", "srt", "vtt", "ctm", "kaldi"], help="result"
    )
    parser.add_argument("--output_dir", type=Path, help="one file for each recording, in place of the standard output")
    parser.add_argument("--model", help="packed model, in place of the next two: see Speech2Text.from_pretrained")
    parser.add_argument("--llm_asr_train_config", help="config.yaml of the training")
    parser.add_argument("--llm_asr_model_file", help="weights (*.pth)")
    parser.add_argument("--guard", default="off", help="off, flag, or redecode (doubtful ones, with 3 times the beams)")
    parser.add_argument("--ctc_train_config", help="for the guard and for times: config.yaml of the CTC head")
    parser.add_argument("--ctc_model_file", help="weights of the CTC head, with guard.json beside them")
    parser.add_argument("--language", default="", help="of all recordings, as in utt2lang")
    parser.add_argument("--beam_size", type=at_least(1), default=3, help="beams")
    parser.add_argument("--batch_size", type=at_least(1), default=16, help="most pieces that are decoded together")
    parser.add_argument(
        "--max_frames", type=at_least(1), default=10000, help="most padded 10 ms frames of them (memory)"
    )
    parser.add_argument("--longest_s", type=at_least(1), default=20, help="longer recordings are cut at silences")
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    return parser


def main(argv=None) -> int:
    """Prints the transcripts in the order of the files; names those that failed, and then returns 1."""
    parser = get_parser()
    args = parser.parse_args(argv)
    files = {name: getattr(args, name) for name in ("llm_asr_train_config", "llm_asr_model_file")}
    if (args.model is None) == (None in files.values()):
        parser.error("give --model, or --llm_asr_train_config and --llm_asr_model_file")
    from espnet_llmasr.inference.formats import check_format, deliver
    from espnet_llmasr.inference.speech2text import Speech2Text
    from espnet_llmasr.inference.transcribe import find_sources, transcribe

    head = {name: getattr(args, name) for name in ("ctc_train_config", "ctc_model_file")}
    options = dict(device=args.device, beam_size=args.beam_size, guard=args.guard)
    options |= {name: value for name, value in head.items() if value is not None}
    with find_sources(args.files, args.language) as sources:
        check_format(args.format, sources, args.output_dir, args.guard != "off")
        model = Speech2Text.from_pretrained(args.model, **options) if args.model else Speech2Text(**files, **options)
        limits = args.batch_size, args.max_frames, args.longest_s
        transcripts = transcribe(sources, model.decode, model.sample_rate, *limits)
        transcripts = progress(transcripts, f"of {len(sources)} recordings")
        return int(deliver(transcripts, args.format, args.output_dir, len(sources) > 1) > 0)


if __name__ == "__main__":
    run(main)
