"""The watcher's checks as TensorBoard curves."""

import time
from functools import cached_property
from pathlib import Path

from espnet_llmasr.encoder_swap.rule import Check


class Board:
    """Shows checks in TensorBoard. Whoever opens it shows all checks there ever were: older points are taken back.

    So the curves are always those of cka.jsonl, wherever an earlier watcher was killed.

    Raises:
        ValueError: the package tensorboard is missing.
    """

    def __init__(self, directory: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError(
                "--use_tensorboard needs the package tensorboard: pip install tensorboard, or leave it out"
            ) from error
        self._open, self._last_step = lambda: SummaryWriter(directory, purge_step=0), None

    @cached_property
    def writer(self):
        """Opened with the first check: a command that fails before has written nothing."""
        return self._open()

    def show(self, check: Check) -> None:
        """Adds the points of a check; a second check of the same encoder (at the end) has the same."""
        if check.step == self._last_step:
            return
        self._last_step = check.step
        points = {
            "cka": check.cka,
            "nse": check.nse,
            "blank": check.blank,
            "peak": check.peak,
            "seconds": check.seconds,
        }
        points |= {f"cka_layers/{number}": value for number, value in enumerate(check.cka_layers, 1)}
        when = time.mktime(time.strptime(check.time, "%Y-%m-%dT%H:%M:%S"))
        for name, value in points.items():
            if value is not None:
                self.writer.add_scalar(name, value, check.step, walltime=when)
        self.writer.flush()
