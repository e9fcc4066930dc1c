"""Checks that an IA-SFT has seen the last encoder of its pretraining, before the next stage starts from its model.

python -m espnet_llmasr.bin.check_swaps exp/ia_sft
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.encoder_swap.trainer import check_final


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("ia_sft_dir", type=Path, help="folder of the training, with its swaps.jsonl")
    return parser


def main(argv=None) -> None:
    check_final(get_parser().parse_args(argv).ia_sft_dir / "swaps.jsonl")


if __name__ == "__main__":
    run(main)
