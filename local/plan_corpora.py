#!/usr/bin/env python3
"""Says which corpora of a mixture are here and which are missing, and lists the jobs that prepare them.

    LIBRISPEECH=/corpora/LibriSpeech python local/plan_corpora.py egs2/zh_en/llmasr1/local/corpora.yaml --jobs jobs.tsv

The YAML file has lists `train`, `valid` and `test` of {corpus, src, parts, hours, set}: `src` names the variable of
db.sh that holds the folder, `hours` is what the paper used of it, `set` holds options of prepare.py. A corpus whose
variable is empty is left out, and so is a part that a folder lacks. Each job is a line: list, name of the data
directory, corpus, part, folder, options of prepare.py.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import yaml  # noqa: E402
from espnet_llmasr.data.corpora.base import Source  # noqa: E402
from prepare import CORPORA, load  # noqa: E402

from espnet_llmasr.cli import Parser, run  # noqa: E402
from espnet_llmasr.files import write_atomically  # noqa: E402

LISTS = ("train", "valid", "test")
KINDS = {"corpus": str, "src": str, "parts": list, "hours": (int, float), "set": dict}


@dataclass
class Row:
    """A line of the mixture."""

    corpus: str
    src: str
    parts: List[str]
    hours: float = 0.0
    set: Dict[str, object] = field(default_factory=dict)
    lacking: List[str] = field(default_factory=list, init=False)

    @property
    def folder(self) -> str:
        return os.environ.get(self.src, "")


def read_mixture(path: Path) -> Dict[str, List[Row]]:
    """The rows of each list.

    Raises:
        ValueError: another list, another key or kind of value, an unknown corpus, part or option, or a test part in the
            list `train`.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: expected a YAML file with the lists {', '.join(LISTS)}")
    lists = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(lists, dict) or sorted(lists) != sorted(LISTS):
        raise ValueError(f"{path} must hold the lists {', '.join(LISTS)} and nothing else")
    for name, rows in lists.items():
        if not isinstance(rows, (list, type(None))):
            raise ValueError(f"{path}, list {name}: expected a list of {{corpus, src, parts}}, not {rows}")
    return {name: [checked(path, name, row) for row in lists[name] or ()] for name in LISTS}


def checked(path: Path, name: str, values: dict) -> Row:
    try:
        row = Row(**values)
        if any(not isinstance(getattr(row, key), kind) for key, kind in KINDS.items()):
            raise TypeError(values)
    except TypeError as error:
        raise ValueError(
            f"{path}, list {name}: {values} must have corpus, src and a list of parts, may have hours (a number)"
            " and set (option: value)"
        ) from error
    if row.corpus not in CORPORA:
        raise ValueError(f"{path}, list {name}: no corpus '{row.corpus}', allowed are {', '.join(CORPORA)}")
    corpus = load(row.corpus)
    for option in row.set:
        if option not in corpus.options():
            have = ", ".join(corpus.options()) or "none"
            raise ValueError(f"{path}: {row.corpus} has no option '{option}', its options are {have}")
    for part in row.parts:
        if part not in corpus.parts:
            raise ValueError(f"{path}: {row.corpus} has no part '{part}', its parts are {', '.join(corpus.parts)}")
        if name == "train" and part in corpus.tests:
            raise ValueError(f"{path}: part '{part}' of {row.corpus} is a test set: take it out of the list train")
    return row


class Here(Exception):
    """What a reader asks for first is there."""


class Probe(Source):
    """A source whose reader comes as far as the first thing it looks for."""

    def need(self, *names: str) -> Path:
        raise Here(super().need(*names))

    def find(self, *patterns: str) -> List[Path]:
        raise Here(super().find(*patterns))


def lack(row: Row, part: str) -> str:
    """Why a part of a corpus cannot be read; empty if its beginning can."""
    folder = Path(row.folder).absolute()
    try:
        next(load(row.corpus).read(Probe(folder, part, folder, folder), **row.set), None)
    except Here:
        return ""
    except ValueError as error:
        return str(error)
    return ""


def look(rows: List[Row]) -> None:
    """Notes the parts that a folder lacks.

    Raises:
        ValueError: a variable names a folder that does not exist, or that holds nothing of the corpus.
    """
    for row in rows:
        if not row.folder:
            continue
        if not Path(row.folder).is_dir():
            raise ValueError(f"{row.src}={row.folder} is no folder: correct db.sh, or leave {row.src} empty")
        reasons = {part: lack(row, part) for part in row.parts}
        row.lacking = [part for part in row.parts if reasons[part]]
        if row.lacking == row.parts:
            raise ValueError(f"{row.src}={row.folder}: {reasons[row.parts[0]]}")


def found(rows: List[Row]) -> List[Row]:
    return [row for row in rows if row.folder]


def report(mixture: Dict[str, List[Row]]) -> str:
    """A table of what is here and what is missing, with the hours of the paper."""
    out = []
    for name, rows in mixture.items():
        for row in rows:
            hours = f"{row.hours:>9,.0f} h" if row.hours else " " * 11
            state = row.folder or f"MISSING: set {row.src} in db.sh ({load(row.corpus).url})"
            without = f", WITHOUT {', '.join(row.lacking)}" if row.lacking else ""
            out.append(f"{name:6} {row.corpus:18} {hours}  {state}{without}")
    have = sum(row.hours for row in found(mixture["train"]))
    total = sum(row.hours for row in mixture["train"])
    counts = ", ".join(f"{len(found(rows))} of {len(rows)} {name}" for name, rows in mixture.items())
    less = " (less what is WITHOUT)" if any(row.lacking for row in mixture["train"]) else ""
    of = f"; {have:,.0f} of {total:,.0f} h of training speech{less}" if total else ""
    return "\n".join([*out, f"here: {counts} corpora{of}"])


def jobs(mixture: Dict[str, List[Row]]) -> List[str]:
    """One line for each part that can be prepared.

    Raises:
        ValueError: nothing is here to train or to test on (to validate, some of the training data can be held out).
    """
    lines = []
    for name, rows in mixture.items():
        if name != "valid" and not found(rows):
            wanted = ", ".join(sorted({row.src for row in rows}))
            raise ValueError(f"no corpus is here to {name} on: set at least one of {wanted} in db.sh")
        for row in found(rows):
            options = "".join(f" --set {key}={value}" for key, value in row.set.items())
            folder = Path(row.folder).absolute()
            parts = [part for part in row.parts if part not in row.lacking]
            lines += [f"{name}\t{row.corpus}_{part}\t{row.corpus}\t{part}\t{folder}\t{options}" for part in parts]
    return lines


def main(argv: Optional[List[str]] = None) -> None:
    parser = Parser(description="Say which corpora of a mixture are here, and list the jobs that prepare them.")
    parser.add_argument("mixture", type=Path, help="YAML file")
    parser.add_argument("--jobs", type=Path, help="file to write the jobs to")
    args = parser.parse_args(argv)
    mixture = read_mixture(args.mixture)
    for rows in mixture.values():
        look(rows)
    print(report(mixture), flush=True)
    if args.jobs:
        write_atomically(args.jobs, "".join(f"{line}\n" for line in jobs(mixture)))


if __name__ == "__main__":
    run(main)
