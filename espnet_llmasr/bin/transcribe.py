"""Transcribes recordings: python -m espnet_llmasr.bin.transcribe FILES... --model PACK --format srt"""

from functools import partial
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, between, device, run

MODEL, HEAD = ("llm_asr_train_config", "llm_asr_model_file"), ("ctc_train_config", "ctc_model_file")


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("files", nargs="+", help="recordings, folders, Kaldi directories, or - for the standard input")
    formats = ["text", "json", "srt", "vtt", "ctm", "kaldi"]
    add("--format", default="text", choices=formats, help="form of the results")
    add("--output_dir", type=Path, help="one file for each recording, in place of the standard output")
    add("--model", help="packed model, in place of the next two: see Speech2Text.from_pretrained")
    add("--llm_asr_train_config", help="config.yaml of the training")
    add("--llm_asr_model_file", help="weights (*.pth)")
    add("--ctc_train_config", help="for the guard, times and hotwords: config.yaml of the CTC head")
    add("--ctc_model_file", help="weights of the CTC head, with guard.json beside them")
    add("--guard", help="off, flag (default with a CTC head), or redecode (doubtful ones, with 3 times the beams)")
    add("--hotwords", help="a file of names and rare words, one a line")
    add("--language", default="", help="of all recordings, as in utt2lang")
    add("--beam_size", type=at_least(1), default=3, help="beams")
    add("--batch_size", type=at_least(1), default=16, help="most pieces that are decoded together")
    add("--max_frames", type=at_least(1), default=10000, help="most padded 10 ms frames of them (memory)")
    add("--longest_s", type=at_least(1), default=20, help="longer recordings are cut at silences")
    add("--pause_s", type=between(0.1), default=0.4, help="silence in them that ends a piece")
    add("--device", type=device, default="cpu", help="cpu or cuda")
    return parser


def main(argv=None) -> int:
    """Prints the transcripts in the order of the files; names those that failed, and then returns 1."""
    parser = get_parser()
    args = parser.parse_args(argv)
    files = {name: value for name in MODEL + HEAD if (value := getattr(args, name)) is not None}
    if files.keys() & {*MODEL} != (set() if args.model else {*MODEL}):
        parser.error("give --model, or --llm_asr_train_config and --llm_asr_model_file")
    from espnet_llmasr.inference.formats import check_format, deliver
    from espnet_llmasr.inference.speech2text import Speech2Text
    from espnet_llmasr.inference.transcribe import find_sources, transcribe

    make = partial(Speech2Text.from_pretrained, args.model) if args.model else Speech2Text
    with find_sources(args.files, args.language) as sources:
        model = make(device=args.device, beam_size=args.beam_size, guard=args.guard, **files)
        check_format(args.format, sources, args.output_dir, model.guard is not None)
        decode = partial(model.decode, hotwords=model.hotwords(args.hotwords, args.language))
        limits = args.batch_size, args.max_frames, args.longest_s, args.pause_s
        found = transcribe(sources, decode, model.sample_rate, *limits)
        return int(deliver(found, args.format, args.output_dir, len(sources) > 1) > 0)


if __name__ == "__main__":
    run(main)
