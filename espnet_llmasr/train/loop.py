"""The loop over epochs, in the place of ESPnet's, which writes in place, after every epoch, and all weights twice.

Options, log, TensorBoard, names of files and early stopping are ESPnet's. What is random follows from seed + epoch.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Type

import torch
from espnet2.schedulers.abs_scheduler import AbsEpochStepScheduler, AbsValEpochStepScheduler
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from espnet2.train.reporter import Reporter

from espnet_llmasr.train.checkpoints import Checkpoints, epochs_between_saves


@dataclass
class EpochLoop:
    """A training from its last saved epoch to its last one.

    Attributes:
        trainer: the class with train_one_epoch and validate_one_epoch.
        engine: the model and its optimizer, see train/engine.py. schedulers: of the learning rate.
        train_data, valid_data: ESPnet's iterator factories. ranks: ESPnet's DistributedOption.
    """

    trainer: Type
    engine: Any
    schedulers: List[Any]
    train_data: Any
    valid_data: Any
    options: Any
    ranks: Any
    reporter: Reporter = field(default_factory=Reporter)

    def run(self) -> None:
        """Trains, saves, and marks the end."""
        options, reporter = self.options, self.reporter
        checkpoints, interval = Checkpoints(options, self.ranks), epochs_between_saves(options)
        self.first_rank = checkpoints.rank == 0
        ended = checkpoints.restore(self.engine, self.schedulers, reporter)
        self.writers = self._writers()
        for epoch in () if ended else range(reporter.get_epoch() + 1, options.max_epoch + 1):
            if epoch > 1:
                checkpoints.hand_over(epoch - 1, self.engine.module)
            self._epoch(epoch)
            ends = epoch == options.max_epoch or self._stops_early()
            if ends or epoch % interval == 0:
                checkpoints.save(self.engine, self.schedulers, reporter, ends)
                if options.nbest_averaging_interval > 0 and epoch % options.nbest_averaging_interval == 0:
                    checkpoints.average(reporter, f"till{epoch}epoch.")
            if ends:
                break
        checkpoints.finish(reporter)

    def _epoch(self, epoch: int) -> None:
        """Trains and validates one epoch."""
        set_all_random_seed(self.options.seed + epoch)
        self.reporter.set_epoch(epoch)
        common = dict(options=self.options, distributed_option=self.ranks)
        torch.cuda.empty_cache()
        with self.reporter.observe("train") as reporter:
            self.trainer.train_one_epoch(
                engine=self.engine,
                schedulers=self.schedulers,
                iterator=self.train_data.build_iter(epoch),
                reporter=reporter,
                summary_writer=self.writers.get("train"),
                **common,
            )
        torch.cuda.empty_cache()
        with self.reporter.observe("valid") as reporter:
            iterator = self.valid_data.build_iter(epoch)
            self.trainer.validate_one_epoch(model=self.engine.module, iterator=iterator, reporter=reporter, **common)
        for scheduler in self.schedulers:
            if isinstance(scheduler, AbsValEpochStepScheduler):
                scheduler.step(self.reporter.get_value(*self.options.val_scheduler_criterion))
            elif isinstance(scheduler, AbsEpochStepScheduler):
                scheduler.step()
        self._report()

    def _stops_early(self) -> bool:
        """True if the criterion has not improved for more than `patience` epochs."""
        patience = self.options.patience
        return patience is not None and self.reporter.check_early_stopping(
            patience, *self.options.early_stopping_criterion
        )

    def _writers(self) -> dict:
        """TensorBoard's writers by phase, on the first rank."""
        if not (self.options.use_tensorboard and self.first_rank):
            return {}
        from torch.utils.tensorboard import SummaryWriter

        folder = Path(self.options.output_dir, "tensorboard")
        return {phase: SummaryWriter(str(folder / phase)) for phase in ("train", "valid")}

    def _report(self) -> None:
        """The results of the epoch: log, plots, TensorBoard, wandb."""
        if not self.first_rank:
            return
        logging.info(self.reporter.log_message())
        if self.options.use_matplotlib:
            self.reporter.matplotlib_plot(Path(self.options.output_dir, "images"))
        for phase, writer in self.writers.items():
            self.reporter.tensorboard_add_scalar(writer, key1=phase)
        if self.options.use_wandb:
            self.reporter.wandb_log()
