"""One HTML page of an experiment: the Markdown that other commands wrote, curves of the logs, examples with sound."""

from importlib.util import find_spec

PACKAGES = {"matplotlib": "matplotlib", "markdown_it": "markdown-it-py"}
"""Module -> its name for pip."""


def require_packages() -> None:
    """Raises ValueError, with the command that installs them, where packages of the report are missing."""
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise ValueError(f"the report needs packages that are not installed: pip install {' '.join(missing)}")
