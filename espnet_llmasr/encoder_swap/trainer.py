"""Hot-swapping the frozen encoder at epoch starts (Eq. 13; paper section 3.4 and appendix A.4).

One epoch is one CKA interval. Rank 0 decides, all ranks load the same file, `swaps.jsonl` records the swaps; given
back as --swap_schedule it repeats the run exactly.

Without --pace an epoch takes the newest encoder that is there, so the swaps depend on the speed of both trainings. With
--pace R epoch k waits until the watcher has checked update k * R of the pretraining and takes the newest encoder up to
it, so the swaps depend on the pretraining's weights only. Pretraining never waits.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.utils.types import int_or_none, str_or_none

from espnet_llmasr.asr.modules import is_frozen
from espnet_llmasr.encoder_swap.rule import cka_log
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.files import JsonLines, PathLike, read_number, write_atomically
from espnet_llmasr.train.inputs import ENCODERS, files_of, record_inputs
from espnet_llmasr.train.trainer import agree

SWAP_CHOICES = ("first", "every_epoch")
ENDLESS = 1_000_000  # epochs; no training has so many
WAIT_S = 10  # seconds of waiting for the watcher between two messages


@dataclass
class Swap:
    """A swap at the start of an epoch: the encoder of `encoder_step` replaced that of `previous_step`.

    `final` marks that pretraining has ended; if the model held the last encoder already, both steps are equal.
    """

    epoch: int
    encoder_step: int
    previous_step: int
    final: bool
    time: str = ""


def swap_log(path: PathLike) -> JsonLines[Swap]:
    """The swaps in a file (swaps.jsonl of a training, or a schedule)."""
    return JsonLines(path, Swap)


def next_swap(epoch: int, current: int, newer: Optional[int], final: Optional[int], past: List[Swap]) -> Optional[Swap]:
    """Decides about a swap at the start of `epoch`; pure.

    Args:
        current: step of the encoder in the model; newer: the step in the store to change to, if any.
        final: the last step there will be, once pretraining has ended.
        past: swaps of earlier epochs.
    """
    step = newer or current
    is_final = final is not None and step >= final and not any(swap.final for swap in past)
    if step == current and not is_final:
        return None
    return Swap(epoch, step, current, is_final)


def last_epoch(swaps: List[Swap], final_epochs: Optional[int]) -> Optional[int]:
    """The last of `final_epochs` epochs on the final encoder; None without a number, or while that encoder is to come."""
    finals = [swap.epoch for swap in swaps if swap.final]
    return finals[0] + final_epochs - 1 if finals and final_epochs is not None else None


def check_options(options) -> None:
    """Raises ValueError for swap options that would have no effect, or a schedule that cannot be read."""
    schedule, pace = options.swap_schedule, options.pace
    if options.encoder_dir is None and (schedule, options.final_epochs, pace) != (None, None, None):
        raise ValueError(
            "--swap_schedule, --final_epochs and --pace need --encoder_dir: give the encoder store, or omit them"
        )
    if options.final_epochs is not None and options.final_epochs < 1:
        raise ValueError(f"--final_epochs is {options.final_epochs}, expected at least 1")
    if pace is not None and (pace < 1 or options.swap != "every_epoch"):
        raise ValueError(f"--pace {pace} with --swap {options.swap}: allowed is 1 or more with --swap every_epoch")
    if pace is not None and not options.num_iters_per_epoch:
        raise ValueError("--pace without --num_iters_per_epoch: give the length of an epoch, or omit --pace")
    if schedule is None:
        if options.final_epochs is not None and options.swap != "every_epoch":
            raise ValueError(f"--final_epochs with --swap {options.swap} would not end: give --swap every_epoch")
        return
    if not Path(schedule).is_file():
        raise ValueError(f"--swap_schedule {schedule} does not exist: give the swaps.jsonl of an earlier run")
    if options.final_epochs is not None:
        check_final(schedule)
    if Path(schedule).resolve().parent == Path(options.output_dir).resolve():
        raise ValueError(f"--swap_schedule {schedule} would be overwritten: give another --output_dir")


def check_final(log: PathLike) -> None:
    """Raises ValueError for a swaps.jsonl, or a schedule, in which the last encoder of the pretraining does not come."""
    if not any(swap.final for swap in swap_log(log).read()):
        raise ValueError(
            f'{log} has no swap with "final": true, so the model never saw the last encoder of the pretraining: let '
            "stages 5, 6 and 8 run to their end"
        )


class SwapMixin:
    """Adds encoder swaps to a trainer's `train_one_epoch`.

    With --final_epochs the training ends so many epochs after the final swap, whatever --max_epoch says. A swap changes
    the encoder's weights only: the optimizer's moments (of adaptor and LLM) and the learning rate go on.
    """

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        add = parser.add_argument_group("Encoder swaps").add_argument
        add("--encoder_dir", type=str_or_none, help="encoder store written by the watcher")
        add("--swap", choices=SWAP_CHOICES, default="first", help="load the first published encoder, or every new one")
        help_text = "end after so many epochs on the last encoder, instead of after max_epoch"
        add("--final_epochs", type=int_or_none, help=help_text)
        help_text = "updates of pretraining for each epoch: epoch k waits for the check of update k * pace"
        add("--pace", type=int_or_none, help=f"{help_text}; the learning rate falls in the final epochs only")
        add("--swap_schedule", type=str_or_none, help="swaps.jsonl of an earlier run, to repeat it exactly")

    @classmethod
    def run(cls, trainer_options, schedulers, **kwargs) -> None:
        """As the base class, with checked options."""
        check_options(trainer_options)
        if trainer_options.pace is not None:
            check_schedulers(schedulers)
        if trainer_options.final_epochs is not None:  # the loop must not end before the last encoder has come
            log = swap_log(Path(trainer_options.output_dir) / "swaps.jsonl")
            past = agree(log.read) if trainer_options.resume else []
            trainer_options.max_epoch = last_epoch(past, trainer_options.final_epochs) or ENDLESS
        super().run(trainer_options=trainer_options, schedulers=schedulers, **kwargs)

    @classmethod
    def train_one_epoch(cls, engine, reporter, options, schedulers, **kwargs) -> None:
        epoch = reporter.epoch
        if options.encoder_dir is not None:
            swaps = cls.swap_encoder(engine.module, epoch, options)
            if options.pace is not None:
                schedulers = hold_until_final(schedulers, swaps, options)
            if options.final_epochs is not None:
                last = last_epoch(swaps, options.final_epochs)
                options.max_epoch = last or epoch + options.final_epochs  # for the log, and the mark of the end
                if epoch == last:
                    logging.info("epoch %d is the last: %d epochs on the final encoder", epoch, options.final_epochs)
        super().train_one_epoch(engine=engine, reporter=reporter, options=options, schedulers=schedulers, **kwargs)

    @classmethod
    def swap_encoder(cls, model, epoch: int, options) -> List[Swap]:
        """Loads the encoder that is due; returns all swaps up to now.

        Raises ValueError if the encoder is being trained, or the file is missing or broken.
        """
        if not is_frozen(model.encoder):
            raise ValueError("swaps need a frozen encoder: give --freeze_param encoder, or leave out --encoder_dir")
        log = Path(options.output_dir) / "swaps.jsonl"
        current = int(model.swap_step)
        swaps = None
        while swaps is None:  # no rank may wait longer in one broadcast than the process group's timeout
            swaps = agree(lambda: cls._decide(log, epoch, current, options))
        step = swaps[-1].encoder_step if swaps and swaps[-1].epoch == epoch else current
        if step != current:
            load_encoder(model, EncoderStore(options.encoder_dir), step)
            logging.info("encoder swapped: step %d -> %d (epoch %d)", current, step, epoch)
        return swaps

    @staticmethod
    def _decide(log: Path, epoch: int, current: int, options) -> Optional[List[Swap]]:
        """All swaps up to this epoch; None while the watcher has not done what they depend on.

        A decision made for an epoch before a kill is kept when the epoch is trained again.
        """
        past, decided = [swap for swap in swap_log(log).read() if swap.epoch <= epoch], log.with_suffix(".decided")
        if decided.exists() and epoch <= read_number(decided):
            return past
        past = [swap for swap in past if swap.epoch < epoch]
        if options.swap_schedule is not None:
            due = scheduled_swap(options.swap_schedule, epoch, current)
        else:
            store, limit = EncoderStore(options.encoder_dir), options.pace and epoch * options.pace
            if not wait_for(
                lambda: is_ready(store, current, limit), f"waiting for {wanted(limit)} in {store.directory}"
            ):
                return None
            due = due_swap(store, epoch, current, past, options.swap, limit)
        if due is not None:
            due.time = time.strftime("%Y-%m-%dT%H:%M:%S")
            past.append(due)
            record_inputs(options.output_dir, files_of(encoder_inputs(EncoderStore(options.encoder_dir), [due])))
        swap_log(log).write(past)
        write_atomically(decided, f"{epoch}\n")
        return past


def encoder_inputs(store: EncoderStore, swaps: List[Swap]) -> Dict[str, Path]:
    """The files of the store that a training with these swaps depends on, by their names among its inputs."""
    files = [store.path(swap.encoder_step) for swap in swaps]
    files += [store.directory / "final"] if any(swap.final for swap in swaps) else []
    return {f"{ENCODERS}{file.name}": file for file in files}


def scheduled_swap(schedule: PathLike, epoch: int, current: int) -> Optional[Swap]:
    """The recorded swap of `epoch`, if there was one.

    Raises ValueError if the schedule does not fit the encoder in the model.
    """
    due = next((swap for swap in swap_log(schedule).read() if swap.epoch == epoch), None)
    if due is None and current == 0:
        raise ValueError(f"{schedule} has no first encoder for epoch {epoch}: give the swaps.jsonl of the same stage")
    if due is not None and due.previous_step != current:
        raise ValueError(
            f"{schedule} replaces encoder {due.previous_step} in epoch {epoch}, the model has encoder {current}: "
            "give the swaps.jsonl of the same stage, and repeat the stages before it likewise"
        )
    return due


def wait_for(condition: Callable[[], bool], message: str) -> bool:
    """True as soon as `condition` holds, False after WAIT_S seconds without."""
    for waited_s in range(WAIT_S):
        if condition():
            return True
        if waited_s == 0:
            logging.info(message)
        time.sleep(1)
    return False


def wanted(limit: Optional[int]) -> str:
    """What an epoch waits for, in words."""
    return "the first encoder" if limit is None else f"the check of update {limit} and the first encoder"


def is_ready(store: EncoderStore, current: int, limit: Optional[int]) -> bool:
    """True once the store has a first encoder (or the model: `current`) and all that will ever be up to `limit`.

    The mark of the last encoder comes after its line in cka.jsonl, so that line alone does not count.
    """
    if current == 0 and store.oldest() is None:
        return False
    if limit is None or store.final_step() is not None:
        return True
    return any(check.step >= limit and check.action != "final" for check in cka_log(store.directory).read())


def due_swap(
    store: EncoderStore, epoch: int, current: int, past: List[Swap], swap: str, limit: Optional[int]
) -> Optional[Swap]:
    """The swap to the first encoder in the store, or to the newest one up to `limit`; None if the model has it."""
    if current > 0 and swap == "first":
        return None
    final = store.final_step()  # read before the newest: the final encoder is published before its mark
    newer = None if swap == "first" else store.newest(after=current, up_to=limit)
    if newer is None and current == 0:
        newer = store.oldest()
    return next_swap(epoch, current, newer, final, past)


class HeldScheduler(AbsBatchStepScheduler):
    """Steps a scheduler to the end of its warm-up and no further."""

    def __init__(self, scheduler):
        self.scheduler = scheduler

    def step(self, epoch: Optional[int] = None) -> None:
        if self.scheduler.last_epoch < self.scheduler.warmup_steps:
            self.scheduler.step(epoch)

    def state_dict(self):
        return self.scheduler.state_dict()

    def load_state_dict(self, state):
        self.scheduler.load_state_dict(state)


def check_schedulers(schedulers) -> None:
    """Raises ValueError for a scheduler that --pace cannot hold."""
    for scheduler in schedulers:
        if not (hasattr(scheduler, "warmup_steps") and hasattr(scheduler, "total_steps")):
            name = type(scheduler).__name__
            raise ValueError(
                f"--pace with the scheduler {name}: give --scheduler exponentialdecaywarmup, or omit --pace"
            )
        if scheduler.warmup_steps == 0 and getattr(scheduler, "warm_from_zero", False):
            raise ValueError(
                "--scheduler_conf has warm_from_zero=true and warmup_steps=0, so that --pace would hold a rate of 0: "
                "give warm_from_zero=false, or a warm-up"
            )


def hold_until_final(schedulers, swaps: List[Swap], options) -> List[AbsBatchStepScheduler]:
    """The schedulers of an epoch: held after the warm-up until the final swap, then decaying to the last epoch's end."""
    finals = [swap.epoch for swap in swaps if swap.final]
    if not finals:
        return [HeldScheduler(scheduler) for scheduler in schedulers]
    epochs = options.final_epochs or options.max_epoch - finals[0] + 1
    updates = epochs * -(-options.num_iters_per_epoch // options.accum_grad)
    for scheduler in schedulers:
        scheduler.total_steps = scheduler.warmup_steps + updates
    return schedulers


@torch.no_grad()
def load_encoder(model, store: EncoderStore, step: int) -> None:
    """Replaces every tensor of model.encoder by those of `step` and notes the step in the buffer `swap_step`.

    Raises ValueError if the file is broken or has other tensors than the encoder; the model then stays as it is.
    """
    new, present = store.load(step), model.encoder.state_dict()
    for name in {**present, **new}:
        given, expected = (tuple(state[name].shape) if name in state else "absent" for state in (new, present))
        if given != expected:
            raise ValueError(
                f"{store.path(step)} is not of this encoder ({name}: {given}, expected {expected}): "
                "give both trainings the same encoder_conf"
            )
    model.encoder.load_state_dict(new)
    model.swap_step.fill_(step)
