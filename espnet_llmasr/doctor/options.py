"""Finds options of a training that are given but have no effect."""

from argparse import Namespace
from typing import Iterator

from torch import nn

NOT_READ = (  # of ESPnet's options; batches have a budget of frames, and the training step is our own
    *("batch_type", "batch_size", "batch_bins", "valid_batch_type", "valid_batch_size", "valid_batch_bins"),
    *("fold_length", "sort_in_batch", "sort_batch", "shuffle_within_batch", "drop_last_iter", "grad_noise"),
    *("no_forward_run", "create_graph_in_tensorboard", "log_interval"),
)
NEEDS = {  # option -> what must be given, too
    "swap": "encoder_dir",
    "scheduler_conf": "scheduler",
    "specaug_conf": "specaug",
    "normalize_conf": "normalize",
    "early_stopping_criterion": "patience",
    "drift_targets": "drift_data",
}


def without_effect(args: Namespace, defaults: Namespace, model: nn.Module) -> Iterator[str]:
    """The options without effect, each with the reason.

    Args:
        defaults: the options that a training has without any; an option with such a value is not given.
        model: the model of the training, with its frozen parts.
    """
    given = {name for name, value in vars(defaults).items() if as_list(getattr(args, name, value)) != as_list(value)}
    for name in NOT_READ:
        if name in given:
            yield f"{name} is not read by this training"
    for name, needed in NEEDS.items():
        if name in given and getattr(args, needed, None) is None:
            yield f"{name} has no effect without {needed}"
    names = [name for name, _ in model.named_parameters()]
    for part in args.freeze_param:
        if not any(f"{name}.".startswith(f"{part}.") for name in names):
            yield f"freeze_param {part} is no part of the model"
    if args.model_conf.get("cr_scale") == 0 and args.model_conf.get("cr_warmup_batches") not in (
        None,
        defaults.model_conf.get("cr_warmup_batches"),
    ):
        yield "cr_warmup_batches of model_conf has no effect with cr_scale 0"


def as_list(value):
    """Tuples as lists, as a config.yaml has them."""
    return list(value) if isinstance(value, tuple) else value
