"""Weights from outside: refused where they are broken, and where a part is missing, which would be random."""

import re
import struct
from pathlib import Path
from pickle import UnpicklingError
from typing import Dict, Union
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel

NOT_LOOKED_AT = re.compile(r"masked_spec_embed|(^|\.)pooler\.|^decoder\.")  # only for training, or beyond the encoder


def load_model(name: Union[str, Path], dtype: torch.dtype) -> nn.Module:
    """A model of Hugging Face, by directory or hub name.

    Raises:
        ValueError: its weights are broken, do not fit, or lack some; transformers only warns of the latter.
        OSError: it has no weights; no such name on the hub, or no network.
    """
    try:
        model, found = AutoModel.from_pretrained(name, dtype=dtype, output_loading_info=True)
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError, struct.error) as error:
        raise ValueError(f"the weights in {name} are broken or do not fit its config.json: {error}") from error
    missing = sorted(key for key in found["missing_keys"] if not NOT_LOOKED_AT.search(key))
    if missing:
        raise ValueError(
            f"the weights in {name} lack {missing[0]} ({len(missing)} in all) of what its config.json names"
        )
    return model


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
