"""Deals the training set out into lists that are read one after the other, for sets too big for memory.

    python -m espnet_llmasr.bin.split_data --data_dir dump/train --num_splits 20

makes dump/train/splits20/{wav.scp,text,phones,utt2num_frames}/{num_splits,split.0,split.1,...}, which a training takes
in place of the tables with --multiple_iterator true. Neighbours, often of one speaker, come into different lists.
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.data.splits import MAX_SPLITS, split_set


def get_parser() -> Parser:
    parser = Parser(description="Deal a training set out into lists.")
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set>, made by stage 2")
    parser.add_argument("--num_splits", type=at_least(2), required=True, help=f"number of lists, at most {MAX_SPLITS}")
    return parser


def main(argv=None):
    """Writes all lists. Raises ValueError: see `split_set`."""
    args = get_parser().parse_args(argv)
    logging.info("%d utterances in %d lists", split_set(args.data_dir, args.num_splits), args.num_splits)


if __name__ == "__main__":
    run(main)
