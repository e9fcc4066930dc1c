"""Reads weights from outside; refuses broken and incomplete ones, since missing weights would be random."""

import re
import struct
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Iterator, List, Tuple, Union

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

NOT_NEEDED = re.compile(r"masked_spec_embed|num_batches_tracked|(^|\.)pooler\.")  # for training, or after the frames


def load_model(name: Union[str, Path], dtype: torch.dtype, kind=AutoModel, **options) -> Tuple[nn.Module, List[str]]:
    """A model of Hugging Face, by directory or hub name, and the weights that are missing, for `check_weights`.

    Args:
        options: more of `from_pretrained`, such as gguf_file.
    Raises:
        ValueError: its weights are broken or do not fit.
        OSError: it has no weights; no such name on the hub, or no network.
    """
    try:
        with _quiet():
            if issubclass(kind, PreTrainedModel):  # Qwen2.5-Omni's own loader needs the voices of its speakers
                load = partial(PreTrainedModel.from_pretrained.__func__, kind)
            else:
                load = kind.from_pretrained
            model, info = load(name, dtype=dtype, output_loading_info=True, **options)
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError, struct.error) as error:
        raise ValueError(f"the weights in {name} are broken or do not fit its config.json: {error}") from error
    return model, sorted(info["missing_keys"])


@contextmanager
def naming_damage(path: Path, advice: str) -> Iterator[None]:
    """Turns every error of transformers that a value in a file causes into a ValueError that names the file."""
    try:
        yield
    except (
        Exception
    ) as error:  # of any kind: tokenizers raises Exception itself, huggingface_hub has classes of its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"{path}, or a file beside it, is damaged ({reason}): {advice}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and table of missing weights; `check_weights` names them in one line."""
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
    lacking = [key for key in missing if not NOT_NEEDED.search(key)]
    if lacking:
        raise ValueError(f"the weights in {name} lack {lacking[0]} ({len(lacking)} in all) that its config.json names")
