"""What a training has reported, epoch by epoch.

The reporter's state in checkpoint.pth has exact numbers of all epochs, also of those before a kill. train.log has
three digits, and only the epochs since the last start (the launcher begins a new log); it is what is left where no
checkpoint can be read: one that is being written, one that was removed, one of another trainer.
"""

import logging
import math
import re
from datetime import timedelta
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from espnet_llmasr.report.files import DAMAGE
from espnet_llmasr.espnet_versions import load_checkpoint
from espnet_llmasr.train.checkpoints import CURRENT, PREVIOUS

Values = Dict[str, float]
Epoch = Dict[str, Values]
"""{"train": values, "valid": values}; `time` in seconds, `total_count` in batches since the first epoch."""

_RESULTS = re.compile(r"(\d+)epoch results: (.*)")
_PAIR = re.compile(r"(\w+)=(.*?)(?=, \w+=|, *$|$)")
_UNITS = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1}
_SPAN = re.compile(rf"([\d.]+) ({'|'.join(_UNITS)})s?")


def read_epochs(folder: Path) -> Dict[int, Epoch]:
    """Epoch number -> what it reported, ascending: from the log, and over that from the checkpoint."""
    epochs = {**epochs_of_log(folder / "train.log"), **_newest_checkpoint(folder)}
    return dict(sorted(epochs.items()))


def _newest_checkpoint(folder: Path) -> Dict[int, Epoch]:
    """While an epoch runs only the previous one is there; while one is written the previous one is whole."""
    found = [epochs_of_checkpoint(folder / name) for name in (CURRENT, PREVIOUS) if (folder / name).is_file()]
    return max(found, key=len, default={})


def epochs_of_checkpoint(path: Path) -> Dict[int, Epoch]:
    """The weights stay on disk. Empty for a file that is not whole, which is said in the log."""
    try:
        stats = load_checkpoint(path, map_location="cpu", mmap=True)["reporter"]["stats"]
        return {number: {part: _plain(values) for part, values in parts.items()} for number, parts in stats.items()}
    except (OSError, *DAMAGE) as error:
        logging.warning("%s cannot be read (%s), so train.log is, as far as it goes", path, error)
        return {}


def _plain(values: Dict) -> Values:
    return {
        name: value.total_seconds() if isinstance(value, timedelta) else float(value)
        for name, value in values.items()
        if isinstance(value, (int, float, timedelta))
    }


def epochs_of_log(path: Path) -> Dict[int, Epoch]:
    """From ESPnet's lines "3epoch results: [train] loss=..., [valid] loss=...". The last one of an epoch counts."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        results = filter(None, map(_RESULTS.search, lines))
        return {int(found[1]): _parts(found[2]) for found in results}


def _parts(text: str) -> Epoch:
    """ "[train] a=1, b=2, [valid] a=3" -> a dictionary for each name in brackets."""
    _, *pieces = re.split(r"\[(\w+)\] ", text)
    return {name: dict(filter(None, map(_pair, _PAIR.finditer(rest)))) for name, rest in zip(pieces[::2], pieces[1::2])}


def _pair(found: re.Match) -> Optional[Tuple[str, float]]:
    name, value = found.groups()
    if name == "time":
        return name, sum(float(count) * _UNITS[unit] for count, unit in _SPAN.findall(value))
    try:
        return name, float(value)
    except ValueError:  # memory, "1.2 GB"
        return None


def series(epochs: Dict[int, Epoch], part: str, name: str) -> Tuple[List[int], List[float]]:
    """Epochs and values of one number, without those that are not finite."""
    pairs = [(number, epoch.get(part, {}).get(name, math.nan)) for number, epoch in epochs.items()]
    kept = [(number, value) for number, value in pairs if math.isfinite(value)]
    return [number for number, _ in kept], [value for _, value in kept]


def updates(epochs: Dict[int, Epoch], accum_grad: int) -> int:
    """Optimizer updates up to the last epoch; a group of batches at the end of an epoch may be smaller."""
    total, before, last = 0, 0.0, 0
    for number, epoch in epochs.items():
        count = epoch.get("train", {}).get("total_count", before)
        each = (count - before) / (number - last)  # epochs that the log no longer has were as long
        total += (number - last) * math.ceil(each / accum_grad)
        before, last = count, number
    return total


def seconds(epochs: Dict[int, Epoch]) -> float:
    """Time spent in training and validation."""
    return sum(values.get("time", 0.0) for epoch in epochs.values() for values in epoch.values())
