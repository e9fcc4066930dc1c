"""Checks before a training starts: its options, and that a resumed training keeps its options and inputs."""

import re
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List

import torch
import yaml
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

from espnet_llmasr.asr.modules import check_keys
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import swap_log
from espnet_llmasr.train.checkpoints import CURRENT, FINISHED

OPTIONS_THAT_MAY_CHANGE = re.compile(  # those without an effect on the weights, and those that ESPnet adds itself
    "config|resume|max_epoch|patience|ngpu|num_workers|dist_|distributed|multiprocessing|log_|use_(tensorboard|wandb)"
    "|use_matplotlib|wandb|num_att_plot|keep_nbest|token_list|version|required|print_config|dry_run|output_dir"
)


STOPS = {  # part of torch's message -> what to do about it
    r"Error\(s\) in loading state_dict": "a checkpoint of other sizes than the model: restore its configuration",
    r"DataLoader worker .* (killed|exited)": "a process that loads data was killed, perhaps for want of memory: "
    "start again with a lower --num_workers; the training goes on from its last complete epoch",
    r"is not a directory": "--multiple_iterator needs the lists that bin.split_data makes",
    r"\bgloo/|NCCL|ProcessGroup|Connection closed by peer": "another rank of this training has ended: read "
    "its message, then start again; the training goes on from its last complete epoch",
    r"out of memory|can't allocate memory|not enough memory": "no memory is left: lower max_frames",
}


def build(component: Callable, option: str, conf: dict, **parts):
    """component(**parts, **conf). Raises ValueError for a key of --`option` that it does not have."""
    check_keys(component, option, conf, parts)
    return component(**parts, **conf)


def check_options(args) -> None:
    """Raises ValueError for wrong options that ESPnet would find late, or not at all."""
    if args.accum_grad < 1:
        raise ValueError(f"--accum_grad is {args.accum_grad}, expected at least 1")
    if args.ngpu > 0 and not torch.cuda.is_available():
        raise ValueError(f"--ngpu is {args.ngpu}, but no GPU can be used here: give --ngpu 0")
    total, warmup = (args.scheduler_conf.get(name) for name in ("total_steps", "warmup_steps"))
    if isinstance(total, int) and isinstance(warmup, int) and total <= warmup:
        raise ValueError(f"--scheduler_conf has total_steps={total}, expected more than warmup_steps={warmup}")
    for name, default in (("use_adapter", False), ("save_strategy", "all")):  # ESPnet's options of LoRA
        if getattr(args, name) != default:
            raise ValueError(
                f"--{name} is {getattr(args, name)}, expected {default}: LoRA would train all parameters and leave "
                "weights that cannot be loaded; choose what is trained by --freeze_param"
            )
    for name, classes, given in (("optim", optim_classes, "params"), ("scheduler", scheduler_classes, "optimizer")):
        if getattr(args, name) is not None:
            check_keys(classes[getattr(args, name)], f"{name}_conf", getattr(args, f"{name}_conf"), [given])


@contextmanager
def explaining_stops() -> Iterator[None]:
    """Turns torch's RuntimeErrors that a user can mend, by their messages in `STOPS`, into ValueErrors."""
    try:
        yield
    except RuntimeError as error:
        for message, explanation in STOPS.items():
            if re.search(message, str(error)):
                raise ValueError(f"{explanation} ({error})") from error
        raise


def check_same_training(config_of: Callable, args) -> None:
    """A resumed training must have the options and inputs of its first start.

    Without this check ESPnet would overwrite config.yaml but keep the weights of the earlier options.

    Raises:
        ValueError: an option differs, or an input of a finished training is missing or newer than the training.
    """
    output_dir = Path(args.output_dir)
    if not (args.resume and (output_dir / CURRENT).exists() and (output_dir / "config.yaml").exists()):
        return
    # A dump and a load give the options the types that they have in config.yaml, such as lists for tuples.
    saved, given = vars(config_of(output_dir / "config.yaml")), yaml.safe_load(yaml_no_alias_safe_dump(vars(args)))
    common = [name for name in saved if name in given and not OPTIONS_THAT_MAY_CHANGE.match(name)]
    changed = [name for name in common if saved[name] != given[name]]
    advice = f"remove {output_dir} or choose another --output_dir (--expdir of a recipe)"
    if changed:
        name = changed[0]
        raise ValueError(f"{output_dir} was trained with {name}={saved[name]}, asked is {given[name]}: {advice}")
    end = output_dir / FINISHED
    for path in inputs_of(args) if end.exists() else ():
        if not path.exists():
            raise ValueError(f"{output_dir} was trained with {path}, which is no longer there: {advice}")
        if path.stat().st_mtime > end.stat().st_mtime:
            raise ValueError(f"{output_dir} was trained before {path} was made: {advice}")


def inputs_of(args) -> List[Path]:
    """The input files of a training: data, statistics, weights, and the encoders that it has swapped in."""
    stats = args.normalize_conf.get("stats_file")
    files = [*args.train_shape_file, *args.valid_shape_file, *([stats] if stats else [])]
    files += [spec.split(":")[0] for spec in args.init_param]
    if args.encoder_dir is not None:
        store, swaps = EncoderStore(args.encoder_dir), swap_log(Path(args.output_dir) / "swaps.jsonl").read()
        files += [store.path(swap.encoder_step) for swap in swaps]
        files += [store.directory / "final"] if any(swap.final for swap in swaps) else []
    return [Path(path) for path in files]
