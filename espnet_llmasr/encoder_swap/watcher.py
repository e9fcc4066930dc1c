"""The watcher: follows the pretraining, measures CKA to the reference encoder, publishes encoders (Eq. 11 and 13)."""

import logging
import time
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Callable, Optional, Tuple

import yaml

from espnet_llmasr.asr.weights import read_state, write_state
from espnet_llmasr.encoder_swap.plan import steps_to_replay
from espnet_llmasr.encoder_swap.probe import EncoderProbe, Reference
from espnet_llmasr.encoder_swap.rule import CKACheck, SwapRule, action_for, cka_log
from espnet_llmasr.encoder_swap.run_dir import PretrainingDir
from espnet_llmasr.encoder_swap.store import EncoderStore, State, is_whole
from espnet_llmasr.files import read_yaml, write_atomically
from espnet_llmasr.metrics.encoder_metrics import METRICS
from espnet_llmasr.processes import only_one

Show = Callable[[CKACheck], None]


class Watcher:
    """Checks every new epoch of a pretraining.

    Args:
        probe: the fixed validation subset.
        store: its folder holds cka.jsonl, the only state that a resumed watcher has.
        show: called with every check, those in the log first; None: nothing is shown.
    """

    def __init__(self, probe: EncoderProbe, store: EncoderStore, rule: SwapRule, show: Optional[Show] = None):
        self.probe, self.store, self.rule, self.show = probe, store, rule, show or (lambda _: None)
        self.log = cka_log(store.directory)
        self.reference, self.reference_step = None, 0
        self._resume()

    def _resume(self) -> None:
        """Restores the state of an earlier watcher, killed at any point, from the log."""
        checks = self.log.read()
        for check in checks:
            self.show(check)
        for check in reversed(checks):
            if check.action != "keep" and is_whole(self._file_of(check)):
                self._set_reference(check.step, read_state(self._file_of(check)))
                break
        if checks and checks[-1].action == "final":
            self.store.publish_final(checks[-1].step)

    def _file_of(self, check: CKACheck) -> Path:
        """The encoder of a check that made it the reference; the first reference is not published."""
        return self.store.directory / "reference.pth" if check.action == "reference" else self.store.path(check.step)

    def _set_reference(self, step: int, state: State) -> None:
        self.reference, self.reference_step = Reference(self.probe, state), step

    def last_step(self) -> int:
        """The step of the last check in the log, 0 if there is none."""
        return max((check.step for check in self.log.read()), default=0)

    def check(self, step: int, encoder: State, head: Optional[State], ended: bool) -> Optional[CKACheck]:
        """Compares the encoder of `step` with the reference, acts and logs; `head` are the weights of the CTC head."""
        if not ended and step < self.rule.start_step:
            return None
        began = time.monotonic()
        result = self.probe.measure(encoder, head, self.reference)
        cka = result.cka_layers[-1] if result.cka_layers else None
        action = action_for(step, self.rule, cka, ended)
        self._act(action, step, encoder)
        seconds, now = round(time.monotonic() - began, 3), time.strftime("%Y-%m-%dT%H:%M:%S")
        check = CKACheck(step, self.reference_step, cka, action, result.cka_layers, now, seconds, result.values)
        self._append(check)
        if action == "final":
            self.store.publish_final(step)  # last of all: after it, nobody looks at this store again
        if action != "keep":
            self._set_reference(step, encoder)
        return check

    def _act(self, action: str, step: int, state: State) -> None:
        if action == "reference":
            write_state(self.store.directory / "reference.pth", state)
        elif action in ("publish", "final"):
            self.store.publish(step, state)

    def _append(self, check: CKACheck) -> None:
        self.log.append(check)
        cka = "no reference yet" if check.cka is None else f"CKA {check.cka:.4f} to step {check.reference_step}"
        names = {name: metric.name for name, metric in METRICS.items()}
        values = "".join(f", {names.get(name, name)} {value:.3f}" for name, value in check.values.items())
        logging.info("step %d: %s%s -> %s (%.1f s)", check.step, cka, values, check.action, check.seconds)
        self.show(check)


class TensorBoardLog:
    """The checks as TensorBoard curves.

    The points of an earlier watcher are purged and shown again, so that the curves are always those of cka.jsonl.

    Raises ValueError if the package tensorboard is missing.
    """

    def __init__(self, directory: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError("--use_tensorboard needs tensorboard: pip install tensorboard, or leave it out") from error
        # opened with the first check, so that a command that fails before writes nothing
        self._writer, self._last_step = lru_cache(partial(SummaryWriter, directory, purge_step=0)), None

    def show(self, check: CKACheck) -> None:
        """Adds the points of a check; a second check of the same encoder (at the end) has the same."""
        if check.step == self._last_step:
            return
        self._last_step = check.step
        points = {"cka": check.cka, "seconds": check.seconds, **check.values}
        points |= {f"cka_layers/{number}": value for number, value in enumerate(check.cka_layers, 1)}
        when = time.mktime(time.strptime(check.time, "%Y-%m-%dT%H:%M:%S"))
        for name, value in points.items():
            if value is not None:
                self._writer().add_scalar(name, value, check.step, walltime=when)
        self._writer().flush()


def keep_rule(encoder_dir: Path, rule: SwapRule) -> None:
    """A watcher that is resumed must decide as before. Raises ValueError for another rule."""
    path, given = encoder_dir / "watch.yaml", asdict(rule)
    if path.exists():
        saved = read_yaml(path)
        if saved != given:
            raise ValueError(f"{encoder_dir} was made with {saved}, asked is {given}: remove it or choose another")
    write_atomically(path, yaml.safe_dump(given))


def follow(
    pretrain_dir: Path,
    encoder_dir: Path,
    rule: SwapRule,
    make_probe: Callable[[], EncoderProbe],
    show: Optional[Show] = None,
    poll_s: float = 1.0,
    epochs: str = "every",
) -> None:
    """The only watcher of a store: publishes the encoders of a pretraining.

    Args:
        pretrain_dir: need not exist yet, unless `epochs` is "stored".
        make_probe: makes the probe of the pretraining, once that has saved its configuration.
        show: see `Watcher`.
        poll_s: seconds between looks at the pretraining.
        epochs: which ones are looked at, a name in WATCHED.

    Raises:
        ValueError: another watcher runs, or see `keep_rule`, `PretrainingDir` and the functions of WATCHED.
    """
    with only_one(encoder_dir, "watcher"):
        keep_rule(encoder_dir, rule)
        pretraining = PretrainingDir(pretrain_dir)
        if epochs != "stored":
            pretraining.wait_until_begun(poll_s)
        watcher = Watcher(make_probe(), EncoderStore(encoder_dir), rule, show)
        WATCHED[epochs](pretraining, watcher, poll_s)


def watch(pretraining: PretrainingDir, watcher: Watcher, poll_s: float = 1.0) -> None:
    """Checks every epoch from now on, until pretraining has ended and its last encoder is published.

    Raises ValueError if pretraining has ended without a whole last epoch.
    """
    updates = pretraining.updates_per_epoch()
    pretraining.reopen(watcher.store, updates)
    pretraining.unchecked.mkdir(exist_ok=True)
    while watcher.store.final_step() is None:
        ended = pretraining.ended  # read first: the last epoch is complete, and all others wait, before the end mark
        waiting = pretraining.waiting()
        if waiting is not None:
            epoch, encoder, head = waiting
            log_skipped(watcher, epoch * updates, updates)
            if epoch * updates > watcher.last_step():
                watcher.check(epoch * updates, encoder, head, ended=False)
            pretraining.checked(epoch)
        elif ended:
            epoch, encoder, head = last_of(pretraining)
            log_skipped(watcher, epoch * updates, updates)
            watcher.check(epoch * updates, encoder, head, ended=True)
        else:
            time.sleep(poll_s)
    if not any(pretraining.unchecked.iterdir()):
        pretraining.unchecked.rmdir()


def watch_last(pretraining: PretrainingDir, watcher: Watcher, poll_s: float = 1.0) -> None:
    """Publishes the last encoder of a pretraining alone, and leaves the epochs that wait for another watcher.

    Raises ValueError as `watch`.
    """
    updates = pretraining.updates_per_epoch()
    pretraining.reopen(watcher.store, updates)
    while not pretraining.ended:
        time.sleep(poll_s)
    if watcher.store.final_step() is None:
        epoch, encoder, head = last_of(pretraining)
        watcher.check(epoch * updates, encoder, head, ended=True)


def last_of(pretraining: PretrainingDir) -> Tuple[int, State, State]:
    """The last epoch of a pretraining that has ended, its encoder and CTC head. Raises ValueError if it is not whole."""
    last = pretraining.newest()
    if last is None:
        missing = f"{pretraining.directory} has ended but latest.pth is missing or broken"
        raise ValueError(f"{missing}: train it again")
    return last


def log_skipped(watcher: Watcher, step: int, updates: int) -> None:
    """Warns of the checks before `step` that cannot be made, since the weights of these epochs are gone."""
    due = max(watcher.last_step() + updates, -(-watcher.rule.start_step // updates) * updates, updates)
    if due < step:
        logging.warning(
            "no check at steps %d to %d (every %d): their weights were gone before this watcher began; one that runs "
            "beside the pretraining checks every epoch",
            due,
            step - updates,
            updates,
        )


def watch_stored(pretraining: PretrainingDir, watcher: Watcher, poll_s: float = 1.0) -> None:
    """Like `watch`, for the stored epochs of a pretraining that has ended.

    Raises ValueError if pretraining has not ended, or has not kept every epoch from the start step on.
    """
    if not pretraining.ended:
        raise ValueError(f"{pretraining.directory} has not ended: wait for it, or watch it with --epochs every")
    if watcher.store.final_step() is not None:
        return
    updates = pretraining.updates_per_epoch()
    steps = steps_to_replay(pretraining, updates, watcher.rule.start_step)
    for step in steps:
        if step > watcher.last_step():
            watcher.check(step, *pretraining.load(step // updates), ended=step == steps[-1])


WATCHED = {"every": watch, "stored": watch_stored, "last": watch_last}
