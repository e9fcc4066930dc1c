"""Prints the paper's Table 5 for a run.

python -m espnet_llmasr.bin.swap_table --encoder_dir exp/encoders --ia_sft_dir exp/ia_sft
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.encoder_swap.table import swap_table
from espnet_llmasr.files import write_atomically


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--encoder_dir", type=Path, required=True, help="encoder store with cka.jsonl")
    parser.add_argument("--ia_sft_dir", type=Path, required=True, help="IA-SFT experiment with swaps.jsonl")
    parser.add_argument("--out", type=Path, help="also write the table here")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    text = swap_table(args.encoder_dir, args.ia_sft_dir)
    print(text)
    if args.out:
        write_atomically(args.out, text)


if __name__ == "__main__":
    run(main)
