"""Makes ESPnet's checkpoints and config.yaml safe against a kill at any moment (ESPnet writes them in place).

The state of the last epoch whose files are complete is kept as checkpoint.prev.pth until the next epoch is complete:
- begin_epoch() renames checkpoint.pth to checkpoint.prev.pth; every file of that epoch is whole by then, so its
  weights are linked into the folder `unchecked` if a watcher has made it (ESPnet removes older epochs);
- roll_back() at the start of a run links it back if it is still there, because then the newer epoch was interrupted;
- forget() at the start of a run that does not resume removes what an earlier run left;
- finish() removes it and writes `finished`, which others read as "this training has ended".
Everything random depends on seed + epoch, so an epoch trained again gives the same weights.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any, Dict, Optional

import yaml
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

from espnet_llmasr.files import PathLike, read_json, read_text, write_atomically

CURRENT, PREVIOUS, FINISHED, UNCHECKED = "checkpoint.pth", "checkpoint.prev.pth", "finished", "unchecked"
LAST_OPTION = "distributed"  # in a config.yaml


def begin_epoch(output_dir: Path, epoch: int) -> None:
    """Called at the start of every epoch, by rank 0."""
    current, previous = output_dir / CURRENT, output_dir / PREVIOUS
    hand_over(output_dir, epoch - 1)
    if not current.exists():
        return
    if previous.exists() and previous.samefile(current):
        current.unlink()  # rename() between two links to one file would do nothing
    else:
        os.replace(current, previous)


def hand_over(output_dir: Path, epoch: int) -> None:
    """Links the weights of `epoch` for the watcher, which removes the link when it has checked them."""
    weights, link = output_dir / f"{epoch}epoch.pth", output_dir / UNCHECKED / f"{epoch}epoch.pth"
    if link.parent.is_dir() and weights.exists() and not link.exists():
        os.link(weights, link)


def roll_back(output_dir: Path) -> None:
    """Called once at the start of a run that resumes, by rank 0; takes the end mark of a shorter training away."""
    current, previous, finished = output_dir / CURRENT, output_dir / PREVIOUS, output_dir / FINISHED
    if finished.exists() and not previous.exists():
        os.link(current, previous)  # whole, since the training ended well
    if previous.exists():
        logging.info("going on from the last complete epoch in %s", output_dir)
        current.unlink(missing_ok=True)
        os.link(previous, current)
    elif current.exists():
        logging.info("the first epoch in %s was interrupted: starting again", output_dir)
        current.unlink()
    finished.unlink(missing_ok=True)


def begun(output_dir: Path) -> bool:
    """True if a run that resumes does not begin with the first epoch."""
    return any((output_dir / name).exists() for name in (CURRENT, PREVIOUS))


def forget(output_dir: Path) -> None:
    """Called once at the start of a run that starts anew, by rank 0: the end mark goes first, others read it."""
    for name in (FINISHED, PREVIOUS, CURRENT, "swaps.decided"):
        (output_dir / name).unlink(missing_ok=True)
    for link in (output_dir / UNCHECKED).glob("*epoch.pth"):
        link.unlink()


def finish(output_dir: Path, max_epoch: int) -> None:
    """Called after the last epoch, by rank 0."""
    write_atomically(output_dir / FINISHED, json.dumps({"max_epoch": max_epoch}) + "\n")
    (output_dir / PREVIOUS).unlink(missing_ok=True)


def finished_epochs(output_dir: Path) -> Optional[int]:
    """The max_epoch with which the training ended, None while it has not. Raises ValueError for a damaged end mark."""
    path = output_dir / FINISHED
    if not path.exists():
        return None
    epochs = read_json(path).get("max_epoch")
    if type(epochs) is not int:
        raise ValueError(f"{path} has no max_epoch: remove it, and the training goes on from its last epoch")
    return epochs


def read_config(path: PathLike) -> Dict[str, Any]:
    """The options in a config.yaml. Raises ValueError if it is damaged, as ESPnet's after a kill while it writes."""
    try:
        options = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError):
        options = None
    if not isinstance(options, dict) or LAST_OPTION not in options:
        raise ValueError(
            f"{path} is damaged, expected the options of a training: restore it, or remove it and start the training "
            "again with the same options, which writes it anew"
        )
    return options


def write_config(path: PathLike, options: Dict[str, Any]) -> None:
    """Writes a config.yaml in ESPnet's form, so that a reader finds the old one or the new one as a whole."""
    write_atomically(path, yaml_no_alias_safe_dump(options, indent=4, sort_keys=False))
