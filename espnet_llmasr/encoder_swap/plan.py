"""Replays a watcher on stored checkpoints, and schedules IA-SFT on the encoders that it would have published."""

import statistics
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from espnet_llmasr.encoder_swap.probe import EncoderProbe
from espnet_llmasr.encoder_swap.rule import CKACheck, SwapRule, action_for
from espnet_llmasr.encoder_swap.run_dir import PretrainingDir
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import Swap, swap_log
from espnet_llmasr.files import read_number
from espnet_llmasr.metrics.cka import layer_cka
from espnet_llmasr.train.fixed_set import Layers, mean_layers

MEMORY = 1 << 30  # bytes for encoder outputs that wait for their next comparison


class StoredEncoders:
    """CKA between any two epochs of a pretraining; one forward pass per epoch if memory allows."""

    def __init__(self, probe: EncoderProbe, pretraining: PretrainingDir, updates: int):
        self.probe, self.pretraining, self.updates = probe, pretraining, updates
        self.held: Dict[int, List[Layers]] = {}  # by step, the one used last at the end
        self.layer_cka = lru_cache(None)(self._layer_cka)

    def _layer_cka(self, reference_step: int, step: int) -> List[float]:
        """CKA of every block, as the watcher computes it."""
        pairs = zip(self.utterances(step), self.utterances(reference_step))
        return mean_layers([layer_cka(current, reference).tolist() for current, reference in pairs])

    def utterances(self, step: int) -> Iterable[Layers]:
        """The outputs of the encoder of `step`: from memory, or batch by batch if the outputs of two do not fit."""
        if step in self.held:
            self.held[step] = self.held.pop(step)
            return self.held[step]
        encoder = self.probe.encoder_of(self.pretraining.load(step // self.updates)[0])
        outputs = self.probe.utterances(encoder)
        room = MEMORY // self.probe.num_bytes(encoder)  # encoders whose outputs fit
        if room < 2:
            return outputs
        if len(self.held) >= room:
            del self.held[next(iter(self.held))]
        self.held[step] = [[layer.clone() for layer in layers] for layers in outputs]
        return self.held[step]


def replay(
    rules: Sequence[SwapRule], steps: Sequence[int], layer_cka_of: Callable[[int, int], List[float]], ended: bool
) -> List[List[CKACheck]]:
    """The checks of one watcher per rule over the same encoders.

    The rules go side by side over the steps, so only the references in force must be remembered.

    Args:
        layer_cka_of: (step of the reference, step) -> CKA of every block.
        ended: the last step is the end of the pretraining.
    """
    logs: List[List[CKACheck]] = [[] for _ in rules]
    for step in steps:
        for rule, log in zip(rules, logs):
            last = ended and step == steps[-1]
            reference = next((check.step for check in reversed(log) if check.action != "keep"), 0)
            layers = layer_cka_of(reference, step) if reference else []
            cka = layers[-1] if layers else None
            action = action_for(step, rule, cka, last)
            if action is not None:
                log.append(CKACheck(step, reference, cka, action, layers))
    return logs


@dataclass
class Plan:
    """The checks of a rule; steps and distances in updates of the pretraining.

    `first` initialises the alignment, every later encoder is a swap. `apart` are the distances between encoders;
    `longest_without` also counts the time from the first reference to the first encoder.
    """

    rule: SwapRule
    checks: List[CKACheck]

    @property
    def published(self) -> List[CKACheck]:
        """The checks that published an encoder."""
        return [check for check in self.checks if check.action in ("publish", "final")]

    def summary(self) -> dict:
        """As JSON."""
        steps = [check.step for check in self.published]
        apart = [later - earlier for earlier, later in zip(steps, steps[1:])]
        marks = [check.step for check in self.checks if check.action != "keep"] + [self.checks[-1].step]
        return {
            "rule": asdict(self.rule),
            "first": steps[0] if steps else None,
            "swaps": max(len(steps) - 1, 0),
            "triggers": [{"step": c.step, "cka": c.cka, "action": c.action} for c in self.published],
            "apart": {"min": min(apart), "median": statistics.median(apart), "max": max(apart)} if apart else None,
            "longest_without": max(later - earlier for earlier, later in zip(marks, marks[1:])),
        }


def steps_to_replay(pretraining: PretrainingDir, updates: int, start_step: Optional[int]) -> List[int]:
    """The stored steps from the start step on; by default from a quarter of the pretraining, as in the paper.

    Raises ValueError if fewer than two are stored, or one in between is missing, which a live watcher would see.
    """
    total = pretraining.config()["max_epoch"]
    start = total * updates // 4 if start_step is None else start_step
    first = max(-(-start // updates), 1)
    stored = [epoch for epoch in pretraining.stored() if epoch >= first]
    wanted = len(range(first, total + 1))
    missing = sorted(set(range(first, max([*stored, first + 1]) + 1)) - set(stored))
    if missing:
        raise ValueError(
            f"{pretraining.directory} keeps {len(stored)} of the {wanted} epochs from step {start} on, "
            f"epoch {missing[0]} is missing: a plan needs every one, "
            f"train with --keep_nbest_models {total}, or give another --start_step"
        )
    return [epoch * updates for epoch in stored]


def plan_swaps(
    pretraining: PretrainingDir,
    ended: bool,
    make_probe: Callable[[], EncoderProbe],
    thresholds: Sequence[float],
    start_step: Optional[int] = None,
) -> List[Plan]:
    """A plan for each threshold, from the stored epochs of a pretraining.

    Args:
        ended: the last stored epoch is the end of the pretraining.
        make_probe: makes the probe of the pretraining, once its files have been checked.
        start_step: of the first reference, in updates; None: see `steps_to_replay`.

    Raises:
        ValueError: see `PretrainingDir`, `steps_to_replay` and `SwapRule`.
    """
    updates = pretraining.updates_per_epoch()
    steps = steps_to_replay(pretraining, updates, start_step)
    rules = [SwapRule(threshold, steps[0]) for threshold in dict.fromkeys(thresholds)]
    encoders = StoredEncoders(make_probe(), pretraining, updates)
    return [Plan(*pair) for pair in zip(rules, replay(rules, steps, encoders.layer_cka, ended))]


def write_schedule(
    schedule: Path,
    encoder_dir: Path,
    epochs: int,
    final_epochs: Optional[int] = None,
    ia_sft_dir: Optional[Path] = None,
) -> Tuple[List[Swap], int]:
    """Writes the swaps of `ia_sft_schedule` for an encoder store; returns them, and the number of final epochs.

    Args:
        schedule: the file; stays if nothing changes.
        final_epochs: on the last encoder; None: a third of `epochs`, at least one.
        ia_sft_dir: the training; if it has begun, it must have kept to these swaps.

    Raises:
        ValueError: the store has no last encoder, or see `ia_sft_schedule` and `check_followed`.
    """
    store = EncoderStore(encoder_dir)
    if store.final_step() is None:
        raise ValueError(f"{encoder_dir} has no last encoder yet: run stages 5 and 6 to their end")
    final_epochs = final_epochs or max(epochs // 3, 1)
    swaps = ia_sft_schedule(store.steps(), epochs, final_epochs)
    if ia_sft_dir:
        check_followed(ia_sft_dir, swaps)
    swap_log(schedule).write(swaps)
    return swaps, final_epochs


def ia_sft_schedule(published: Sequence[int], epochs: int, final_epochs: int) -> List[Swap]:
    """IA-SFT of `epochs` epochs beside the rest of the pretraining after the first published encoder.

    The epochs before the `final_epochs` last ones are spread evenly over these steps. An encoder is swapped in at the
    first epoch that starts at or after its step (the newest of several), the last encoder at the final epochs.

    Args:
        published: ascending steps; the first is the alignment's, the last the end of the pretraining.

    Raises ValueError unless 1 <= final_epochs <= epochs.
    """
    if not 1 <= final_epochs <= epochs:
        raise ValueError(f"IA-SFT of {epochs} epochs with {final_epochs} final ones: allowed is 1 <= final <= epochs")
    (first, last), before = (published[0], published[-1]), epochs - final_epochs
    due = {1 - (first - step) * before // (last - first): step for step in published[1:-1]}  # rounded up
    due = {epoch: step for epoch, step in due.items() if epoch <= before}
    swaps, current = [], first
    for epoch, step in [*sorted(due.items()), (before + 1, last)]:
        swaps.append(Swap(epoch, step, current, step == last))
        current = step
    return swaps


def check_followed(directory: Path, swaps: Sequence[Swap]) -> None:
    """Raises ValueError if the training in `directory` has taken other encoders so far than the schedule `swaps`."""
    decided = directory / "swaps.decided"
    begun = read_number(decided) if decided.exists() else 0
    taken, planned = (
        {swap.epoch: swap.encoder_step for swap in side if swap.epoch <= begun}
        for side in (swap_log(directory / "swaps.jsonl").read(), swaps)
    )
    if taken != planned:
        raise ValueError(
            f"{directory} took encoders in its first {begun} epochs as {taken}, planned is {planned} (epoch: step of "
            "the encoder): give as many epochs as before, remove it, or choose another folder (--expdir of a recipe)"
        )
