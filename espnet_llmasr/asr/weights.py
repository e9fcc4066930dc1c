"""Reads and writes files of weights. Every fault of a file is a ValueError of one line that names the file.

Weights that a training does not change stand in a file of their own. A checkpoint then holds the others and, under the
name `REFERENCE`, that file (relative to the checkpoint's folder) and its SHA-256. `read_state` returns all of them.
"""

import hashlib
import struct
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO, Dict, Optional
from zipfile import is_zipfile

import torch
from torch import Tensor, nn

from espnet_llmasr.asr.modules import is_frozen
from espnet_llmasr.asr.packed_weights import SUFFIX, read_packed
from espnet_llmasr.files import PathLike, atomic_path, check_file, digest

REFERENCE = "weights_in"
FROZEN = "frozen"
"""The folder, beside the checkpoints of a training, of the weights that it does not change."""


def read_state(path: PathLike, lazy: bool = False) -> Dict[str, Tensor]:
    """The weights in a .pth or .safetensors file, on the CPU, with those that it refers to.

    Args:
        lazy: read each tensor at its first use. Not for a file that another process may overwrite.
    Raises:
        ValueError: the file is missing or broken, holds something else, or refers to a file that is missing or changed.
    """
    return with_referred(_load(path, lazy), path, lazy)


def reference_in(path: PathLike) -> Optional[str]:
    """The file to which a file of weights refers, relative to its folder; None without one. Raises as `read_state`."""
    reference = _load(path, lazy=True).get(REFERENCE)
    return reference and reference["file"]


def _load(path: PathLike, lazy: bool) -> Dict[str, Any]:
    check_file(path)
    if Path(path).suffix == SUFFIX:
        return read_packed(Path(path))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=lazy and is_zipfile(path))
    except (RuntimeError, OSError, EOFError, IndexError, TypeError, UnpicklingError, struct.error) as error:
        advice = "give another <n>epoch.pth of this training"
        raise ValueError(f"{path} is broken or missing, or holds more than weights: {advice}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds no weights but a {type(state).__name__}: give <n>epoch.pth of a training")
    return state


def with_referred(state: Dict[str, Any], path: PathLike, lazy: bool = False) -> Dict[str, Tensor]:
    """The weights `state`, which stand in the file `path`, with those in the file that they refer to.

    Raises ValueError if that file is missing, or has another content than when the reference was written.
    """
    if REFERENCE not in state:
        return state
    reference = state[REFERENCE]
    if not (isinstance(reference, dict) and {type(reference.get(key)) for key in ("file", "sha256")} == {str}):
        raise ValueError(f"{path} is damaged: '{REFERENCE}' names no file: give another <n>epoch.pth of this training")
    file = Path(path).resolve().parent / reference["file"]  # a link such as latest.pth may lie elsewhere
    needed = f"{path} needs the weights in {file}"
    advice = "restore it, or take a whole file: latest.pth of a finished training, or what bin.whole_weights writes"
    if not file.is_file():
        raise ValueError(f"{needed}, which is missing: {advice}")
    stat = file.stat()
    if _digest(file, stat.st_size, stat.st_mtime_ns) != reference["sha256"]:
        raise ValueError(f"{needed}, which has another content than at the time of the training: {advice}")
    return {**read_state(file, lazy), **{name: value for name, value in state.items() if name != REFERENCE}}


@lru_cache(maxsize=8)
def _digest(file: Path, size: int, mtime_ns: int) -> str:
    """A file that is read several times is hashed once."""
    return digest(file)


def write_state(path: PathLike, state: Dict[str, Any]) -> str:
    """Writes weights beside, flushes, renames. Equal weights give equal files (torch puts a file's name into it).

    Returns the SHA-256 of the file.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        return _save(state, file)


def write_weights(path: Path, model: nn.Module) -> str:
    """Writes the weights of a model; parameters and modules that are not trained go to a file in `FROZEN` beside.

    That file has its content in its name and is written once. Returns the SHA-256 of the file `path`.
    """
    state = model.state_dict()
    modules = tuple(f"{name}." for name, module in model.named_children() if is_frozen(module))  # with their buffers
    still = {name for name, value in model.named_parameters(remove_duplicate=False) if not value.requires_grad}
    frozen = {name: state.pop(name) for name in list(state) if name in still or name.startswith(modules)}
    if frozen:
        sha256 = _save(frozen, None)
        file = path.parent / FROZEN / f"{sha256[:16]}.pth"
        if not file.exists():
            write_state(file, frozen)
        state[REFERENCE] = {"file": f"{FROZEN}/{file.name}", "sha256": sha256}
    return write_state(path, state)


class _Sink:
    """What torch.save writes to: hashes it and passes it on to a file, if there is one."""

    def __init__(self, file: Optional[BinaryIO]):
        self.file, self.sha256 = file, hashlib.sha256()

    def write(self, content) -> int:
        self.sha256.update(content)
        if self.file is not None:
            self.file.write(content)
        return len(content)

    def flush(self) -> None:
        if self.file is not None:
            self.file.flush()


def _save(state: Dict[str, Any], file: Optional[BinaryIO]) -> str:
    """torch.save to a file, or to nowhere; returns the SHA-256.

    Of a tensor that is a part of a larger storage, as an optimizer that shards makes them, torch would write all of it.
    """
    copies: Dict[tuple, Tensor] = {}
    whole = dict(state)
    for name, value in state.items():
        if isinstance(value, Tensor) and value.untyped_storage().nbytes() > value.nbytes:
            whole[name] = copies.setdefault((value.data_ptr(), value.shape), value.detach().to("cpu", copy=True))
    sink = _Sink(file)
    torch.save(whole, sink)
    return sink.sha256.hexdigest()


def part_of(state: Dict[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    """The weights below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def load_state(
    module: nn.Module, state: Dict[str, Tensor], path: PathLike, config: PathLike, assign: bool = False
) -> None:
    """Puts weights from `path` into a module that was built from `config`.

    Args:
        assign: the tensors themselves become the parameters, so the module may be on the device meta.
    Raises:
        ValueError: weights are missing, left over, or of another shape.
    """
    try:
        module.load_state_dict(state, assign=assign)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit {config}: {error}") from error


def initialize(model: nn.Module, spec: str, ignore_mismatch: bool = False) -> None:
    """Puts weights into a model as `--init_param path:source:target:excluded,...` says.

    Args:
        ignore_mismatch: leave out weights that the model does not have, or has in another shape.
    Raises:
        ValueError: the file cannot be read. RuntimeError: its weights do not fit.
    """
    path, source, target, excluded = (spec.split(":") + [""] * 3)[:4]
    state = {n: v for n, v in read_state(path).items() if not n.startswith(tuple(filter(None, excluded.split(","))))}
    if source:
        state = part_of(state, f"{source}.")
    module = model.get_submodule(target)
    present = module.state_dict()
    if ignore_mismatch:
        state = {n: v for n, v in state.items() if n in present and present[n].shape == v.shape}
    module.load_state_dict({**present, **state})
