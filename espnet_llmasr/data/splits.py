"""Deals a training set out into lists that a training reads one after the other, for sets too big for memory."""

import json
from contextlib import ExitStack
from pathlib import Path

from espnet_llmasr.files import check_file, replacing

TABLES = ("wav.scp", "text", "phones", "utt2num_frames")
MAX_SPLITS = 200  # files of each table that are open at once


def split_set(data_dir: Path, num_splits: int) -> int:
    """Writes <data_dir>/splits<num_splits>/<table>/{num_splits,split.0,split.1,...}; returns the number of utterances.

    A directory of an earlier run is replaced when all lists are complete.

    Raises:
        ValueError: `num_splits` is not 2 to MAX_SPLITS, fewer utterances than lists, or tables of different lengths.
    """
    if not 2 <= num_splits <= MAX_SPLITS:
        raise ValueError(f"--num_splits is {num_splits}, allowed are 2 to {MAX_SPLITS}")
    with replacing(data_dir / f"splits{num_splits}") as staged:
        lengths = {name: split_table(data_dir / name, staged / name, num_splits) for name in TABLES}
        if len(set(lengths.values())) > 1 or lengths["text"] < num_splits:
            raise ValueError(f"{data_dir} cannot be dealt out into {num_splits} lists, its lines: {lengths}")
        (staged / "stats.json").write_text(json.dumps(lengths) + "\n")
    return lengths["text"]


def split_table(table: Path, out: Path, num_splits: int) -> int:
    """Makes the folder `out`; line i of the table goes to its split i mod num_splits, as it is.

    Returns the number of lines. Raises ValueError if the table is missing or no file.
    """
    check_file(table)
    out.mkdir()
    number = 0
    with ExitStack() as stack:
        files = [stack.enter_context(open(out / f"split.{i}", "wb")) for i in range(num_splits)]
        for number, line in enumerate(stack.enter_context(open(table, "rb")), 1):
            files[(number - 1) % num_splits].write(line)
    (out / "num_splits").write_text(str(num_splits))
    return number
