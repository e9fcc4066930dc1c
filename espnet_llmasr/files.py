"""Files that several processes share: written beside their final name, flushed, renamed; Kaldi tables read strictly."""

import errno
import io
import json
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Dict, Generic, List, Optional, Tuple, Type, TypeVar, Union

PathLike = Union[str, Path]
T = TypeVar("T")
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

    All are written beside their final names before the first one is renamed. Raises OSError without permission or space,
    or for a folder of one of these names.
    """
    for path in contents:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory, expected the name of a file", str(path))
    with ExitStack() as renames:
        for path, content in contents.items():
            renames.enter_context(atomic_path(path)).write_bytes(content.encode("utf-8"))


def read_json_lines(
    path: PathLike, make: Callable[[Dict, int], T] = lambda row, number: dict(row), kind: str = "JSON object"
) -> List[T]:
    """What `make` makes of each object and its line number; none without a file. Blank lines are skipped.

    Raises ValueError, with its number, for a line that is no `kind`.
    """
    rows, path = [], Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n") if path.exists() else []
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}): convert it first") from error
    for number, line in enumerate(lines, 1):
        try:
            rows += [make(json.loads(line), number)] if line.strip() else []
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            text = f"{path}, line {number} is no {kind} ({error}): remove or repair the line"
            raise ValueError(text) from error
    return rows


def json_lines(rows: Iterable[Mapping]) -> str:
    """The text of a file of JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


class JsonLines(Generic[Row]):
    """A log with one JSON object per line, each a dataclass of type `kind`; written whole, so never half a line.

    The keys of a field `values` (a dictionary) stand beside the other fields in the file: a key that is no field of
    the dataclass belongs to `values`.
    """

    def __init__(self, path: PathLike, kind: Type[Row]):
        self.path, self.kind = Path(path), kind

    def read(self) -> List[Row]:
        """All lines, see `read_json_lines`."""
        return read_json_lines(self.path, self._make, self.kind.__name__)

    def write(self, rows: Iterable[Row]) -> None:
        """Replaces the file; a file with the same content stays as it is, and so does its time of change."""
        content = json_lines(record | record.pop("values", {}) for record in map(asdict, rows))
        if not self.path.exists() or self.path.read_text(encoding="utf-8") != content:
            write_atomically(self.path, content)

    def append(self, row: Row) -> None:
        """Adds a line."""
        self.write([*self.read(), row])

    def _make(self, row: Dict, number: int) -> Row:
        known = {field.name for field in fields(self.kind)}
        values = {key: row.pop(key) for key in list(row) if key not in known} if "values" in known else {}
        return self.kind(**row, **({"values": values} if values else {}))


def printable(text: str) -> str:
    """The text with `\\x1b` and the like for control characters, which a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def read_scp(path: PathLike, keys: Optional[Container[str]] = None, parse: Callable[[str], T] = str) -> Dict[str, T]:
    """Reads a Kaldi table "id rest-of-line", or only the lines of `keys`; the order is kept. `parse` gets the rest.

    Raises:
        ValueError: the file is missing or not UTF-8, a line has no id, or an id occurs twice (both lines are named).
    """
    table: Dict[str, T] = {}
    for key, value in read_rows(path):
        if keys is None or key in keys:
            if key in table:
                raise duplicate_id(path, key)
            table[key] = parse(value)
    return table


def read_rows(path: PathLike) -> Iterator[Tuple[str, str]]:
    """Rows (id, rest of the line) of a Kaldi table in the order of the file, one at a time, without empty lines.

    Raises ValueError if the file is missing or not UTF-8.
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


def duplicate_id(path: PathLike, key: str) -> ValueError:
    """The error that names the first two lines of a table that have this id."""
    with open(path, encoding="utf-8-sig", newline="\n") as lines:
        first, second, *_ = (number for number, line in enumerate(lines, 1) if line.split(maxsplit=1)[:1] == [key])
    return ValueError(f"{path}: id '{key}' stands in line {first} and in line {second}: ids must be unique")


def count_rows(path: PathLike) -> int:
    """Lines of a table, at the speed of the disk."""
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


@contextmanager
def sorted_file(path: Path, unique: bool = False) -> Iterator[Callable[[str], object]]:
    """Yields a function that takes lines; at the end `path` holds them in byte order, each once if `unique`.

    GNU sort runs beside this process, in memory that does not grow. Raises OSError if it fails.
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


def read_tokens(path: PathLike) -> List[str]:
    """A token list: one token per line, the line number is the index."""
    return Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")


def write_tokens(path: PathLike, tokens: Sequence[str]) -> None:
    """Writes a token list."""
    write_atomically(path, "".join(f"{token}\n" for token in tokens))


def parse_shard(spec: str) -> Tuple[int, int]:
    """(i, n) of "i/n", part i (from 1) of n. Raises ValueError for text of another form."""
    number, _, total = spec.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise ValueError(f"shard '{spec}' is not i/n with 1 <= i <= n, such as 1/4")
    return int(number), int(total)


def write_scp(path: PathLike, table: Mapping[str, object]) -> None:
    """Writes a Kaldi table sorted by id in byte order (LC_ALL=C). Raises ValueError for a value with a line break."""
    for key, value in table.items():
        if len(str(value).splitlines()) > 1:
            raise ValueError(f"{path}: the value of '{key}' has several lines: {value!r}")
    rows = sorted(table.items(), key=lambda item: item[0].encode("utf-8"))
    write_atomically(path, "".join(f"{key} {value}\n" for key, value in rows))


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """Yields an empty directory beside `directory` that takes its place on success; on failure nothing has changed.

    A link stays one: its target is replaced. Raises ValueError if `directory` was not made by this project.
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


def progress(items: Iterable[T], what: str, interval_s: float = 10.0) -> Iterator[T]:
    """The items as they come; logs "<number> <what>" every `interval_s` seconds."""
    last = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last > interval_s:
            last = time.monotonic()
            logging.info("%d %s", number, what)
