"""Reads and writes files of weights. Every fault of a file is a ValueError of one line that names the file."""

import struct
from pickle import UnpicklingError
from typing import Dict
from zipfile import is_zipfile

import torch
from torch import Tensor, nn

from espnet_llmasr.files import PathLike, atomic_path, check_file


def read_state(path: PathLike, lazy: bool = False) -> Dict[str, Tensor]:
    """The weights in a .pth file, on the CPU.

    Args:
        lazy: read each tensor at its first use. Not for a file that another process may overwrite.
    Raises:
        ValueError: the file is missing or broken, or holds something else.
    """
    check_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=lazy and is_zipfile(path))
    except (RuntimeError, OSError, EOFError, IndexError, TypeError, UnpicklingError, struct.error) as error:
        advice = "give another <n>epoch.pth of this training"
        raise ValueError(f"{path} is broken or missing, or holds more than weights: {advice}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds no weights but a {type(state).__name__}: give <n>epoch.pth of a training")
    return state


def write_state(path: PathLike, state: Dict[str, Tensor]) -> None:
    """Writes weights beside, flushes, renames. Equal weights give equal files (torch puts a file's name into it)."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)


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
