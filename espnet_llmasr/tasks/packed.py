"""The configuration of a packed model: its files are named relative to its own folder."""

from importlib import import_module
from pathlib import Path
from typing import Any, Dict

from packaging.requirements import InvalidRequirement, Requirement

from espnet_llmasr.files import PathLike

REQUIRES = "requires"  # the key that only packed configurations have, such as "espnet_llmasr>=0.1.0"


def resolved(options: Dict[str, Any], config_file: PathLike) -> Dict[str, Any]:
    """The options with the files of a pack under their full paths; those of a training stay as they are.

    Raises:
        ValueError: the model needs another version of this package.
    """
    if REQUIRES not in options:
        return options
    check_version(options[REQUIRES], config_file)
    return {key: _full(value, Path(config_file).parent) for key, value in options.items()}


def _full(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _full(part, folder) for key, part in value.items()}
    if isinstance(value, str) and value and not Path(value).is_absolute() and (folder / value).is_file():
        return str(folder / value)  # a path that espnet_model_zoo has rewritten is none here
    return value


def check_version(requirement: Any, source: PathLike) -> None:
    """Raises ValueError if a model `requires` another version of this package than the installed one."""
    version = import_module("espnet_llmasr").__version__
    try:
        wanted = Requirement(str(requirement))
    except InvalidRequirement as error:
        raise ValueError(f"{source} requires '{requirement}', expected espnet_llmasr>=VERSION") from error
    if wanted.name != "espnet_llmasr" or not wanted.specifier.contains(version, prereleases=True):
        advice = f"pip install '{requirement}'"
        raise ValueError(f"{source} requires {requirement}, installed is espnet_llmasr {version}: {advice}")
