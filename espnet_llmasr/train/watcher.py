"""The watcher: follows the pretraining, measures CKA to the reference encoder, publishes encoders (Eq. 11 and 13).

B batch, S encoder frames, D encoder width.
"""

import json
import logging
import os
import re
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import torch
import yaml
from torch import nn

from espnet_llmasr.asr.conformer import subsampled_length
from espnet_llmasr.asr.features import extract_features
from espnet_llmasr.files import atomic_path, write_atomically
from espnet_llmasr.metrics.cka import linear_cka
from espnet_llmasr.train.checkpoints import FINISHED
from espnet_llmasr.train.encoder_store import EncoderStore, is_whole

State = Dict[str, torch.Tensor]


@dataclass
class Check:
    """One line of cka.jsonl. `cka` is that of the encoder's output, `cka_layers` that of every block."""

    step: int
    reference_step: int
    cka: Optional[float]  # None without a reference
    action: str  # "reference", "keep", "publish" or "final"
    cka_layers: List[float] = field(default_factory=list)
    time: str = ""


def action_for(
    step: int, start_step: int, has_reference: bool, cka: Optional[float], threshold: float, ended: bool
) -> Optional[str]:
    """What to do with the encoder of `step`; pure. None: not yet time to look (paper: before step 500k)."""
    if ended:
        return "final"
    if step < start_step:
        return None
    if not has_reference:
        return "reference"
    return "publish" if cka < threshold else "keep"


def validate_threshold(threshold: float) -> float:
    """Raises ValueError unless 0 < threshold <= 1."""
    if not 0 < threshold <= 1:
        raise ValueError(f"the CKA threshold is {threshold}, allowed is 0 < threshold <= 1 (the paper takes 0.975)")
    return threshold


class Pretraining:
    """The files of a running (or ended) pretraining, read only."""

    def __init__(self, directory: Path):
        self.directory = Path(directory)

    @property
    def begun(self) -> bool:
        """True once the training has saved its whole configuration (ESPnet writes it in place)."""
        try:
            config = yaml.safe_load((self.directory / "config.yaml").read_text(encoding="utf-8"))
        except (FileNotFoundError, yaml.YAMLError, UnicodeDecodeError):
            return False
        return isinstance(config, dict) and "distributed" in config  # its last key

    @property
    def ended(self) -> bool:
        """True once the training has written its end mark."""
        return (self.directory / FINISHED).exists()

    def reopen(self, store: EncoderStore, updates: int) -> None:
        """Takes back the mark of the last encoder if this pretraining goes on after all (a raised max_epoch)."""
        newest = self.newest()
        if store.final_step() is not None and not (self.ended and newest and newest[0] * updates == store.final_step()):
            (store.directory / "final").unlink()

    def updates_per_epoch(self) -> int:
        """Optimizer updates in one epoch, from the saved configuration.

        Raises:
            ValueError: the epoch has no fixed length.
        """
        config = yaml.safe_load((self.directory / "config.yaml").read_text(encoding="utf-8"))
        if not config["num_iters_per_epoch"]:
            raise ValueError(
                f"{self.directory}/config.yaml has no num_iters_per_epoch: CKA intervals need a fixed epoch"
            )
        return -(-config["num_iters_per_epoch"] // config["accum_grad"])

    def newest(self, after: int = 0) -> Optional[Tuple[int, State]]:
        """The epoch that latest.pth points to and its encoder; None while it is not above `after`, or not whole."""
        try:
            name = re.fullmatch(r"(\d+)epoch\.pth", os.readlink(self.directory / "latest.pth"))
            if name is None or int(name.group(1)) <= after or not is_whole(self.directory / name.group()):
                return None
            return int(name.group(1)), encoder_state(self.directory / name.group())
        except (OSError, RuntimeError, EOFError):
            return None  # the link is made anew, older files are removed, a resumed training writes in place


class Watcher:
    """Checks every new epoch of a pretraining.

    Args:
        model: the pretraining model (frontend, normalize, encoder); used for its features and its architecture.
        speech: the fixed validation subset as batches (speech (B, N), lengths (B,)).
        threshold: publish when CKA falls below it. start_step: the first reference is taken from here on.
    """

    def __init__(
        self,
        model: nn.Module,
        speech: List[Tuple[torch.Tensor, torch.Tensor]],
        store: EncoderStore,
        log: Path,
        threshold: float = 0.975,
        start_step: int = 0,
    ):
        self.encoder, self.reference = model.encoder.eval(), None
        with torch.no_grad():
            self.feats = [extract_features(*batch, model.frontend, model.normalize) for batch in speech]
        self.store, self.log = store, log
        self.threshold, self.start_step = validate_threshold(threshold), start_step
        self.reference_step = 0
        self._resume()

    def _resume(self) -> None:
        """Takes up the state of an earlier watcher, at whatever point it was killed: the log tells what was done."""
        checks = self.checks()
        for check in reversed(checks):
            if check.action != "keep" and is_whole(self._file_of(check)):
                self._set_reference(check.step, torch.load(self._file_of(check), map_location="cpu", weights_only=True))
                break
        if checks and checks[-1].action == "final":
            self.store.publish_final(checks[-1].step)
        for step in [step for step in self.store.steps() if step > self.last_step()]:  # published, but not yet logged
            if is_whole(self.store.path(step)):
                self.check(step, self.store.load(step), ended=False)

    def _file_of(self, check: Check) -> Path:
        """The encoder of a check that made it the reference; the first reference is not published."""
        return self.store.directory / "reference.pth" if check.action == "reference" else self.store.path(check.step)

    def _set_reference(self, step: int, state: State) -> None:
        self.reference = self.reference or deepcopy(self.encoder)
        self.reference.load_state_dict(state)
        self.reference_step = step

    def checks(self) -> List[Check]:
        """All checks in the log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [Check(**json.loads(line)) for line in lines]

    def last_step(self) -> int:
        """The step of the last check in the log, 0 if there is none."""
        return max((check.step for check in self.checks()), default=0)

    def check(self, step: int, state: State, ended: bool) -> Optional[Check]:
        """Compares the encoder `state` of `step` with the reference, acts and logs."""
        if not ended and step < self.start_step:
            return None
        layers = self.compare(state) if self.reference is not None else []
        cka = layers[-1] if layers else None
        action = action_for(step, self.start_step, self.reference is not None, cka, self.threshold, ended)
        self._act(action, step, state)
        result = Check(step, self.reference_step, cka, action, layers, time.strftime("%Y-%m-%dT%H:%M:%S"))
        self._append(result)
        if action == "final":
            self.store.publish_final(step)  # last of all: after it, nobody looks at this store again
        if action != "keep":
            self._set_reference(step, state)
        return result

    def _act(self, action: str, step: int, state: State) -> None:
        if action == "reference":
            with atomic_path(self.store.directory / "reference.pth") as path:
                torch.save(state, path)
        elif action in ("publish", "final"):
            self.store.publish(step, state)

    def _append(self, check: Check) -> None:
        past = self.log.read_text() if self.log.exists() else ""
        write_atomically(self.log, past + json.dumps(asdict(check)) + "\n")
        found = "no reference yet" if check.cka is None else f"CKA {check.cka:.4f} to step {check.reference_step}"
        logging.info("step %d: %s -> %s", check.step, found, check.action)

    @torch.no_grad()
    def compare(self, state: State) -> List[float]:
        """Linear CKA (Eq. 12) of each block's output, per utterance on valid frames, then averaged."""
        self.encoder.load_state_dict(state)
        scores = [pair for batch in self.feats for pair in self._compare_batch(*batch)]
        return torch.tensor(scores).mean(0).tolist()

    def _compare_batch(self, feats: torch.Tensor, lengths: torch.Tensor) -> Iterable[List[float]]:
        current, reference = (model.forward_layers(feats, lengths) for model in (self.encoder, self.reference))
        for row, n in enumerate(subsampled_length(lengths).tolist()):
            yield [float(linear_cka(a[row, :n], b[row, :n])) for a, b in zip(current, reference)]


def encoder_state(path: Path) -> State:
    """The encoder's part of a model checkpoint."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name[len("encoder.") :]: value for name, value in state.items() if name.startswith("encoder.")}


def watch(pretraining: Pretraining, watcher: Watcher, poll_s: float = 1.0) -> None:
    """Checks each new epoch until pretraining has ended and its last encoder is published.

    Raises:
        ValueError: pretraining has ended without a whole last epoch.
    """
    updates = pretraining.updates_per_epoch()
    pretraining.reopen(watcher.store, updates)
    done = watcher.last_step() // updates
    while watcher.store.final_step() is None:
        ended = pretraining.ended  # read before the newest: the last epoch is complete before the end mark
        newest = pretraining.newest(after=0 if ended else done)
        if newest is not None:
            done, state = newest
            watcher.check(done * updates, state, ended)
        elif ended:
            raise ValueError(f"{pretraining.directory} has ended but latest.pth is missing or broken: train it again")
        else:
            time.sleep(poll_s)
