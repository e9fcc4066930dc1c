"""The watcher: follows the pretraining, measures CKA to the reference encoder, publishes encoders (Eq. 11 and 13)."""

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Callable, List, Optional

import torch

from espnet_llmasr.files import atomic_path, write_atomically
from espnet_llmasr.encoder_swap.store import EncoderStore, is_whole
from espnet_llmasr.encoder_swap.run_dir import Pretraining, State
from espnet_llmasr.encoder_swap.probe import Probe
from espnet_llmasr.encoder_swap.plan import steps_to_replay
from espnet_llmasr.encoder_swap.rule import Check, SwapRule, action_for


def read_checks(log: Path) -> List[Check]:
    """All checks in a cka.jsonl (none if there is no file)."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [Check(**json.loads(line)) for line in lines]


class Watcher:
    """Checks every new epoch of a pretraining.

    Args:
        probe: the fixed validation subset.
        log: cka.jsonl; what it says is what a watcher that is taken up again knows.
        show: is told of every check, those in the log first.
    """

    def __init__(
        self,
        probe: Probe,
        store: EncoderStore,
        log: Path,
        rule: SwapRule,
        show: Callable[[Check], None] = lambda _: None,
    ):
        self.probe, self.store, self.log, self.rule, self.show = probe, store, log, rule, show
        self.reference, self.reference_step = None, 0
        self._resume()

    def _resume(self) -> None:
        """Takes up the state of an earlier watcher, at whatever point it was killed: the log tells what was done."""
        checks = self.checks()
        for check in checks:
            self.show(check)
        for check in reversed(checks):
            if check.action != "keep" and is_whole(self._file_of(check)):
                self._set_reference(check.step, torch.load(self._file_of(check), map_location="cpu", weights_only=True))
                break
        if checks and checks[-1].action == "final":
            self.store.publish_final(checks[-1].step)
        for step in [step for step in self.store.steps() if step > self.last_step()]:  # published, but not yet logged
            if is_whole(self.store.path(step)):
                self.check(step, self.store.load(step), None, ended=False)

    def _file_of(self, check: Check) -> Path:
        """The encoder of a check that made it the reference; the first reference is not published."""
        return self.store.directory / "reference.pth" if check.action == "reference" else self.store.path(check.step)

    def _set_reference(self, step: int, state: State) -> None:
        self.reference = self.reference or self.probe.encoder_of(state)
        self.reference.load_state_dict(state)
        self.reference_step = step

    def checks(self) -> List[Check]:
        """All checks in the log."""
        return read_checks(self.log)

    def last_step(self) -> int:
        """The step of the last check in the log, 0 if there is none."""
        return max((check.step for check in self.checks()), default=0)

    def check(self, step: int, encoder: State, head: Optional[State], ended: bool) -> Optional[Check]:
        """Compares the encoder of `step` with the reference, acts and logs; `head` are the weights of the CTC head."""
        if not ended and step < self.rule.start_step:
            return None
        began = time.monotonic()
        found = self.probe.measure(encoder, head, self.reference)
        cka = found.cka_layers[-1] if found.cka_layers else None
        action = action_for(step, self.rule, self.reference_step, cka, (self.checks() or [None])[-1], ended)
        self._act(action, step, encoder)
        result = Check(step, self.reference_step, cka, action, **vars(found), time=time.strftime("%Y-%m-%dT%H:%M:%S"))
        result.seconds = round(time.monotonic() - began, 3)
        self._append(result)
        if action == "final":
            self.store.publish_final(step)  # last of all: after it, nobody looks at this store again
        if action != "keep":
            self._set_reference(step, encoder)
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
        logging.info(one_line(check))
        self.show(check)


def one_line(check: Check) -> str:
    """A check for the reader of a log."""
    found = "no reference yet" if check.cka is None else f"CKA {check.cka:.4f} to step {check.reference_step}"
    values = {"NSE": check.nse, "blank": check.blank, "peak": check.peak}
    known = "".join(f", {name} {value:.3f}" for name, value in values.items() if value is not None)
    return f"step {check.step}: {found}{known} -> {check.action} ({check.seconds:.1f} s)"


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
            done, encoder, head = newest
            watcher.check(done * updates, encoder, head, ended)
        elif ended:
            raise ValueError(f"{pretraining.directory} has ended but latest.pth is missing or broken: train it again")
        else:
            time.sleep(poll_s)


def watch_stored(pretraining: Pretraining, watcher: Watcher) -> None:
    """The same on the stored epochs of a pretraining that has ended, one after the other, as if beside it.

    Raises:
        ValueError: pretraining has not ended, or has not kept every epoch from the start step on.
    """
    if not pretraining.ended:
        raise ValueError(f"{pretraining.directory} has not ended: wait for it, or watch it without --replay")
    updates = pretraining.updates_per_epoch()
    steps = steps_to_replay(pretraining, updates, watcher.rule.start_step)
    for step in steps if watcher.store.final_step() is None else []:
        if step > watcher.last_step():
            watcher.check(step, *pretraining.load(step // updates), ended=step == steps[-1])
