"""Reads the files of an experiment that may be in the middle of its training."""

import json
import re
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

import yaml

Span = Tuple[datetime, datetime]
_CLOCK = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)")

DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, yaml.YAMLError)
"""What a file may cause that is cut off, or has another shape or other values inside."""


@contextmanager
def made_by(path: Path, maker: str) -> Iterator[None]:
    """What is cut off, lacks a key or has another shape inside is not what `maker` ("stage 12") writes.

    Raises:
        ValueError: naming the file and who makes it anew.
    """
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, ValueError) and path.name in str(error):
            raise  # it says already what is wrong
        raise ValueError(f"{path} is not what {maker} writes ({told(error)}): run {maker} again") from error


def told(error: Exception) -> str:
    """The error with its kind, as 'threshold' alone says nothing."""
    return f"{type(error).__name__}: {error}"


def read_json(path: Path) -> Any:
    """Raises ValueError, naming the file, for what is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error})") from error


def json_lines(path: Path) -> List[Dict]:
    """The objects of a JSON-lines file, none without a file.

    Raises:
        ValueError: a line that is no JSON, with its number.
    """
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    rows = []
    for count, line in enumerate(lines, 1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"{path}, line {count} is no JSON ({error})") from error
    return rows


def beside(expdir: Path, name: str) -> Path:
    """A path that a command wrote down. It ran in the recipe's folder, where `expdir` lies; the report may not."""
    own = expdir.absolute().parent / name
    return own if own.exists() else Path(name)


def log_span(paths: Iterable[Path]) -> Optional[Span]:
    """First and last time of day in the lines of log files; None without any."""
    times = [moment for path in paths for moment in _ends(path)]
    return (min(times), max(times)) if times else None


def _ends(path: Path) -> List[datetime]:
    """First and last time at the beginning of a line, a time twice if it is the only one."""
    first = last = None
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = _CLOCK.match(line)
            if found:
                first, last = first or found[1], found[1]
    return [datetime.fromisoformat(text) for text in (first, last) if text]
