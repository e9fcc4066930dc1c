"""Table of the transcripts of clips without speech, by kind of clip, without and with the guard.

    python -m espnet_llmasr.bin.nonspeech_table --data_dir dump/nonspeech --hyp_dir exp/joint_sft/robustness/off \
        --guard_dir exp/joint_sft/robustness/flag --redecode_dir exp/joint_sft/robustness/redecode

Reads <data_dir>/{text,utt2spk,utt2num_frames} of bin.make_nonspeech, and text and flagged of the decodings. With
`--guard flag` a flagged transcript counts as none, as a user would discard it; with `--guard redecode` every
transcript counts.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.files import write_atomically
from espnet_llmasr.scoring.nonspeech_table import nonspeech_page


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="the suite, of bin.make_nonspeech")
    parser.add_argument("--hyp_dir", type=Path, required=True, help="its transcripts without the guard")
    parser.add_argument("--guard_dir", type=Path, help="its transcripts with --guard flag, and their flags")
    parser.add_argument("--redecode_dir", type=Path, help="its transcripts with --guard redecode")
    parser.add_argument("--out", type=Path, help="markdown file to write the table to")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    page = nonspeech_page(args.data_dir, args.hyp_dir, args.guard_dir, args.redecode_dir)
    if args.out:
        write_atomically(args.out, page)
    print(page, end="")


if __name__ == "__main__":
    run(main)
