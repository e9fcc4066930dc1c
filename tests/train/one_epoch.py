"""Epochs of our trainer on given batches; with plain SGD, its default, the gradient can be read off the weights."""

from copy import deepcopy
from types import SimpleNamespace

import torch
from espnet2.train.reporter import Reporter

from espnet_llmasr.tasks.speech_task import Trainer
from espnet_llmasr.train.engine import build_engine, set_factors

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
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    optimizer = optimizer_for(model)
    scheduler = scheduler_for(optimizer)
    engine = build_engine(model, optimizer, options_of(options), distributed)
    loss = run_epoch(engine, 1, batches, options_of(options), distributed, scheduler)
    gradients = {name: before[name] - parameter.detach() for name, parameter in parameters.items()}
    return {"gradients": gradients, "loss": loss, "lr": optimizer.param_groups[0]["lr"]}


def run_epoch(engine, epoch: int, batches, options, distributed, scheduler=None) -> float:
    """An epoch of the real trainer on an engine; returns its loss."""
    reporter = Reporter()
    reporter.set_epoch(epoch)
    with reporter.observe("train") as sub_reporter:
        Trainer.train_one_epoch(
            engine=engine,
            iterator=batches,
            schedulers=[scheduler],
            reporter=sub_reporter,
            summary_writer=None,
            options=options,
            distributed_option=distributed,
        )
    return reporter.get_value("train", "loss")


def adam_engine(model, options, distributed):
    """A model with a frozen encoder, Adam, and ten times the rate for the adaptor.

    Adam's eps is large: with the usual 1e-8 it moves a weight whose gradient is zero but for rounding by its whole rate.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-3)
    set_factors(optimizer, model, {"adaptor": 10.0})
    return build_engine(model, optimizer, options, distributed)


def train_with_swap(start, batches, options: dict, distributed, encoder, resume_as=()) -> dict:
    """Two epochs on the same batches with a swap of the encoder between them; returns the weights.

    Args:
        resume_as: a DeepSpeed configuration or None, for an engine that goes on from the state after the swap.
    """
    options, model = options_of(options), deepcopy(start)
    model.encoder.requires_grad_(False)
    engine = adam_engine(model, options, distributed)
    run_epoch(engine, 1, batches, options, distributed)
    model.encoder.load_state_dict(encoder)
    for config in resume_as:
        parts = [engine.optimizer_state()]
        if engine.is_sharded:
            parts = parts * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, engine.optimizer_state())
        saved = {name: value.clone() for name, value in model.state_dict().items()}
        options.deepspeed_config, model = config, deepcopy(start)
        model.encoder.requires_grad_(False)
        engine = adam_engine(model, options, distributed)
        model.load_state_dict(saved)
        engine.load_optimizer_state(parts)
    run_epoch(engine, 2, batches, options, distributed)
    return {name: value.clone() for name, value in model.state_dict().items()}


class Weight(torch.nn.Module):
    """A weight of 1.0 whose gradient is the input."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(self.linear.weight)

    def forward(self, x):
        output = self.linear(x)
        assert output.dtype == torch.bfloat16
        return output.float(), {}, torch.ones(1)


def train_a_weight(options: dict, distributed) -> float:
    """A weight of 1.0 after an update with NaN and 1,000 updates of 1e-4 in bfloat16."""
    model = Weight()
    options = options_of({**options, "use_amp": True})
    engine = build_engine(model, torch.optim.Adam(model.parameters(), lr=1e-4), options, distributed)
    for value in [float("nan"), *[1.0] * 1000]:
        engine.accumulate({"x": torch.tensor([[value]])}, torch.ones(()), is_last=True)
        assert bool(torch.isfinite(engine.step())) == (value == 1.0)
    return model.linear.weight.item()
