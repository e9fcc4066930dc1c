"""The inputs of a training by their content, so that an experiment may be copied, moved, touched, or unpacked elsewhere.

`inputs.jsonl` in the folder of a training has a line for each input file: lists, statistics, tokenizer, initial weights,
and every encoder that was swapped in. An input is named by the option that gives it, so its path does not count. It is
read again only if its path (relative to the folder), its size or its time of change is another one.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Mapping, Optional

from espnet_llmasr.files import JsonLines, PathLike, digest

ENCODERS = "encoder_dir/"
"""How the names of encoders that were swapped in begin."""
AUDIO = " of audio"
"""How the names of lists of audio files end: the folder that all their files share does not count."""


@dataclass(frozen=True)
class Input:
    """An input file: `name` tells the option, `path` is relative to the folder of the training."""

    name: str
    path: str
    size: int
    mtime_ns: int
    sha256: str


def input_log(output_dir: PathLike) -> JsonLines[Input]:
    """The inputs of a training."""
    return JsonLines(Path(output_dir) / "inputs.jsonl", Input)


def record_inputs(output_dir: PathLike, files: Mapping[str, Path], forget: bool = False) -> None:
    """Adds the lines of these inputs, {name: file}, or replaces them.

    Args:
        forget: the training begins: what an earlier one has left is removed.
    """
    log = input_log(output_dir)
    rows = {} if forget else {row.name: row for row in log.read()}
    log.write(
        {**rows, **{name: describe(output_dir, name, file, rows.get(name)) for name, file in files.items()}}.values()
    )


def check_inputs(output_dir: PathLike, files: Mapping[str, Path], ended: bool) -> None:
    """Compares the inputs of a training that goes on with those of its start; inputs without a line get one.

    Args:
        ended: the training has ended. Before, it does without the encoders that it has replaced by others.
    Raises:
        ValueError: an input has another content, or is missing.
    """
    known = {row.name: row for row in input_log(output_dir).read()}
    advice = f"restore it, or remove {output_dir}, or choose another --output_dir (--expdir of a recipe)"
    for name, row in known.items():
        if name not in files and (ended or not name.startswith(ENCODERS)):
            path = os.path.normpath(Path(output_dir, row.path))
            raise ValueError(f"{output_dir} was trained with {path} ({name}), which is no longer there: {advice}")
    rows = {name: describe(output_dir, name, file, known.get(name)) for name, file in files.items()}
    for name, row in rows.items():
        if name in known and row.sha256 != known[name].sha256:
            raise ValueError(f"{output_dir} was trained with another content of {files[name]} ({name}): {advice}")
    input_log(output_dir).write({**known, **rows}.values())


def describe(output_dir: PathLike, name: str, file: Path, before: Optional[Input]) -> Input:
    """The input as it is now; if it is as `before`, it is not read."""
    stat = os.stat(file)
    found = Input(name, os.path.relpath(file, output_dir), stat.st_size, stat.st_mtime_ns, "")
    if before and replace(before, sha256="") == found:
        return before
    return replace(found, sha256=audio_digest(file) if name.endswith(AUDIO) else digest(file))


def audio_digest(table: Path) -> str:
    """SHA-256 of a table "id path" without the folder that all paths share: the corpus may lie elsewhere."""
    shared, sha = None, hashlib.sha256()
    with open(table, "rb") as lines:
        for line in lines:
            path = line.partition(b" ")[2]
            shared = path if shared is None else os.path.commonprefix([shared, path])
        folder = (shared or b"").rpartition(b"/")[0]
        lines.seek(0)
        for line in lines:
            uid, _, path = line.partition(b" ")
            sha.update(uid + b" " + path.removeprefix(folder))
    return sha.hexdigest()


def files_of(paths: Mapping[str, PathLike]) -> Dict[str, Path]:
    """The files among these inputs; a folder of lists stands for the files in it."""
    files: Dict[str, Path] = {}
    for name, path in paths.items():
        path = Path(path)
        if path.is_dir():
            files |= {f"{part.name} of {name}": part for part in sorted(path.iterdir()) if part.is_file()}
        elif path.is_file():
            files[name] = path
    return files
