"""Checks before a training starts: its options, and that a resumed training keeps its options and inputs."""

import argparse
import ast
import logging
import re
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import torch
import yaml
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.asr.modules import check_keys
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import encoder_inputs, swap_log
from espnet_llmasr.espnet_versions import quiet_imports
from espnet_llmasr.files import read_text
from espnet_llmasr.train import checkpoints, engine
from espnet_llmasr.train.inputs import AUDIO, check_inputs, files_of, record_inputs

with quiet_imports():
    from espnet2.tasks.abs_task import optim_classes, scheduler_classes

OPTIONS_THAT_MAY_CHANGE = re.compile(  # those without an effect on the weights, and those that ESPnet adds itself
    "config|resume|max_epoch|patience|ngpu|num_workers|dist_|distributed|multiprocessing|log_|use_(tensorboard|wandb)"
    "|use_matplotlib|wandb|num_att_plot|keep_(nbest|last)|save_interval|token_list|pronunciations|version|required|print_config|dry_run"
    "|output_dir|deepspeed_config|gradient_as_bucket_view|gradient_checkpointing|compile_encoder"
)
OPTIONS_OF_BATCHES = (  # those may change from one start to the next, if an epoch keeps its number of updates
    *("max_frames", "valid_max_frames", "max_llm_tokens", "accum_grad", "num_iters_per_epoch", "num_ranks"),
)
INPUT_OPTIONS = ("llm_config", "llm_tokenizer", "encoder_dir", "swap_schedule", "drift_data", "drift_targets")
LLM_FILES = (".json", ".jinja", ".txt", ".model")  # suffixes of the files of a tokenizer and of a configuration


STOPS = {  # part of torch's message -> what to do about it
    r"Error\(s\) in loading state_dict": "a checkpoint of other sizes than the model: restore its configuration",
    r"DataLoader worker .* (killed|exited)": "a process that loads data was killed, perhaps for want of memory: "
    "start again with a lower --num_workers; the training goes on from its last complete epoch",
    r"is not a directory": "--multiple_iterator needs the lists that bin.split_data makes",
    r"\bgloo/|NCCL|ProcessGroup|Connection closed by peer": "another rank of this training has ended: read "
    "its message, then start again; the training goes on from its last complete epoch",
    r"out of memory|can't allocate memory|not enough memory": "no memory is left: lower max_frames or max_llm_tokens; "
    "the training goes on from its last complete epoch",
}


def build(component: Callable, option: str, conf: dict, **parts):
    """component(**parts, **conf). Raises ValueError for a key of --`option` that it does not have."""
    check_keys(component, option, conf, parts)
    return component(**parts, **conf)


def check_mix(args, frontend: Frontend, specaug, normalize, encoder: Encoder) -> None:
    """Raises ValueError for components that would run together, but learn nothing."""
    needed = encoder.needs_frontend
    if needed not in (None, args.frontend):
        raise ValueError(f"--encoder {args.encoder} reads --frontend {needed}, not {args.frontend}: give {needed}")
    if needed is None and not frontend.is_spectral:
        raise ValueError(
            f"--encoder {args.encoder} reads spectra, --frontend {args.frontend} makes none: give --frontend kaldi_fbank"
        )
    if frontend.has_own_scale and normalize is not None:
        raise ValueError(f"--frontend {args.frontend} has the scale that its encoder needs: give --normalize none")
    if specaug is not None and not frontend.is_spectral:
        raise ValueError(
            f"--specaug {args.specaug} masks spectra, --frontend {args.frontend} makes none: give --specaug none "
            "(time_mask_share of --encoder_conf masks the encoder's frames)"
        )


def check_time_warp(args, frontend: Frontend, factor: int) -> None:
    """Raises ValueError for a time warp of a waveform, which would become another pitch and noise."""
    if factor and not frontend.is_spectral:
        raise ValueError(
            f"time_warp_factor is {factor}, but --frontend {args.frontend} makes no spectra, which a time warp needs: "
            "give --model_conf time_warp_factor=0"
        )


def plain_values(text: str) -> str:
    """An argument type for ESPnet's NestedDictAction, which would run what stands in YAML tags or Python expressions.

    Returns "key=value" as it is, a dictionary in Python's form. Raises ArgumentTypeError for anything but plain values.
    """
    try:
        if "=" in text:
            yaml.safe_load(text.partition("=")[2])
            return text
        values = literal(text)
        if isinstance(values, dict) and literal(repr(values)) == values:  # no dates, for example
            return repr(values)
    except (yaml.YAMLError, ValueError, TypeError, SyntaxError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise argparse.ArgumentTypeError(f"'{text}' has other than plain values ({reason})") from error
    raise argparse.ArgumentTypeError(f"'{text}' is no dictionary of plain values, expected key=value")


def readable_file(path: str) -> str:
    """An argument type: UTF-8 text, no folder and no pipe, on which ESPnet would wait for ever. ESPnet names a file that
    is missing."""
    try:
        if Path(path).exists():
            read_text(path)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def obsolete(value: str) -> None:
    """The argument type of --pretrain_path, which ESPnet refuses with a traceback. Raises ArgumentTypeError."""
    raise argparse.ArgumentTypeError(f"is '{value}', but ESPnet has given it up: give --init_param <n>epoch.pth")


def literal(text: str) -> Any:
    """The value of Python's or YAML's text, without anything being run."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return yaml.safe_load(text)


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
                f"--{name} is {getattr(args, name)}, expected {default}: ESPnet's LoRA would train all parameters and "
                "leave weights that cannot be loaded; give --lora rank=8 --lora alpha=16"
            )
    engine.check_options(args)
    for name, classes, given in (("optim", optim_classes, "params"), ("scheduler", scheduler_classes, "optimizer")):
        if getattr(args, name) is not None:
            check_keys(classes[getattr(args, name)], f"{name}_conf", getattr(args, f"{name}_conf"), [given])


def share_batches(args, num_ranks: int) -> None:
    """With --shared_batches, turns the numbers that count batches of all ranks into those of one rank.

    The updates, the frames of an update and the passes over the data are then the same for any number of ranks.

    Raises ValueError if a number cannot be divided.
    """
    if not args.shared_batches:
        return
    for options, name in counts_of_batches(vars(args)):
        number = options.get(name) or 0
        if number % num_ranks:
            raise ValueError(
                f"{name} is {number} batches of all GPUs (--shared_batches), which {num_ranks} GPUs cannot share "
                "evenly: give a multiple, or another number of GPUs"
            )
        if number:
            options[name] = number // num_ranks


def counts_of_batches(options: dict) -> Iterator[Tuple[dict, str]]:
    """Where the numbers of --shared_batches stand: (dictionary, key)."""
    yield from ((options, "accum_grad"), (options, "num_iters_per_epoch"), (options["model_conf"], "cr_warmup_batches"))


def of_all_ranks(options: dict) -> dict:
    """A copy of saved options with the numbers of `share_batches` as they were given, for any number of ranks."""
    options = deepcopy(options)
    for part, name in counts_of_batches(options) if options.get("shared_batches") else ():
        if part.get(name):
            part[name] *= options["num_ranks"]
    return options


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
    """A resumed training must have the options and the inputs of its first start, which are noted at that start.

    Without this check ESPnet would overwrite config.yaml but keep the weights of the earlier options.

    Raises:
        ValueError: an option differs, an input has another content or is missing, or config.yaml is damaged.
    """
    output_dir, inputs = Path(args.output_dir), files_of(inputs_of(args))
    if not (args.resume and checkpoints.begun(output_dir)):
        return record_inputs(output_dir, inputs, forget=True)
    if (output_dir / "config.yaml").exists():
        # A dump and a load give the options the types that they have in config.yaml, such as lists for tuples.
        saved = of_all_ranks(without_paths(vars(config_of(output_dir / "config.yaml"))))
        given = of_all_ranks(without_paths(yaml.safe_load(yaml_no_alias_safe_dump(vars(args)))))
        common = [name for name in saved if name in given and not OPTIONS_THAT_MAY_CHANGE.match(name)]
        goes_on = checkpoints.finished_epochs(output_dir) != args.max_epoch
        may_change = OPTIONS_OF_BATCHES if goes_on else ("num_ranks",)
        changed = [name for name in common if saved[name] != given[name] and name not in may_change]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{output_dir} was trained with {name}={saved[name]}, asked is {given[name]}: "
                f"remove {output_dir} or choose another --output_dir (--expdir of a recipe)"
            )
        check_updates(output_dir, saved, given)
    check_inputs(output_dir, inputs, ended=(output_dir / checkpoints.FINISHED).exists())


def check_updates(output_dir: Path, saved: dict, given: dict) -> None:
    """Raises ValueError if an epoch would have another number of updates.

    Schedules, the watcher's steps and --pace count updates, and all of them take an epoch for a fixed number.
    """
    before, now = (
        options["num_iters_per_epoch"] and -(-options["num_iters_per_epoch"] // options["accum_grad"])
        for options in (saved, given)
    )
    if before != now:
        advice = f"give --num_iters_per_epoch {before * given['accum_grad'] if before else 'null'}"
        raise ValueError(
            f"{output_dir} was trained with {before or 'all'} updates in an epoch, asked are {now or 'all'} "
            f"(num_iters_per_epoch={given['num_iters_per_epoch']}, accum_grad={given['accum_grad']}): {advice}"
        )


def log_changed_batches(saved: dict, given: dict) -> None:
    """Says which options of the batches are other ones than at the last start, and what follows."""
    changed = [
        f"{name}={given[name]} instead of {saved[name]}"
        for name in OPTIONS_OF_BATCHES
        if name in saved and saved[name] != given[name]
    ]
    if changed:
        logging.warning(
            "%s: the next epoch begins with new batches; of the pass over the data that was under way, some utterances "
            "may come again and others be left out. %s",
            ", ".join(changed),
            "An epoch has as many updates as before"
            if given["num_iters_per_epoch"]
            else "An epoch is a pass over the data, so its number of updates changes with that of the batches",
        )


def without_paths(options: dict) -> dict:
    """The options, with True for the path of an input, which may be another one if its content is the same."""
    options = dict(options)
    for name in INPUT_OPTIONS:
        options[name] = options.get(name) is not None
    for name in ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type"):
        options[name] = [list(spec[1:]) for spec in options[name]]
    for name in ("train_shape_file", "valid_shape_file"):
        options[name] = [True] * len(options[name])
    options["init_param"] = [spec.split(":")[1:] for spec in options["init_param"]]
    if "stats_file" in (options.get("normalize_conf") or {}):
        options["normalize_conf"] = {**options["normalize_conf"], "stats_file": True}
    return options


def inputs_of(args) -> Dict[str, Path]:
    """The inputs of a training by name: data, statistics, LLM, weights, and the encoders that it has swapped in."""
    inputs = {}
    for split in ("train", "valid"):
        for path, name, kind in getattr(args, f"{split}_data_path_and_name_and_type"):
            inputs[f"--{split} list {name}" + (AUDIO if kind.startswith("audio_") else "")] = path
        for number, path in enumerate(getattr(args, f"{split}_shape_file"), 1):
            inputs[f"--{split}_shape_file {number}"] = path
    if args.normalize_conf.get("stats_file"):
        inputs["stats_file of --normalize_conf"] = args.normalize_conf["stats_file"]
    for number, spec in enumerate(args.init_param, 1):
        inputs[f"--init_param {number}"] = spec.split(":")[0]
    if getattr(args, "llm_tokenizer", None):
        llm = Path(args.llm_tokenizer).parent
        inputs |= {f"{path.name} of the LLM": path for path in sorted(llm.glob("*")) if path.suffix in LLM_FILES}
    if file := (getattr(args, "hints", None) or {}).get("file"):
        inputs["file of --hints"] = file
    if args.drift_data is not None:
        inputs["--drift_data" + AUDIO] = Path(args.drift_data, "wav.scp")
    if args.drift_targets is not None:
        inputs["--drift_targets"] = args.drift_targets
    if args.encoder_dir is not None:
        inputs |= encoder_inputs(EncoderStore(args.encoder_dir), swap_log(Path(args.output_dir, "swaps.jsonl")).read())
    return {name: Path(path) for name, path in inputs.items()}
