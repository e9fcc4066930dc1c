"""The bridge between pretraining and IA-SFT: a directory of immutable encoder files (DESIGN section 3).

encoder.<step>.pth   the encoder's state dict after <step> pretraining updates
final                the step of the last encoder, written when pretraining has ended
"""

import logging
import re
import zipfile
import zlib
from pathlib import Path
from typing import Dict, Iterable, List, Optional

import torch

from espnet_llmasr.asr.weights import read_state, write_state
from espnet_llmasr.files import PathLike, check_file, read_number, write_atomically

State = Dict[str, torch.Tensor]
_NAME = re.compile(r"encoder\.(\d+)\.pth")


class EncoderStore:
    """Publishes encoders and finds the newest whole one; readers and the single writer need no lock."""

    def __init__(self, directory: PathLike):
        self.directory = Path(directory)

    def path(self, step: int) -> Path:
        """The file of the encoder of `step`."""
        return self.directory / f"encoder.{step:09d}.pth"

    def publish(self, step: int, state: State) -> Path:
        """Writes beside, flushes, renames. An existing file of the same step stays as it is."""
        path = self.path(step)
        if not path.exists():
            write_state(path, state)
        return path

    def publish_final(self, step: int) -> None:
        """Marks `step` as the last encoder of this pretraining; an equal mark stays as it is."""
        if self.final_step() != step:
            write_atomically(self.directory / "final", f"{step}\n")

    def steps(self) -> List[int]:
        """Steps of all published encoders, ascending (whole or not)."""
        names = (_NAME.fullmatch(path.name) for path in self.directory.glob("encoder.*.pth"))
        return sorted(int(name.group(1)) for name in names if name)

    def newest(self, after: int = 0, up_to: Optional[int] = None) -> Optional[int]:
        """The newest step above `after`, at most `up_to`, whose file is whole; broken files are skipped (warning)."""
        steps = [step for step in self.steps() if step > after and (up_to is None or step <= up_to)]
        return self._first_whole(reversed(steps))

    def oldest(self) -> Optional[int]:
        """The first published step whose file is whole; broken files are skipped with a warning.

        Raises ValueError if there is none and none will come, since pretraining has ended.
        """
        step = self._first_whole(self.steps())
        if step is None and self.final_step() is not None:
            raise ValueError(f"{self.directory} has no whole encoder, and pretraining has ended: run stage 6 again")
        return step

    def _first_whole(self, steps: Iterable[int]) -> Optional[int]:
        for step in steps:
            if is_whole(self.path(step)):
                return step
            logging.warning("%s is not a whole checkpoint: skipped", self.path(step))
        return None

    def final_step(self) -> Optional[int]:
        """The last encoder's step once pretraining has ended, else None."""
        path = self.directory / "final"
        return read_number(path) if path.exists() else None

    def load(self, step: int) -> State:
        """The state dict of `step` on the CPU. Raises ValueError if there is no such file, or it is not whole."""
        if not is_whole(self.path(step)):
            raise ValueError(f"{self.path(step)} is missing or broken: run the watcher stage, or give another schedule")
        return read_state(self.path(step))


# What a flipped bit in an archive surfaces as; a missing file is not whole, either.
DAMAGE = (
    ValueError,
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
)


def is_whole(path: PathLike) -> bool:
    """True if `path` is a complete file of weights: its members match their checksums, torch can read its head."""
    try:
        check_file(path)  # a pipe would wait for ever
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        read_state(path, lazy=True)
    except DAMAGE:
        return False
    return True
