"""Weights of a packed model in safetensors, a format without code. A weight that is equal to another is stored once.

The metadata hold, under "same", JSON {name: other name}. "model.safetensors:encoder.x" is a weight in a file beside:
a CTC head on the frozen encoder of the model has no second copy of that encoder.
"""

import json
from pathlib import Path
from typing import Dict, Mapping, Optional

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, equal

from espnet_llmasr.files import atomic_path, check_file

SUFFIX = ".safetensors"


def write_packed(path: Path, state: Mapping[str, Tensor], beside: Optional[Path] = None) -> None:
    """Writes weights beside and renames; those that `beside` (a packed file in the same folder) has are not repeated."""
    others = read_packed(beside) if beside else {}
    stored: Dict[str, Tensor] = {}
    same: Dict[str, str] = {}
    places: Dict[tuple, str] = {}
    for name, value in state.items():
        place = (value.data_ptr(), value.shape, value.stride())
        if name in others and others[name].dtype == value.dtype and equal(others[name], value):
            same[name] = f"{beside.name}:{name}"
        elif value.numel() and place in places:  # tied embeddings
            same[name] = places[place]
        else:
            places[place] = name
            stored[name] = value.detach().clone().contiguous() if _is_part(value) else value.detach().contiguous()
    with atomic_path(path) as temporary:
        save_file(stored, temporary, metadata={"format": "pt", "same": json.dumps(same)})


def _is_part(value: Tensor) -> bool:
    """True if other weights may share its storage, which safetensors refuses."""
    return value.untyped_storage().nbytes() > value.nbytes


def read_packed(path: Path) -> Dict[str, Tensor]:
    """All weights of a packed file. Raises ValueError if it, or the file beside that it needs, is broken or missing."""
    path = Path(path)
    check_file(path)
    advice = "download or unpack the model again"
    try:
        with safe_open(path, framework="pt") as file:
            same = json.loads((file.metadata() or {}).get("same", "{}"))
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is broken ({error}): {advice}") from error
    states = {"": state}
    for name, other in same.items():
        file, _, source = other.rpartition(":")
        if Path(file).name != file or file == path.name:
            raise ValueError(f"{path} refers to '{file}', expected a file beside it: {advice}")
        if file not in states:
            states[file] = read_packed(path.with_name(file))
        if source not in states[file]:
            raise ValueError(f"{path} needs the weight {source} of {file or path.name}, which is missing: {advice}")
        state[name] = states[file][source]
    return state
