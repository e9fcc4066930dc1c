"""Reads the files of a pretraining while it runs, and afterwards."""

import os
import time
from pathlib import Path
from typing import List, Optional, Tuple

from espnet_llmasr.asr.weights import part_of, read_state
from espnet_llmasr.encoder_swap.store import EncoderStore, State, is_whole
from espnet_llmasr.train.checkpoints import FINISHED, UNCHECKED, epoch_of, epochs_in, read_config


class PretrainingDir:
    """The files of a running (or ended) pretraining.

    A pretraining that finds the folder `unchecked` links the weights of every epoch but the last into it, and the
    watcher removes them, so every epoch is checked, however slow the watcher is.
    """

    def __init__(self, directory: Path):
        self.directory = Path(directory)
        self.unchecked = self.directory / UNCHECKED

    @property
    def begun(self) -> bool:
        """True once the training has saved its configuration."""
        return (self.directory / "config.yaml").exists()

    @property
    def ended(self) -> bool:
        """True once the training has written its end mark."""
        return (self.directory / FINISHED).exists()

    def config(self) -> dict:
        """The saved options. Raises ValueError if config.yaml is damaged."""
        return read_config(self.directory / "config.yaml")

    def wait_until_begun(self, poll_s: float) -> None:
        """Waits for the configuration. Raises ValueError if the training has ended without one."""
        while not self.begun:
            if self.ended:
                raise ValueError(f"{self.directory}/config.yaml is missing, and the training has ended")
            time.sleep(poll_s)

    def reopen(self, store: EncoderStore, updates: int) -> None:
        """Takes back the mark of the last encoder if this pretraining goes on after all (a raised max_epoch)."""
        newest = self.newest()
        if store.final_step() is not None and not (self.ended and newest and newest[0] * updates == store.final_step()):
            (store.directory / "final").unlink()

    def updates_per_epoch(self) -> int:
        """Optimizer updates in one epoch, from the saved configuration.

        Raises ValueError if the epoch has no fixed length.
        """
        config = self.config()
        batches, config_file = config["num_iters_per_epoch"], self.directory / "config.yaml"
        if not batches:
            raise ValueError(f"{config_file} has no num_iters_per_epoch: CKA intervals need a fixed epoch")
        return -(-batches // config["accum_grad"])

    def newest(self) -> Optional[Tuple[int, State, State]]:
        """The epoch that latest.pth points to, its encoder and CTC head; None while it is not whole."""
        try:
            path = self.directory / os.readlink(self.directory / "latest.pth")
            epoch = epoch_of(path)
            return (epoch, *encoder_and_head(path)) if epoch is not None and is_whole(path) else None
        except (OSError, ValueError):
            return None  # the training has removed the file meanwhile

    def waiting(self) -> Optional[Tuple[int, State, State]]:
        """The oldest epoch that is not checked yet, its encoder and CTC head."""
        epochs = epochs_in(self.unchecked)
        return (epochs[0], *self.load(epochs[0], self.unchecked)) if epochs else None

    def checked(self, epoch: int) -> None:
        """Removes the weights of `epoch` that waited."""
        (self.unchecked / f"{epoch}epoch.pth").unlink(missing_ok=True)

    def stored(self) -> List[int]:
        """All epochs whose weights are there, ascending (whole or not)."""
        return epochs_in(self.directory)

    def load(self, epoch: int, directory: Optional[Path] = None) -> Tuple[State, State]:
        """Encoder and CTC head of a stored epoch. Raises ValueError if the file is broken."""
        path = (directory or self.directory) / f"{epoch}epoch.pth"
        if not is_whole(path):
            raise ValueError(f"{path} is missing or broken: remove it, or wait until the training has written it")
        return encoder_and_head(path)


def encoder_and_head(path: Path) -> Tuple[State, State]:
    """The encoder's and the CTC head's part of a model checkpoint (a part is empty if the model has none)."""
    state = read_state(path)
    return part_of(state, "encoder."), part_of(state, "ctc_head.")
