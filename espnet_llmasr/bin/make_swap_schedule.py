"""Writes the swap schedule of an IA-SFT that follows the pretraining instead of running beside it.

    python -m espnet_llmasr.bin.make_swap_schedule --encoder_dir exp/encoders --epochs 30 --schedule exp/ia_sft_swaps.jsonl

The encoders are those that the watcher (--epochs stored) has put into the store; the schedule is for --swap_schedule. The
same encoders and the same number of epochs give the same training, whatever the machine's load.
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.encoder_swap.plan import write_schedule


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--encoder_dir", type=Path, required=True, help="encoder store of a pretraining that has ended")
    parser.add_argument("--schedule", type=Path, required=True, help="the file to write; stays if nothing changes")
    parser.add_argument("--epochs", type=at_least(1), required=True, help="epochs of IA-SFT")
    parser.add_argument("--final_epochs", type=at_least(1), help="of these, on the last encoder (default: a third)")
    parser.add_argument("--ia_sft_dir", type=Path, help="the training: if it has begun, it must have kept to this plan")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    swaps, final_epochs = write_schedule(
        args.schedule, args.encoder_dir, args.epochs, args.final_epochs, args.ia_sft_dir
    )
    counts = len(swaps), args.epochs, final_epochs
    logging.info("%s: %d swaps in %d epochs, %d on the last encoder", args.schedule, *counts)


if __name__ == "__main__":
    run(main)
