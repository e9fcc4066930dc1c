"""The differences between the two supported ESPnets: 202511 (Python 3.11) and 202611 (Python 3.12 and 3.13).

- checkpoint.pth: 202511 saves numpy numbers and timedeltas in the reporter's state, which 202611 refuses to load.
  202611 saves floats and {"__timedelta_seconds__": seconds}, which 202511 would not convert back.
- The package `espnet`: ESPnet1 with 202511, the table of espnet.load() with 202611.
- The module that prints that there is no flash_attn: on standard output with 202511, on standard error with 202611.

And the difference between either of them and none, as in vLLM's environment (docs/vllm.md).
"""

import struct
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pickle import UnpicklingError
from typing import Any, Iterator
from zipfile import is_zipfile

import numpy as np
import torch

from espnet_llmasr.files import PathLike, check_file

SECONDS = "__timedelta_seconds__"
ATTENTION = (
    "espnet.nets.pytorch_backend.transformer.attention",
    "espnet2.legacy.nets.pytorch_backend.transformer.attention",
)
# The types in a reporter's state of 202511 besides plain numbers. Loading them cannot run code.
REPORTER_TYPES = [
    timedelta,
    np.dtype,
    np.float64(0).__reduce__()[0],
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")},
]


def base_class(path: str) -> type:
    """The abstract class of ESPnet at this path, whose subclasses its models take; nn.Module where there is no ESPnet."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name) if find_spec("espnet2") else torch.nn.Module


def load_checkpoint(path: PathLike, **options) -> dict:
    """The states in a checkpoint.pth of either ESPnet; the reporter's numbers come as floats, ints and timedeltas.

    Args:
        options: of torch.load, such as map_location.

    Raises:
        ValueError: the file is broken, is not a checkpoint.pth, or holds objects other than tensors and numbers.
        RuntimeError: the file is whole, but its tensors cannot be had, as when the device has no memory left.
    """
    check_file(path)
    try:
        with torch.serialization.safe_globals(REPORTER_TYPES):
            states = torch.load(path, weights_only=True, **options)
        reporter = states["reporter"]
        stats = {
            epoch: {part: {name: plain(value) for name, value in values.items()} for part, values in parts.items()}
            for epoch, parts in reporter["stats"].items()
        }
    except (RuntimeError, EOFError, UnpicklingError, LookupError, TypeError, AttributeError, struct.error) as error:
        if isinstance(error, RuntimeError) and is_zipfile(path) and "PytorchStreamReader" not in str(error):
            raise  # torch's reader of the archive, which finds what is broken, has read it
        raise ValueError(f"{path} is broken or is no training's checkpoint ({type(error).__name__})") from error
    return {**states, "reporter": {**reporter, "stats": stats}}


def plain(value: Any) -> Any:
    """A reporter's value in the form that both ESPnets accept: a float, an int or a timedelta."""
    if isinstance(value, dict):
        return timedelta(seconds=value[SECONDS])
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def quiet_imports() -> Iterator[None]:
    """For imports of ESPnet: nothing goes to standard output, and nobody is told that there is no flash_attn.

    Only the import of the attention itself is silenced. What else is printed (by nltk, which looks for its data) goes
    to standard error.
    """
    for name in ATTENTION:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), suppress(ModuleNotFoundError):
            import_module(name)
    with redirect_stdout(sys.stderr):
        yield
