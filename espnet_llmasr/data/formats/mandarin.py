"""For several Mandarin corpora: Kaldi tables that belong together, and the language of a line."""

import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from espnet_llmasr.data.formats.readers import key_values
from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.text.normalize import HAN

_HAN = re.compile(f"[{HAN}]")
_LATIN_WORD = re.compile("[A-Za-z]{2}")


def language_of(text: str) -> str:
    """zh, en, or zh-en for a line of both. A single or full-width letter (B超, ＡＴＭ) makes no English."""
    if not _LATIN_WORD.search(text):
        return "zh"
    return "zh-en" if _HAN.search(text) else "en"


def joined(*tables: Path) -> Iterator[Tuple[str, List[Optional[str]]]]:
    """(id, its value in each table), None where a table lacks it.

    The tables are read side by side. Owners write them in the same order, so few rows wait for their counterparts and
    memory stays flat; other orders give the same result in more memory. Raises ValueError if a table holds an id twice.
    """
    waiting: Dict[str, List[Optional[str]]] = {}
    readers = dict(enumerate(key_values(table) for table in tables))
    while readers:
        for column, reader in list(readers.items()):
            key, value = next(reader, (None, None))
            if key is None:
                del readers[column]
                continue
            row = waiting.setdefault(key, [None] * len(tables))
            if row[column] is not None:
                raise ValueError(f"{tables[column]}: id '{key}' occurs twice")
            row[column] = value
            if None not in row:
                yield key, waiting.pop(key)
    yield from waiting.items()


def complete(source: Source, tables: Dict[str, Path]) -> Iterator[Tuple[str, List[str]]]:
    """`joined`, without the ids that a table lacks; those are dropped as no_NAME, after the name of that table."""
    for key, row in joined(*tables.values()):
        missing = [name for name, value in zip(tables, row) if value is None]
        if missing:
            source.drop(key, f"no_{missing[0]}")
        else:
            yield key, row


def missing(folder: Path, wanted: str, archives: str, command: str) -> ValueError:
    """The error that `folder` lacks `wanted`; where it holds `archives` (a pattern), `command` unpacks them there."""
    if any(folder.glob(archives)):
        return ValueError(f"{folder} holds archives that are not unpacked: run  cd {folder} && {command}")
    return ValueError(f"{folder} holds no {wanted}")
