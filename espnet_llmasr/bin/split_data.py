"""Deals the training set out into lists that are read one after the other, for sets too big for memory.

    python -m espnet_llmasr.bin.split_data --data_dir dump/train --num_splits 20

makes dump/train/splits20/{wav.scp,text,phones,utt2num_frames}/{num_splits,split.0,split.1,...}, which a training takes
in place of the tables with --multiple_iterator true. Neighbours, often of one speaker, come into different lists.
"""

import json
import logging
from contextlib import ExitStack
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.files import check_file, replacing

TABLES = ("wav.scp", "text", "phones", "utt2num_frames")
MAX_SPLITS = 200  # files of each table that are open at once


def get_parser() -> Parser:
    parser = Parser(description="Deal a training set out into lists.")
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set>, made by stage 2")
    parser.add_argument("--num_splits", type=at_least(2), required=True, help=f"number of lists, at most {MAX_SPLITS}")
    return parser


def split(table: Path, out: Path, num_splits: int) -> int:
    """Line i goes to split i mod num_splits, as it is; returns the number of lines."""
    check_file(table)
    out.mkdir()
    number = 0
    with ExitStack() as stack:
        files = [stack.enter_context(open(out / f"split.{i}", "wb")) for i in range(num_splits)]
        for number, line in enumerate(stack.enter_context(open(table, "rb")), 1):
            files[(number - 1) % num_splits].write(line)
    (out / "num_splits").write_text(str(num_splits))
    return number


def main(argv=None):
    """Writes all lists; a directory of an earlier run is replaced when they are complete.

    Raises:
        ValueError: fewer utterances than lists, or tables of different lengths.
    """
    args = get_parser().parse_args(argv)
    if args.num_splits > MAX_SPLITS:
        raise ValueError(f"--num_splits is {args.num_splits}, allowed are 2 to {MAX_SPLITS}")
    with replacing(args.data_dir / f"splits{args.num_splits}") as staged:
        lengths = {name: split(args.data_dir / name, staged / name, args.num_splits) for name in TABLES}
        if len(set(lengths.values())) > 1 or lengths["text"] < args.num_splits:
            raise ValueError(f"{args.data_dir} cannot be dealt out into {args.num_splits} lists, its lines: {lengths}")
        (staged / "stats.json").write_text(json.dumps(lengths) + "\n")
    logging.info("%d utterances in %d lists", lengths["text"], args.num_splits)


if __name__ == "__main__":
    run(main)
