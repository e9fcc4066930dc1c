"""Text files, tables, JSON, tars and parquet files; a broken line or member is dropped by name, not the whole file."""

import codecs
import gzip
import io
import json
import tarfile
import zlib
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.files import check_file


def lines(path: Path) -> Iterator[str]:
    """Lines of a text file, also gzipped: without line ends (also \\r\\n) and BOM, without empty ones.

    Bytes that are not UTF-8 become lone surrogates; data/prepare.py drops the utterances that hold any.
    Raises ValueError for a gzip file that is cut off or damaged, or a pipe in the place of a file.
    """
    return (line for _, line in numbered_lines(path))


def numbered_lines(path: Path) -> Iterator[Tuple[int, str]]:
    """`lines` with their numbers in the file, which begin at 1."""
    if path.exists():
        check_file(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip("\r\n")
                if line.strip():
                    yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): get it again") from error


def key_values(path: Path) -> Iterator[Tuple[str, str]]:
    """Lines "key value", separated by a tab or blanks; the value may be empty."""
    for line in lines(path):
        key, value = (line.split(maxsplit=1) + [""])[:2]
        yield key, value.strip()


def table(
    source: Source, path: Path, delimiter: str = "\t", columns: Sequence[str] = (), text: str = ""
) -> Iterator[Dict[str, str]]:
    """Rows of a table with a header line, by column name; quotes are ordinary characters.

    Drops a row with fewer or more cells than the header; the column `text`, if it is the last, may hold the delimiter.
    Raises ValueError if the header lacks one of `columns`.
    """
    rows = numbered_lines(path)
    _, first = next(rows, (1, ""))
    header = [name.strip() for name in first.split(delimiter)]
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise ValueError(f"{path} has no column {', '.join(lacking)}, only {header}: is it the right file?")
    for number, row in rows:
        cells = row.split(delimiter, len(header) - 1 if header[-1] == text else -1)
        if len(cells) == len(header):
            yield dict(zip(header, cells))
        else:
            source.drop(f"{path.name}:{number}", "broken_line")


def json_lines(source: Source, path: Path) -> Iterator[dict]:
    """Objects of a JSON lines file, also gzipped; drops broken lines."""
    for number, line in numbered_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield row
        else:
            source.drop(f"{path.name}:{number}", "broken_json")


def json_items(path: Path, prefix: str) -> Iterator[dict]:
    """Objects of an array in a huge JSON file, one at a time; `prefix` as in ijson. Raises ValueError for broken JSON."""
    import ijson

    check_file(path)
    with open(path, "rb") as file:
        if file.read(3) != codecs.BOM_UTF8:
            file.seek(0)
        try:
            yield from ijson.items(file, prefix, use_float=True)
        except ijson.JSONError as error:
            raise ValueError(f"{path} is not whole JSON ({error}): get it again") from error


def tar_members(source: Source, path: Path) -> Iterator[Tuple[str, int, int]]:
    """(name, offset, size) of the files in an uncompressed tar.

    The first damage ends the tar. It is dropped as TAR/MEMBER, or as TAR:OFFSET if the name is damaged, too.
    """
    size, end = path.stat().st_size, 0
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.offset_data + member.size > size:
                    source.drop(f"{path.name}/{member.name}", "truncated_tar")
                    return
                if member.isfile():
                    yield member.name, member.offset_data, member.size
                end = tar.offset
                tar.members.clear()  # tarfile would remember every member
        if read_at(path, end, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # no end mark
            raise tarfile.ReadError
    except tarfile.ReadError:
        source.drop(f"{path.name}:{end}", "truncated_tar")


def read_at(path: Path, offset: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


class Shards:
    """Copies audio out of other files into one tar, byte for byte; returns entries of wav.scp."""

    def __init__(self, source: Source, name: str):
        source.audio_dir.mkdir(parents=True, exist_ok=True)
        self.final = source.final_audio_dir / f"{name}.tar"
        self.tar = tarfile.open(source.audio_dir / f"{name}.tar", "w", format=tarfile.GNU_FORMAT)

    def add(self, name: str, data: bytes) -> str:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self.tar.addfile(member, io.BytesIO(data))
        self.tar.fileobj.flush()  # data/prepare.py opens it at once
        self.tar.members.clear()
        padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return f"{self.final}:{self.tar.offset - padded}"

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, *error) -> None:
        self.tar.close()


def parquet(source: Source, files: Sequence[Path], columns: List[str], id_of, audio: str = "audio") -> Iterator[dict]:
    """Rows of parquet files; row[`audio`] becomes the wav.scp entry of a copy of the embedded bytes.

    `id_of(row)` names the copy. Rows without bytes are dropped by name; damage drops the rest of the file. The value
    of a missing column is None. Raises ValueError for a file without a column `audio` of embedded bytes.
    """
    for path in source.share(files):
        with Shards(source, "-".join(path.relative_to(source.path).with_suffix("").parts)) as shards:
            for row in parquet_rows(source, path, columns, audio):
                name, data = str(id_of(row)), (row[audio] or {}).get("bytes")
                if not data:
                    source.drop(name, "empty_wav")
                elif source.is_mine(name):
                    yield {**row, audio: shards.add(name, data)}


def parquet_rows(source: Source, path: Path, columns: List[str], needed: str) -> Iterator[dict]:
    """Rows of a parquet file, 16 at a time and without reading ahead: in the memory of three pages of a column.

    A page is at most a row group, which Hugging Face makes of 100 rows; read ahead, a file would be held as a whole.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            names = file.schema_arrow.names
            leaves = [file.schema.column(number).path for number in range(len(file.schema))]  # audio.bytes
            if f"{needed}.bytes" not in leaves:
                only = f"only {', '.join(leaves)}: is it the right file?"
                raise ValueError(f"{path} has no column '{needed}' with bytes in it, {only}")
            missing = dict.fromkeys(set(columns) - set(names))
            for batch in file.iter_batches(16, columns=[name for name in (*columns, needed) if name in names]):
                for row in batch.to_pylist():
                    yield {**missing, **row}
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None):  # of the disk; pyarrow's own for a damaged page has none
            raise
        source.drop(path.name, "broken_parquet")
