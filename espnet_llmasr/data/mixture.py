"""A mixture of corpora (egs2/*/local/corpora.yaml): which of them are here, which are missing, what prepares them.

The YAML file has lists `train`, `valid` and `test` of {corpus, src, parts, hours, set}: `src` names the variable of
db.sh that holds the folder, `hours` is what the paper used of it, `set` holds options of the corpus's reader. A corpus
whose variable is empty is left out, and so is a part that a folder lacks.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.prepare import CORPORA, load
from espnet_llmasr.files import read_yaml

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
    missing: List[str] = field(default_factory=list, init=False)
    """Parts that the folder lacks, see `mark_missing_parts`."""

    @property
    def folder(self) -> str:
        return os.environ.get(self.src, "")


def read_mixture(path: Path) -> Dict[str, List[Row]]:
    """The rows of each list.

    Raises ValueError for another list, another key or kind of value, an unknown corpus, part or option, or a test part
    in the list `train`.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: expected a YAML file with the lists {', '.join(LISTS)}")
    lists = read_yaml(path, kind=object)
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


class FirstFileFound(Exception):
    """The first file or folder that a reader asks for exists."""


class ProbeSource(Source):
    """A source that stops its reader at the first thing that the reader looks for."""

    def need(self, *names: str) -> Path:
        raise FirstFileFound(super().need(*names))

    def find(self, *patterns: str) -> List[Path]:
        raise FirstFileFound(super().find(*patterns))


def missing_reason(row: Row, part: str) -> str:
    """Why a part of a corpus cannot be read; empty if its first file or folder is there."""
    folder = Path(row.folder).absolute()
    try:
        next(load(row.corpus).read(ProbeSource(folder, part, folder, folder), **row.set), None)
    except FirstFileFound:
        pass
    except ValueError as error:
        return str(error)
    return ""


def mark_missing_parts(rows: List[Row]) -> None:
    """Notes the parts that a folder lacks.

    Raises ValueError if a variable names a folder that does not exist, or that holds nothing of the corpus.
    """
    for row in available(rows):
        if not Path(row.folder).is_dir():
            raise ValueError(f"{row.src}={row.folder} is no folder: correct db.sh, or leave {row.src} empty")
        reasons = {part: missing_reason(row, part) for part in row.parts}
        row.missing = [part for part in row.parts if reasons[part]]
        if row.missing == row.parts:
            raise ValueError(f"{row.src}={row.folder}: {reasons[row.parts[0]]}")


def available(rows: List[Row]) -> List[Row]:
    """The rows whose variable names a folder."""
    return [row for row in rows if row.folder]


def report(mixture: Dict[str, List[Row]]) -> str:
    """A table of what is here and what is missing, with the hours of the paper."""
    out = []
    for name, rows in mixture.items():
        for row in rows:
            hours = f"{row.hours:>9,.0f} h" if row.hours else " " * 11
            state = row.folder or f"MISSING: set {row.src} in db.sh ({load(row.corpus).url})"
            without = f", WITHOUT {', '.join(row.missing)}" if row.missing else ""
            out.append(f"{name:6} {row.corpus:18} {hours}  {state}{without}")
    have = sum(row.hours for row in available(mixture["train"]))
    total = sum(row.hours for row in mixture["train"])
    counts = ", ".join(f"{len(available(rows))} of {len(rows)} {name}" for name, rows in mixture.items())
    less = " (less what is WITHOUT)" if any(row.missing for row in mixture["train"]) else ""
    of = f"; {have:,.0f} of {total:,.0f} h of training speech{less}" if total else ""
    return "\n".join([*out, f"here: {counts} corpora{of}"])


def jobs(mixture: Dict[str, List[Row]]) -> List[str]:
    """One line for each part that can be prepared.

    Raises ValueError without a corpus to train or to test on; to validate, some of the training data can be held out.
    """
    lines = []
    for name, rows in mixture.items():
        if name != "valid" and not available(rows):
            wanted = ", ".join(sorted({row.src for row in rows}))
            raise ValueError(f"no corpus is here to {name} on: set at least one of {wanted} in db.sh")
        for row in available(rows):
            options = "".join(f" --set {key}={value}" for key, value in row.set.items())
            folder = Path(row.folder).absolute()
            parts = [part for part in row.parts if part not in row.missing]
            lines += [f"{name}\t{row.corpus}_{part}\t{row.corpus}\t{part}\t{folder}\t{options}" for part in parts]
    return lines
