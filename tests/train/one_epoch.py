"""One epoch of our trainer on given batches, with plain SGD, so that the gradient can be read off the weights."""

from types import SimpleNamespace

import torch
from espnet2.train.reporter import Reporter

from espnet_llmasr.tasks.speech_task import Trainer


def train_one_epoch(model, batches, options: dict, distributed, scheduler_for=lambda optimizer: None) -> dict:
    """Runs the real Trainer.train_one_epoch; options set accum_grad and output_dir.

    Returns the gradients, the epoch's loss and the learning rate at its end.
    """
    parameters = dict(getattr(model, "module", model).named_parameters())
    before = {name: parameter.detach().double() for name, parameter in parameters.items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    defaults = dict(ngpu=0, use_amp=False, grad_clip=1e9, grad_clip_type=2.0, max_epoch=1, encoder_dir=None)
    defaults |= dict(num_iters_per_epoch=None, drift_data=None)
    reporter = Reporter()
    reporter.set_epoch(1)
    with reporter.observe("train") as sub_reporter:
        Trainer.train_one_epoch(
            model=model,
            iterator=batches,
            optimizers=[optimizer],
            schedulers=[scheduler_for(optimizer)],
            scaler=None,
            reporter=sub_reporter,
            summary_writer=None,
            options=SimpleNamespace(**{**defaults, **options}),
            distributed_option=distributed,
        )
    gradients = {name: before[name] - parameter.detach().double() for name, parameter in parameters.items()}
    lr = optimizer.param_groups[0]["lr"]
    return {"gradients": gradients, "loss": reporter.get_value("train", "loss"), "lr": lr}


ALONE = SimpleNamespace(distributed=False, dist_rank=None)
