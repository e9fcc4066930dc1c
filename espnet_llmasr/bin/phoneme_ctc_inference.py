"""Greedy labels of the CTC head: python -m espnet_llmasr.bin.phoneme_ctc_inference --ctc_train_config ..."""

from pathlib import Path

from espnet_llmasr.cli import Parser, add_ctc_options, run
from espnet_llmasr.files import write_scp
from espnet_llmasr.tasks.phoneme_ctc import greedy_labels


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--output_dir", type=Path, required=True, help="phones is written here")
    add_ctc_options(parser)
    return parser


def main(argv=None):
    """Writes <output_dir>/phones."""
    args = get_parser().parse_args(argv)
    head = args.ctc_train_config, args.ctc_model_file
    write_scp(args.output_dir / "phones", greedy_labels(*head, args.data_dir, args.max_frames, args.device))


if __name__ == "__main__":
    run(main)
