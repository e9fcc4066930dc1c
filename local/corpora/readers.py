"""Readers of the containers that corpora come in; a broken line or member is dropped by name, not the whole file."""

import gzip
import json
import tarfile
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from corpora.base import Source


def lines(path: Path) -> Iterator[str]:
    """Lines of a text file, also gzipped: without line ends (also \\r\\n) and BOM, without empty ones.

    Bytes that are not UTF-8 come as lone surrogates, by which the writer knows the utterances to drop.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for line in file:
                line = line.rstrip("\r\n")
                if line.strip():
                    yield line
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged ({error}): get it again") from error


def key_values(path: Path) -> Iterator[Tuple[str, str]]:
    """Lines "key value", separated by a tab or blanks; the value may be empty."""
    for line in lines(path):
        key, value = (line.split(maxsplit=1) + [""])[:2]
        yield key, value.strip()


def table(source: Source, path: Path, delimiter: str = "\t") -> Iterator[Dict[str, str]]:
    """Rows of a table with a header line, by column name; quotes are ordinary characters. Drops rows that are short."""
    rows = lines(path)
    header = [name.strip() for name in next(rows, "").split(delimiter)]
    for number, row in enumerate(rows, 2):
        cells = row.split(delimiter)
        if len(cells) < len(header):
            source.drop(f"{path.name}:{number}", "broken_line")
            continue
        if len(cells) > len(header):  # the delimiter in the last column, which is text
            cells = [*cells[: len(header) - 1], delimiter.join(cells[len(header) - 1 :])]
        yield dict(zip(header, cells))


def json_lines(source: Source, path: Path) -> Iterator[dict]:
    """Objects of a JSON lines file, also gzipped; drops broken lines."""
    for number, line in enumerate(lines(path), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            yield row
        else:
            source.drop(f"{path.name}:{number}", "broken_json")


def json_items(path: Path, prefix: str) -> Iterator[dict]:
    """Objects of an array inside a huge JSON file, one at a time; `prefix` as in ijson ("audios.item").

    Raises:
        ValueError: broken JSON.
    """
    import ijson

    with open(path, "rb") as file:
        try:
            yield from ijson.items(file, prefix, use_float=True)
        except ijson.JSONError as error:
            raise ValueError(f"{path} is not whole JSON ({error}): get it again") from error


def tar_members(source: Source, path: Path) -> Iterator[Tuple[str, int, int]]:
    """(name, offset, size) of the files in an uncompressed tar; what is cut off or not a tar is dropped by name."""
    size, name = path.stat().st_size, ""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = member.name
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("cut off")
                if member.isfile():
                    yield name, member.offset_data, member.size
                tar.members.clear()  # tarfile would remember every member
            if tar.offset + tarfile.BLOCKSIZE > size:  # no end mark
                raise tarfile.ReadError("cut off")
    except tarfile.ReadError:
        source.drop(f"{path.name}/{name}", "truncated_tar")


def read_at(path: Path, offset: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


class Shards:
    """Copies audio that lies inside other files into one tar, as it is; gives entries of wav.scp."""

    def __init__(self, source: Source, name: str):
        source.audio_dir.mkdir(parents=True, exist_ok=True)
        self.final = source.final_audio_dir / f"{name}.tar"
        self.tar = tarfile.open(source.audio_dir / f"{name}.tar", "w", format=tarfile.GNU_FORMAT)

    def add(self, name: str, data: bytes) -> str:
        import io

        member = tarfile.TarInfo(name)
        member.size = len(data)
        self.tar.addfile(member, io.BytesIO(data))
        self.tar.members.clear()
        padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return f"{self.final}:{self.tar.offset - padded}"

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, *error) -> None:
        self.tar.close()


def parquet(source: Source, files: Sequence[Path], columns: List[str], id_of, audio: str = "audio") -> Iterator[dict]:
    """Rows of parquet files; row[`audio`] becomes the wav.scp entry of a copy of the embedded bytes.

    `id_of(row)` names the copy. Rows without bytes and files that are no parquet are dropped by name; columns that are
    not there come as None.
    """
    import pyarrow
    import pyarrow.parquet

    for path in source.share(files):
        try:
            file = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowInvalid:
            source.drop(path.name, "broken_parquet")
            continue
        there = [name for name in (*columns, audio) if name in file.schema_arrow.names]
        missing = dict.fromkeys(set(columns) - set(there))
        with Shards(source, "-".join(path.relative_to(source.path).with_suffix("").parts)) as shards:
            for batch in file.iter_batches(64, columns=there):
                for row in batch.to_pylist():
                    row.update(missing)
                    name, data = id_of(row), (row.get(audio) or {}).get("bytes")
                    if not data:
                        source.drop(str(name), "empty_wav")
                    elif source.is_mine(str(name)):
                        yield {**row, audio: shards.add(str(name), data)}
