"""The exact trainer: ESPnet's loop over epochs with our step and our checkpoints; helpers for several ranks."""

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, TypeVar

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.torch_utils.recursive_op import recursive_average
from espnet2.utils.build_dataclass import build_dataclass

from espnet_llmasr.asr.modules import on_host
from espnet_llmasr.espnet_versions import load_checkpoint, quiet_imports
from espnet_llmasr.train import checkpoints
from espnet_llmasr.train.flops_log import EpochFlops

with quiet_imports():
    from espnet2.train import trainer as espnet_trainer

PROGRESS_INTERVAL_S = 5.0
T = TypeVar("T")


@dataclass
class ExactTrainerOptions(espnet_trainer.TrainerOptions):
    """ESPnet's options and the length of an epoch."""

    num_iters_per_epoch: Optional[int]


class ExactTrainer(espnet_trainer.Trainer):
    """ESPnet's trainer with an exact step and safe checkpoints.

    The loss is the mean over all weights (target tokens) of the global batch: all ranks, all accumulated micro-batches.
    ESPnet would take a mean of means. Gradients are averaged among ranks once per update. With --use_amp the forward
    pass runs in bfloat16 (fp32 masters, no loss scaling).
    """

    @classmethod
    def build_options(cls, args) -> ExactTrainerOptions:
        return build_dataclass(ExactTrainerOptions, args)

    @classmethod
    def run(cls, trainer_options, distributed_option, **kwargs) -> None:
        """Trains from the last complete epoch to max_epoch; does nothing if that has been done.

        Raises ValueError if a longer training has been done.
        """
        output_dir = Path(trainer_options.output_dir)
        finished = checkpoints.finished_epochs(output_dir) if trainer_options.resume else None
        if finished is not None and finished > trainer_options.max_epoch:
            raise ValueError(
                f"{output_dir} was trained with --max_epoch {finished}, asked is {trainer_options.max_epoch}: give at "
                "least as much, or choose another --output_dir (--expdir of a recipe)"
            )
        if finished == trainer_options.max_epoch:
            logging.info("the training in %s is finished; raise --max_epoch to go on", output_dir)
            return
        first = is_first_rank(distributed_option)
        if first:
            checkpoints.roll_back(output_dir) if trainer_options.resume else checkpoints.forget(output_dir)
        synchronize(distributed_option)
        super().run(trainer_options=trainer_options, distributed_option=distributed_option, **kwargs)
        if first:
            checkpoints.finish(output_dir, trainer_options.max_epoch)
        synchronize(distributed_option)

    @staticmethod
    def resume(checkpoint, model, reporter, optimizers, schedulers, scaler, ngpu=0, strict=True) -> None:
        """As ESPnet's, from a checkpoint.pth of any supported ESPnet. Raises ValueError for one that is broken."""
        device = f"cuda:{torch.cuda.current_device()}" if ngpu > 0 else "cpu"
        try:
            states = load_checkpoint(checkpoint, map_location=device)
        except ValueError as error:
            raise ValueError(f"{error}: remove it to train from the first epoch again") from error
        model.load_state_dict(states["model"], strict=strict)
        reporter.load_state_dict(states["reporter"])
        parts = [*zip(optimizers, states["optimizers"]), *zip(schedulers, states["schedulers"])]
        for part, state in [*parts, (scaler, states["scaler"])]:
            if part is not None and state is not None:
                part.load_state_dict(state)
        logging.info("going on with epoch %d from %s", reporter.get_epoch() + 1, checkpoint)

    @classmethod
    def train_one_epoch(
        cls, model, iterator, optimizers, schedulers, scaler, reporter, summary_writer, options, distributed_option
    ) -> bool:
        """One epoch. Raises ValueError if no gradient was finite, where ESPnet would end as if all were well."""
        if is_first_rank(distributed_option):
            checkpoints.begin_epoch(Path(options.output_dir), reporter.epoch)
        model.train()
        num_batches = length_hint(iterator, options.num_iters_per_epoch or 0)  # split lists have no length
        progress = Progress(reporter.epoch, options.max_epoch, num_batches)
        all_invalid, costs = True, EpochFlops(getattr(model, "module", model))
        for group in reporter.measure_iter_time(groups_of(costs.watch(iterator), options.accum_grad), "iter_time"):
            weight = cls.accumulate(model, group, reporter, options, distributed_option, progress)
            grad_norm = normalize_gradients(model, weight, distributed_option, options)
            all_invalid &= not cls.update(optimizers, schedulers, grad_norm)
            reporter.register({"grad_norm": grad_norm, "lr": optimizers[0].param_groups[0]["lr"]})
            reporter.next()
        if all_invalid:
            raise ValueError(f"epoch {reporter.epoch}: no update had a finite gradient: lower the learning rate")
        costs.write(Path(options.output_dir), reporter.epoch, distributed_option)
        return False

    @classmethod
    def accumulate(cls, model, group, reporter, options, distributed_option, progress) -> torch.Tensor:
        """Adds up gradients of the weighted loss *sums* of `group`; returns the total weight."""
        total = torch.zeros(())
        for number, (uids, batch) in enumerate(group, 1):
            batch = placed(dict(batch, utt_id=uids), options)
            is_last = number == len(group)
            with nullcontext() if is_last or not distributed_option.distributed else model.no_sync():
                with bfloat16(options):
                    loss, stats, weight = model(**batch)
                (loss * weight).sum().backward()
            stats, weight = recursive_average(stats, weight, distributed_option.distributed)
            reporter.register(stats, weight)
            if not is_last:
                reporter.next()
            total = total + weight.sum().cpu()
            progress.show(stats)
        return total

    @classmethod
    @torch.no_grad()
    def validate_one_epoch(cls, model, iterator, reporter, options, distributed_option) -> None:
        """As ESPnet's, with `placed` batches; each rank has as many as the others."""
        model.eval()
        for uids, batch in iterator:
            with bfloat16(options):
                _, stats, weight = model(**placed(dict(batch, utt_id=uids), options))
            if distributed_option.distributed:
                stats, weight = recursive_average(stats, weight, True)
            reporter.register(stats, weight)
            reporter.next()

    @classmethod
    def update(cls, optimizers, schedulers, grad_norm: torch.Tensor) -> bool:
        """Steps optimizers and schedulers unless the gradient is not finite; returns whether it did."""
        valid = bool(torch.isfinite(grad_norm))
        if not valid:
            logging.warning("the gradient norm is %s: this update is skipped", grad_norm)
        for optimizer, scheduler in zip(optimizers, schedulers):
            if valid:
                optimizer.step()
                if isinstance(scheduler, AbsBatchStepScheduler):
                    scheduler.step()
            optimizer.zero_grad()
        return valid


class Progress:
    """Logs one line every few seconds: where the epoch is (of `num_batches`, 0 if not known) and the loss."""

    def __init__(self, epoch: int, max_epoch: int, num_batches: int):
        self.head, self.total = f"epoch {epoch}/{max_epoch}", f"/{num_batches}" if num_batches else ""
        self.batch, self.last = 0, time.monotonic()

    def show(self, stats) -> None:
        """Counts a batch and logs if it is time."""
        self.batch += 1
        if time.monotonic() - self.last < PROGRESS_INTERVAL_S:
            return
        self.last = time.monotonic()
        values = " ".join(f"{key} {float(value):.3f}" for key, value in stats.items())
        logging.info("%s batch %d%s %s", self.head, self.batch, self.total, values)


def groups_of(iterator: Iterable, size: int) -> Iterator[List]:
    """Consecutive groups of `size` items; the last may be shorter."""
    iterator = iter(iterator)
    return iter(lambda: list(islice(iterator, size)), [])


def normalize_gradients(model, weight: torch.Tensor, distributed_option, options) -> torch.Tensor:
    """Divides the summed gradients by the global weight, clips them, and returns their norm.

    DistributedDataParallel has divided by the number of ranks, hence the factor.
    """
    world_size = torch.distributed.get_world_size() if distributed_option.distributed else 1
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    torch._foreach_mul_(gradients, float(world_size / weight))
    return torch.nn.utils.clip_grad_norm_(model.parameters(), options.grad_clip, options.grad_clip_type)


def placed(batch: Dict[str, object], options) -> Dict[str, object]:
    """The audio of a batch on the accelerator; lengths and token ids as arrays on the host.

    Arrays, since DistributedDataParallel would move every tensor.
    """
    device = "cuda" if options.ngpu > 0 else "cpu"
    on_accelerator = lambda value: torch.is_tensor(value) and value.is_floating_point()
    move = lambda value: value.to(device, non_blocking=True) if on_accelerator(value) else on_host(value)
    return {name: move(value) for name, value in batch.items()}


def bfloat16(options):
    """The autocast context of a forward pass: bfloat16 with --use_amp, fp32 otherwise."""
    return torch.autocast("cuda" if options.ngpu > 0 else "cpu", torch.bfloat16, enabled=options.use_amp)


def is_first_rank(distributed_option) -> bool:
    """True on rank 0 and without ranks."""
    return not distributed_option.distributed or distributed_option.dist_rank == 0


def synchronize(distributed_option) -> None:
    """Waits for all ranks."""
    if distributed_option.distributed:
        torch.distributed.barrier()


def agree(decide: Callable[[], T]) -> T:
    """Rank 0's value of decide() on all ranks; an error of rank 0 is raised everywhere."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return decide()
    box = [None]
    if torch.distributed.get_rank() == 0:
        try:
            box = [decide()]
        except Exception as error:  # of any kind: the other ranks must not wait for ever
            box = [error]
    torch.distributed.broadcast_object_list(box, src=0)
    if isinstance(box[0], Exception):
        raise box[0]
    return box[0]
