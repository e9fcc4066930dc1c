"""Files that several processes share: written beside their final name, flushed, renamed; Kaldi tables read strictly."""

import errno
import io
import json
import logging
import mmap
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Callable, Dict, Generic, Iterable, Iterator, List, Mapping, Optional, Tuple, Type, TypeVar
from typing import Union

PathLike = Union[str, Path]
Row = TypeVar("Row")
BYTE_ORDER = {**os.environ, "LC_ALL": "C"}
SORT_MEMORY = "32M"


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed to disk and renamed, on failure removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb") as f:
            os.fsync(f.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_atomically(path: PathLike, content: Union[str, bytes]) -> None:
    """Writes a whole file so that a reader sees the old content or the new, never a part."""
    with atomic_path(path) as temporary:
        if isinstance(content, str):
            content = content.encode("utf-8")
        temporary.write_bytes(content)


def write_all_atomically(contents: Mapping[Path, str]) -> None:
    """Writes the files of one result; where one of them cannot be written, all stay as they were.

    All are written beside their final names before the first one is renamed.

    Raises:
        OSError: no permission, no space, or a folder that stands where a file shall be.
    """
    for path in contents:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory, expected the name of a file", str(path))
    with ExitStack() as renames:
        for path, content in contents.items():
            renames.enter_context(atomic_path(path)).write_bytes(content.encode("utf-8"))


class JsonLines(Generic[Row]):
    """A log with one JSON object per line, each a dataclass of type `kind`; written whole, so never half a line.

    The keys of a field `values` (a dictionary) stand beside the other fields in the file: a key that is no field of
    the dataclass belongs to `values`.
    """

    def __init__(self, path: PathLike, kind: Type[Row]):
        self.path, self.kind = Path(path), kind

    def read(self) -> List[Row]:
        """All lines, none without a file. Raises ValueError, with its number, for a line that is no `kind`."""
        lines = self.path.read_text(encoding="utf-8").split("\n") if self.path.exists() else []
        return [self._parse(number, line) for number, line in enumerate(lines, 1) if line]

    def write(self, rows: Iterable[Row]) -> None:
        """Replaces the file; a file with the same content stays as it is, and so does its time of change."""
        content = "".join(self._format(row) for row in rows)
        if not self.path.exists() or self.path.read_text(encoding="utf-8") != content:
            write_atomically(self.path, content)

    def append(self, row: Row) -> None:
        """Adds a line."""
        self.write([*self.read(), row])

    def _parse(self, number: int, line: str) -> Row:
        known = {field.name for field in fields(self.kind)}
        try:
            row = json.loads(line)
            values = {key: row.pop(key) for key in list(row) if key not in known} if "values" in known else {}
            return self.kind(**row, **({"values": values} if values else {}))
        except (ValueError, TypeError, AttributeError) as error:
            kind = self.kind.__name__
            raise ValueError(f"{self.path}, line {number} is no {kind} ({error}): remove or repair the line") from error

    @staticmethod
    def _format(row: Row) -> str:
        record = asdict(row)
        record |= record.pop("values", {})
        return json.dumps(record, ensure_ascii=False) + "\n"


def read_scp(path: PathLike) -> Dict[str, str]:
    """Reads a Kaldi table "id rest-of-line"; the order is kept.

    Raises:
        ValueError: the file is missing or not UTF-8, a line has no id, or an id occurs twice (both lines are named).
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist")
    table: Dict[str, str] = {}
    seen: Dict[str, int] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}): convert it first") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, value = (line.strip().split(maxsplit=1) + [""])[:2]
        if key in table:
            raise ValueError(f"{path}: id '{key}' stands in line {seen[key]} and in line {number}: ids must be unique")
        table[key], seen[key] = value, number
    return table


def read_rows(path: PathLike) -> Iterator[Tuple[str, str]]:
    """Rows (id, rest of the line) of a Kaldi table in the order of the file, one at a time, without empty lines.

    Raises:
        ValueError: the file is missing or not UTF-8.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist")
    key = ""
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as lines:
            for line in lines:
                parts = line.split(maxsplit=1)
                if len(parts) == 2:
                    key = parts[0]
                    yield key, parts[1].rstrip()
                elif parts:
                    yield parts[0], ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (after the line of '{key}'): convert it first") from error


def count_rows(path: PathLike) -> int:
    """Lines of a table, at the speed of the disk."""
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


class SortedTable:
    """A Kaldi table whose ids are in byte order, searched on disk by bisection: any number of rows needs no memory."""

    def __init__(self, file: BinaryIO):
        """Closes the file that it is given."""
        with file:
            size = file.seek(0, os.SEEK_END)
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self.get = lru_cache(4096)(self._search)

    def _search(self, key: bytes) -> Optional[bytes]:
        """The rest of the line of an id, or None."""
        low, high = 0, len(self._data)  # both at the beginning of a line
        while low < high:
            begin = self._data.rfind(b"\n", low, (low + high) // 2) + 1 or low
            stop = self._data.find(b"\n", begin)
            stop = len(self._data) if stop < 0 else stop
            name, value = (*self._data[begin:stop].split(None, 1), b"", b"")[:2]
            if name == key:
                return value.rstrip()
            low, high = (stop + 1, high) if name < key else (low, begin)
        return None


@contextmanager
def sorted_file(path: Path, unique: bool = False) -> Iterator[Callable[[str], object]]:
    """Yields a function that takes lines; at the end `path` holds them in byte order, each once if `unique`.

    GNU sort does it beside this process, in memory that does not grow.

    Raises:
        OSError: it failed.
    """
    command = ["sort", "-S", SORT_MEMORY, "-T", str(path.parent), "-o", str(path), *(["-u"] if unique else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=BYTE_ORDER) as sort:
        try:
            with io.TextIOWrapper(sort.stdin, encoding="utf-8", errors="surrogateescape", newline="\n") as spool:
                yield spool.write
        except BrokenPipeError:
            logging.error("sort has ended before its input")  # it has said why; its status follows
        if sort.wait() != 0:
            raise OSError(f"sort of {path} failed: is the disk full?")


def write_scp(path: PathLike, table: Mapping[str, object]) -> None:
    """Writes a Kaldi table sorted by id in byte order (LC_ALL=C).

    Raises:
        ValueError: a value holds a line break.
    """
    for key, value in table.items():
        if len(str(value).splitlines()) > 1:
            raise ValueError(f"{path}: the value of '{key}' has several lines: {value!r}")
    rows = sorted(table.items(), key=lambda item: item[0].encode("utf-8"))
    write_atomically(path, "".join(f"{key} {value}\n" for key, value in rows))


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """Yields an empty directory beside `directory` that takes its place on success; on failure nothing has changed.

    A link stays one: what it points to is replaced.

    Raises:
        ValueError: `directory` exists and was not made by this project.
    """
    if directory.is_symlink():
        directory = directory.resolve()
    staged, old = (directory.with_name(f".{directory.name}.{suffix}") for suffix in ("new", "old"))
    if old.exists() and not directory.exists():
        old.rename(directory)
    if directory.exists() and any(directory.iterdir()) and not (directory / "stats.json").exists():
        raise ValueError(
            f"{directory} exists and was not made here (it has no stats.json): choose another output directory"
        )
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    staged.rename(directory)
    shutil.rmtree(old, ignore_errors=True)
