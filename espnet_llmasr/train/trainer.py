"""The exact trainer: the step of a training on batches of any engine, and validation; helpers for several ranks."""

import logging
import time
from dataclasses import dataclass
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, TypeVar

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.torch_utils.recursive_op import recursive_average
from espnet2.utils.build_dataclass import build_dataclass
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none

from espnet_llmasr.asr.modules import on_host
from espnet_llmasr.asr.weights import initialize
from espnet_llmasr.espnet_versions import quiet_imports
from espnet_llmasr.train import checkpoints
from espnet_llmasr.train.engine import Autocast, Engine, build_engine
from espnet_llmasr.train.flops_log import EpochFlops
from espnet_llmasr.train.loop import EpochLoop

with quiet_imports():
    from espnet2.train import trainer as espnet_trainer

PROGRESS_INTERVAL_S = 5.0
T = TypeVar("T")


@dataclass
class ExactTrainerOptions(espnet_trainer.TrainerOptions):
    """ESPnet's options, and ours."""

    num_iters_per_epoch: Optional[int]
    init_param: List[str]
    ignore_init_mismatch: bool
    save_interval: Optional[int]
    keep_last: int
    deepspeed_config: Optional[str]


class ExactTrainer(espnet_trainer.Trainer):
    """ESPnet's trainer with an exact step and safe checkpoints.

    The loss is the mean over all targets of the global batch: all ranks, all accumulated micro-batches. ESPnet would take
    a mean of means. The targets are counted before the first forward pass of an update, so each micro-batch adds its
    part of the final gradient, and every engine (train/engine.py) makes the same update.
    """

    @classmethod
    def add_arguments(cls, parser) -> None:
        super().add_arguments(parser)
        help_text = "{adaptor: 10.0}: factors on the schedule's learning rate, for the parameters of modules"
        parser.add_argument("--lr_factor", action=NestedDictAction, default={}, help=help_text)
        add = parser.add_argument_group("Checkpoints").add_argument
        help_text = "updates between two saved states, rounded up to whole epochs; by default every epoch is saved"
        add("--save_interval", type=int_or_none, help=help_text)
        help_text = "saved epochs whose weights stay, the last ones, besides the best ones of --keep_nbest_models"
        add("--keep_last", type=int, default=1, help=help_text)

    @classmethod
    def build_options(cls, args) -> ExactTrainerOptions:
        return build_dataclass(ExactTrainerOptions, args)

    @classmethod
    def run(
        cls,
        model,
        optimizers,
        schedulers,
        train_iter_factory,
        valid_iter_factory,
        trainer_options,
        distributed_option,
        **_,
    ) -> None:
        """Trains from the last saved epoch to max_epoch; does nothing if that has been done.

        Raises ValueError if a longer training has been done.
        """
        checkpoints.check_options(trainer_options)
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
        if not (trainer_options.resume and checkpoints.begun(output_dir)):
            for spec in trainer_options.init_param:
                logging.info("taking weights from %s", spec)
                initialize(model, spec, trainer_options.ignore_init_mismatch)
        engine = build_engine(model, optimizers[0], trainer_options, distributed_option)
        data = train_iter_factory, valid_iter_factory
        EpochLoop(cls, engine, schedulers, *data, trainer_options, distributed_option).run()

    @classmethod
    def train_one_epoch(cls, engine: Engine, iterator, schedulers, reporter, options, distributed_option) -> None:
        """One epoch. Raises ValueError if no gradient was finite, where ESPnet would end as if all were well."""
        engine.module.train()
        num_batches = length_hint(iterator, options.num_iters_per_epoch or 0)  # split lists have no length
        progress = Progress(reporter.epoch, options.max_epoch, num_batches)
        all_invalid, costs = True, EpochFlops(engine.module)
        for group in reporter.measure_iter_time(groups_of(costs.watch(iterator), options.accum_grad), "iter_time"):
            cls.accumulate(engine, group, reporter, options, distributed_option, progress)
            grad_norm = cls.update(engine, schedulers)
            all_invalid &= not bool(torch.isfinite(grad_norm))
            reporter.register({"grad_norm": grad_norm, "lr": engine.optimizer.param_groups[0]["lr"]})
            reporter.next()
        if all_invalid:
            raise ValueError(f"epoch {reporter.epoch}: no update had a finite gradient: lower the learning rate")
        costs.write(Path(options.output_dir), reporter.epoch, distributed_option)

    @classmethod
    def accumulate(cls, engine: Engine, group, reporter, options, distributed_option, progress) -> None:
        """Adds up the gradients of the mean loss over all targets of the update, of which `group` is this rank's part."""
        device = device_of(options)
        shares = shares_of([engine.module.num_targets(**batch) for _, batch in group], device, distributed_option)
        for number, (uids, batch) in enumerate(group, 1):
            batch = placed(dict(batch, utt_id=uids), device)
            is_last = number == len(group)
            stats, weight = engine.accumulate(batch, shares[number - 1], is_last)
            stats, weight = recursive_average(stats, weight, distributed_option.distributed)
            reporter.register(stats, weight)
            if not is_last:
                reporter.next()
            progress.show(stats)

    @classmethod
    @torch.no_grad()
    def validate_one_epoch(cls, model, iterator, reporter, options, distributed_option) -> None:
        """As ESPnet's, with `placed` batches; each rank has as many as the others."""
        model = Autocast(model, options).eval()
        for uids, batch in iterator:
            _, stats, weight = model(**placed(dict(batch, utt_id=uids), device_of(options)))
            if distributed_option.distributed:
                stats, weight = recursive_average(stats, weight, True)
            reporter.register(stats, weight)
            reporter.next()

    @classmethod
    def update(cls, engine: Engine, schedulers) -> torch.Tensor:
        """Steps optimizer and schedulers unless the gradient is not finite; returns its norm before clipping."""
        grad_norm = engine.step()
        if not torch.isfinite(grad_norm):
            logging.warning("the gradient norm is %s: this update is skipped", grad_norm)
            return grad_norm
        for scheduler in schedulers:
            if isinstance(scheduler, AbsBatchStepScheduler):
                scheduler.step()
        return grad_norm


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


def shares_of(targets: List[int], device: str, distributed_option) -> torch.Tensor:
    """What the mean losses of this rank's micro-batches count in an update, (len(targets),) on the device.

    Engines average gradients among ranks, hence the number of ranks as a factor.

    Args:
        targets: the numbers of targets of the micro-batches.
    """
    own = torch.tensor(targets, dtype=torch.float64, device=device)
    total = own.sum()
    if not distributed_option.distributed:
        return (own / total).float()
    torch.distributed.all_reduce(total)
    return (own * torch.distributed.get_world_size() / total).float()


def device_of(options) -> str:
    """The device of a rank; ESPnet has set the current GPU."""
    return "cuda" if options.ngpu > 0 else "cpu"


def placed(batch: Dict[str, object], device: str) -> Dict[str, object]:
    """The audio of a batch on the device; lengths and token ids as arrays on the host.

    Arrays, since DistributedDataParallel would move every tensor.
    """
    on_accelerator = lambda value: torch.is_tensor(value) and value.is_floating_point()
    move = lambda value: value.to(device, non_blocking=True) if on_accelerator(value) else on_host(value)
    return {name: move(value) for name, value in batch.items()}


def is_first_rank(distributed_option) -> bool:
    """True on rank 0 and without ranks."""
    return not distributed_option.distributed or distributed_option.dist_rank == 0


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
