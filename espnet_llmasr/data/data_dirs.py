"""Reads Kaldi data directories as streams, in memory that does not grow with them.

The tables of a directory are sorted by id in byte order (LC_ALL=C), so they can be read side by side.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

from espnet_llmasr.files import SortedTable

TABLES = ("text", "utt2spk", "utt2lang", "utt2dur")


def audio_table(directory: Path) -> str:
    """The table with a line for each utterance that tells its audio."""
    return "segments" if (directory / "segments").exists() else "wav.scp"


def open_table(path: Path):
    """The table as a file of bytes.

    Raises:
        ValueError: it does not exist.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: make the directory with local/prepare.py")
    return open(path, "rb")


def rows(directory: Path, *tables: str) -> Iterator[List[bytes]]:
    """[id, value in the first table, ...] of each utterance.

    Raises:
        ValueError: a table is missing, the ids differ, or they do not ascend.
    """
    previous, number = b"", 0
    with ExitStack() as stack:
        files = [stack.enter_context(open_table(directory / name)) for name in tables]
        for number, first in enumerate(files[0], 1):
            cells = [line.rstrip(b"\n").partition(b" ") for line in (first, *(next(file, b"") for file in files[1:]))]
            key = cells[0][0]
            if key <= previous or any(cell[0] != key for cell in cells):
                raise ValueError(_disorder(directory, tables, number))
            previous = key
            yield [key, *(cell[2] for cell in cells)]
        if any(next(file, b"") for file in files[1:]):
            raise ValueError(_disorder(directory, tables, number + 1))


def _disorder(directory: Path, tables: Tuple[str, ...], number: int) -> str:
    return (
        f"{directory}: the ids of {', '.join(tables)} differ or do not ascend in line {number}:"
        f" local/check_data.py {directory} tells more"
    )


def sparse(path: Path) -> Callable[[bytes], bytes]:
    """A function from ids, asked in ascending order, to values of a table that lacks some; b"" where there is none."""
    table = (line.rstrip(b"\n").partition(b" ") for line in open_table(path)) if path.exists() else iter(())
    current = next(table, None)

    def value(key: bytes) -> bytes:
        nonlocal current
        while current and current[0] < key:
            current = next(table, None)
        return current[2] if current and current[0] == key else b""

    return value


def audio_entries(directory: Path) -> Callable[[bytes, bytes], str]:
    """A function from an utterance and its line in `audio_table` to the entry of espnet_llmasr.audio.

    Raises:
        ValueError: wav.scp is missing; and when called, a segment of an unknown recording.
    """
    if audio_table(directory) == "wav.scp":
        return lambda key, value: value.decode()
    recordings = SortedTable(open_table(directory / "wav.scp"))

    def entry(key: bytes, value: bytes) -> str:
        recording, start, end = value.split()
        wav = recordings.get(recording)
        if wav is None:
            raise ValueError(f"{directory}/segments: {key.decode()} lies in {recording.decode()}, which wav.scp lacks")
        return f"{wav.decode()}#t={start.decode()},{end.decode()}"

    return entry
