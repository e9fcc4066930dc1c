"""Weights from outside: refused where they are broken, and where a part is missing, which would be random."""

import re
import struct
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Callable, Iterator, List, Tuple, Union

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

NOT_LOOKED_AT = re.compile(r"masked_spec_embed|num_batches_tracked|(^|\.)pooler\.")  # for training, or beyond frames


def load_model(name: Union[str, Path], dtype: torch.dtype, kind=AutoModel) -> Tuple[nn.Module, List[str]]:
    """A model of Hugging Face, by directory or hub name, and the weights that are missing, for `check_weights`.

    Raises:
        ValueError: its weights are broken or do not fit.
        OSError: it has no weights; no such name on the hub, or no network.
    """
    try:
        with _quiet():
            model, found = _loader(kind)(name, dtype=dtype, output_loading_info=True)
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError, struct.error) as error:
        raise ValueError(f"the weights in {name} are broken or do not fit its config.json: {error}") from error
    return model, sorted(found["missing_keys"])


def _loader(kind: type) -> Callable:
    """from_pretrained, not the class's own: Qwen2.5-Omni's wants its speakers' voices too, and no loading info."""
    if issubclass(kind, PreTrainedModel):
        return partial(PreTrainedModel.from_pretrained.__func__, kind)
    return kind.from_pretrained


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and its table of missing weights, which `check_weights` tells of in one line."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def check_weights(name: Union[str, Path], missing: List[str]) -> None:
    """Raises ValueError if weights that matter are among the missing ones, of which transformers only warns."""
    lacking = [key for key in missing if not NOT_LOOKED_AT.search(key)]
    if lacking:
        raise ValueError(
            f"the weights in {name} lack {lacking[0]} ({len(lacking)} in all) of what its config.json names"
        )
