"""Epochs of our trainer on given batches; with plain SGD, its default, the gradient can be read off the weights."""

from types import SimpleNamespace

import torch
from espnet2.train.reporter import Reporter

from espnet_llmasr.tasks.speech_task import Trainer
from espnet_llmasr.train.engine import build_engine

ALONE = SimpleNamespace(distributed=False, dist_rank=None)
DEFAULTS = dict(ngpu=0, use_amp=False, grad_clip=1e9, grad_clip_type=2.0, max_epoch=1, encoder_dir=None)
DEFAULTS |= dict(num_iters_per_epoch=None, drift_data=None, deepspeed_config=None, unused_parameters=False)
DEFAULTS |= dict(gradient_as_bucket_view=True)


def options_of(options: dict) -> SimpleNamespace:
    """The options of a training with defaults."""
    return SimpleNamespace(**{**DEFAULTS, **options})


def sgd(model) -> torch.optim.Optimizer:
    """An update by the gradient itself."""
    return torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1.0)


def train_one_epoch(
    model, batches, options: dict, distributed, scheduler_for=lambda optimizer: None, optimizer_for=sgd
) -> dict:
    """Runs the real Trainer.train_one_epoch; options set accum_grad and output_dir.

    Returns the gradients, the epoch's loss and the learning rate at its end.
    """
    parameters = dict(model.named_parameters())
    before = {name: parameter.detach().double() for name, parameter in parameters.items()}
    optimizer = optimizer_for(model)
    scheduler = scheduler_for(optimizer)
    engine = build_engine(model, optimizer, options_of(options), distributed)
    loss = run_epoch(engine, 1, batches, options_of(options), distributed, scheduler)
    gradients = {name: before[name] - parameter.detach().double() for name, parameter in parameters.items()}
    return {"gradients": gradients, "loss": loss, "lr": optimizer.param_groups[0]["lr"]}


def run_epoch(engine, epoch: int, batches, options, distributed, scheduler=None) -> float:
    """An epoch of the real trainer on an engine; returns its loss."""
    reporter = Reporter()
    reporter.set_epoch(epoch)
    with reporter.observe("train") as sub_reporter:
        Trainer.train_one_epoch(
            model=engine,
            iterator=batches,
            optimizers=[engine.optimizer],
            schedulers=[scheduler],
            scaler=None,
            reporter=sub_reporter,
            summary_writer=None,
            options=options,
            distributed_option=distributed,
        )
    return reporter.get_value("train", "loss")
