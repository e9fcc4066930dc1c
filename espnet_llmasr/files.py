"""Files that several processes share: written beside their final name, flushed, renamed; Kaldi tables read strictly."""

import errno
import fcntl
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Dict, Generic, List, Optional, Tuple, Type, TypeVar, Union

import yaml

PathLike = Union[str, Path]
T = TypeVar("T")
Row = TypeVar("Row")
BYTE_ORDER = {**os.environ, "LC_ALL": "C"}
SORT_MEMORY = "32M"
TEMPORARY = ".tmp-"  # in the names of temporary files, by which leftovers are found
DAMAGED_NPZ = (ValueError, TypeError, LookupError, AttributeError, OSError, EOFError, NotImplementedError)
DAMAGED_NPZ += (zipfile.BadZipFile, zlib.error, tokenize.TokenError)
"""numpy's errors for a damaged .npz file."""
LITTLE_SPACE = 1 << 20
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CUT_OFF_SAVE = re.compile(r"enforce fail at inline_container.cc(?!.*Reader)|iostream error|PytorchStreamWriter failed")
"""Messages of torch.save for a file that it could not write to its end."""


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed to disk and renamed, on failure removed.

    Temporary files that killed writers have left in this folder are removed. Raises OSError, with the folder and its
    free space, if the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    with naming_full_disk(path.parent):
        lock, name = _locked_temporary(path)
        try:
            yield Path(name)
            with open(name, "rb") as f:
                os.fsync(f.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        finally:
            os.close(lock)


def _locked_temporary(path: Path) -> Tuple[int, str]:
    """An empty file beside `path`, with a lock that ends with this process: (handle that holds the lock, name)."""
    while True:
        lock, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{TEMPORARY}", suffix=path.suffix)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            return lock, name  # a file system without locks, where nobody removes anything
        if os.path.exists(name):
            return lock, name
        os.close(lock)  # another process took the file for a leftover before it was locked


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of `atomic_path` in a folder whose writers no longer live: nobody locks them."""
    for path in folder.glob(f".*{TEMPORARY}*"):
        try:
            with open(path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except OSError:
            continue  # its writer lives, or the file system has no locks


@contextmanager
def naming_full_disk(folder: Optional[PathLike] = None) -> Iterator[None]:
    """Turns every error of a full disk into an OSError that names the folder and the space that is free there.

    torch.save has RuntimeErrors of its own for it, and a failed write() names no file.

    Args:
        folder: where files are written that the error does not name.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        if number not in FULL_DISK and not (isinstance(error, RuntimeError) and CUT_OFF_SAVE.search(str(error))):
            raise
        file = getattr(error, "filename", None)
        place = Path(file).parent if isinstance(file, str) else folder
        reason = os.strerror(number or errno.ENOSPC)
        if place is None:
            raise OSError(f"{reason}: make room and start again") from error
        raise OSError(f"{reason} in {place} ({free_space(place)} free): make room and start again") from error


def free_space(folder: PathLike) -> str:
    """Space that is free for files in a folder, such as "12.5 MB"."""
    return f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB"


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
    rows = []
    lines = read_text(path, "utf-8-sig").split("\n") if Path(path).exists() else []
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
        if not self.path.exists() or read_text(self.path) != content:
            write_atomically(self.path, content)

    def append(self, row: Row) -> None:
        """Adds a line."""
        self.write([*self.read(), row])

    def _make(self, row: Dict, number: int) -> Row:
        known = {field.name for field in fields(self.kind)}
        values = {key: row.pop(key) for key in list(row) if key not in known} if "values" in known else {}
        return self.kind(**row, **({"values": values} if values else {}))


def check_file(path: PathLike) -> None:
    """Raises ValueError for a path that is no file; to open a pipe in the place of a file would wait for ever."""
    if not Path(path).is_file():
        kind = "is a folder, a pipe or a device, expected a file" if os.path.lexists(path) else "does not exist"
        raise ValueError(f"{path} {kind}")


def cache_root() -> Path:
    """What is made or downloaded once per user: $ESPNET_LLMASR_CACHE, by default ~/.cache/espnet_llmasr."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ESPNET_LLMASR_CACHE") or base / "espnet_llmasr")


def digest(file: PathLike) -> str:
    """SHA-256 of a file."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_text(path: PathLike, encoding: str = "utf-8") -> str:
    """The content of a text file. Raises ValueError, with its name, if it is no file or not UTF-8."""
    check_file(path)
    try:
        return Path(path).read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}): make it again") from error


def read_json(path: PathLike, kind: type = dict) -> Any:
    """The value in a JSON file. Raises ValueError, with the name of the file, if it holds no value of type `kind`."""
    return _parse_file(path, json.loads, "JSON", kind)


def read_yaml(path: PathLike, kind: type = dict) -> Any:
    """The value in a YAML file. Raises ValueError, with the name of the file, if it holds no value of type `kind`."""
    return _parse_file(path, yaml.safe_load, "YAML", kind)


def read_number(path: PathLike) -> int:
    """The whole number in a file. Raises ValueError, with the name of the file, if it holds something else."""
    return _parse_file(path, int, "a whole number", int)


def _parse_file(path: PathLike, parse: Callable[[str], Any], form: str, kind: type) -> Any:
    text = read_text(path)
    try:
        value = parse(text)
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is damaged, expected {form} ({reason}): restore the file or make it again") from error
    if not isinstance(value, kind):
        found = f"{path} holds a value of type {type(value).__name__}"
        raise ValueError(f"{found}, expected {kind.__name__}: restore the file or make it again")
    return value


def note_of_full_disk(folder: PathLike) -> str:
    """Words for an error message if so little space is left in a folder that a log there may be cut off, else ""."""
    if not Path(folder).is_dir() or shutil.disk_usage(folder).free > LITTLE_SPACE:
        return ""
    return f", which may be cut off: {folder} has {free_space(folder)} free, make room and start again"


def printable(text: str) -> str:
    """The text with `\\x1b` and the like for control characters, which a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def read_scp(path: PathLike, keys: Optional[Container[str]] = None, parse: Callable[[str], T] = str) -> Dict[str, T]:
    """Reads a Kaldi table "id rest-of-line", or only the lines of `keys`; the order is kept. `parse` gets the rest.

    Raises:
        ValueError: the file is missing or not UTF-8, a line has no id, an id occurs twice (both lines are named), or
            `parse` raises it, with its advice.
    """
    table: Dict[str, T] = {}
    for key, value in read_rows(path):
        if keys is None or key in keys:
            if key in table:
                raise duplicate_id(path, key)
            try:
                table[key] = parse(value)
            except ValueError as error:
                raise ValueError(f"{path}: '{key}' has '{value}', {error}") from error
    return table


def read_rows(path: PathLike) -> Iterator[Tuple[str, str]]:
    """Rows (id, rest of the line) of a Kaldi table in the order of the file, one at a time, without empty lines.

    Raises ValueError if the file is missing or not UTF-8.
    """
    check_file(path)
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
        where = f" (after the line of '{key}')" if key else ""
        raise ValueError(f"{path} is not UTF-8 text{where}: convert it first") from error


def duplicate_id(path: PathLike, key: str) -> ValueError:
    """The error that names the first two lines of a table that have this id."""
    with open(path, encoding="utf-8-sig", newline="\n") as lines:
        first, second, *_ = (number for number, line in enumerate(lines, 1) if line.split(maxsplit=1)[:1] == [key])
    return ValueError(f"{path}: id '{key}' stands in line {first} and in line {second}: ids must be unique")


def count_rows(path: PathLike) -> int:
    """Lines of a table, at the speed of the disk. Raises ValueError if there is no such file."""
    check_file(path)
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
    return read_text(path).removesuffix("\n").split("\n")


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
def replacing(directory: Path, mark: str = "stats.json") -> Iterator[Path]:
    """Yields an empty directory beside `directory` that takes its place on success; on failure nothing has changed.

    A link stays one: its target is replaced. Raises ValueError if `directory` was not made by this project: then it has
    no file `mark`.
    """
    if directory.is_symlink():
        directory = directory.resolve()
    staged, old = (directory.with_name(f".{directory.name}.{suffix}") for suffix in ("new", "old"))
    if old.exists() and not directory.exists():
        old.rename(directory)
    if directory.exists() and any(directory.iterdir()) and not (directory / mark).exists():
        raise ValueError(
            f"{directory} exists and was not made here (it has no {mark}): choose another output directory"
        )
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        with naming_full_disk(directory.parent):
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


def recipe_path(expdir: Path, name: str) -> Path:
    """A path in a configuration or log: relative to the recipe's folder, which holds `expdir`, if it exists there."""
    own = expdir.absolute().parent / name
    return own if own.exists() else Path(name)
