"""Reads the files of an experiment, of which any may be unfinished: a training may be writing it."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import yaml

from espnet_llmasr.files import read_json_lines, read_text
from espnet_llmasr.scoring.markdown import cell_text, markdown

DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, yaml.YAMLError)
"""Errors caused by a file that is cut off, or has another shape or other values inside."""


@contextmanager
def made_by(path: Path, maker: str) -> Iterator[None]:
    """Turns any error caused by the content of `path` into a ValueError that names the file and its `maker`."""
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, ValueError) and path.name in str(error):
            raise  # the message names the file already
        raise ValueError(f"{path} is not what {maker} writes ({describe_error(error)}): run {maker} again") from error


def describe_error(error: Exception) -> str:
    """The error with its kind, as 'threshold' alone would not explain a KeyError."""
    return f"{type(error).__name__}: {error}"


def read_json(path: Path) -> Any:
    """Raises ValueError, naming the file, for text that is no JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON ({error})") from error


def log_table(path: Path, hidden: Tuple[str, ...] = ()) -> str:
    """A JSON-lines log as a Markdown table, a column for every key (also inside dictionaries) except those `hidden`."""
    rows = [_flat(row) for row in read_json_lines(path)]
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in hidden]
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    return markdown([[name.replace("_", " ") for name in columns], *cells]) if rows else ""


def _flat(row: Dict) -> Dict:
    flat = {}
    for name, value in row.items():
        is_dict = isinstance(value, dict)
        flat.update({f"{name} {key}": inner for key, inner in value.items()} if is_dict else {name: value})
    return flat


def _cell(value: Any) -> str:
    """Of a list the first and the last item, as of the layers of an encoder."""
    if isinstance(value, list):
        return " … ".join(map(_cell, [value[0], *value[1:][-1:]])) if value else "-"
    if isinstance(value, bool) or not isinstance(value, float):
        return "-" if value is None else cell_text(str(value))
    return f"{value:.4f}"
