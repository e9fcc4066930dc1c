"""Weights from outside: refused where they are broken, and where a part is missing, which would be random."""

import re
import struct
from pathlib import Path
from pickle import UnpicklingError
from typing import Dict, List, Tuple, Union
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel

NOT_LOOKED_AT = re.compile(r"masked_spec_embed|(^|\.)pooler\.")  # only for training, or beyond the frames


def load_model(name: Union[str, Path], dtype: torch.dtype, kind=AutoModel) -> Tuple[nn.Module, List[str]]:
    """A model of Hugging Face, by directory or hub name, and the weights that are missing, for `check_weights`.

    Raises:
        ValueError: its weights are broken or do not fit.
        OSError: it has no weights; no such name on the hub, or no network.
    """
    try:
        model, found = kind.from_pretrained(name, dtype=dtype, output_loading_info=True)
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError, struct.error) as error:
        raise ValueError(f"the weights in {name} are broken or do not fit its config.json: {error}") from error
    return model, sorted(found["missing_keys"])


def check_weights(name: Union[str, Path], missing: List[str]) -> None:
    """Raises ValueError if weights that matter are among the missing ones, of which transformers only warns."""
    lacking = [key for key in missing if not NOT_LOOKED_AT.search(key)]
    if lacking:
        raise ValueError(
            f"the weights in {name} lack {lacking[0]} ({len(lacking)} in all) of what its config.json names"
        )


def read_weights(path: Path) -> Dict[str, Tensor]:
    """The weights in a .pth file; what is never touched is not read from the disk.

    Raises:
        ValueError: the file is broken or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except (RuntimeError, EOFError, IndexError, UnpicklingError, struct.error) as error:
        raise ValueError(f"{path} is broken: {error}: take another checkpoint of this training") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds no weights but a {type(state).__name__}: take a checkpoint of this training")
    return state
