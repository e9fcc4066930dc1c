"""The cost of trainings, and how many epochs of a stage fit into the rest of a budget.

A plan builds the model of the stage's configuration without memory and counts its real batches.
"""

import logging
import math
import shlex
from argparse import ArgumentTypeError, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Tuple

import torch

from espnet_llmasr.asr.flops import BatchShape, shape_of
from espnet_llmasr.asr.modules import freeze
from espnet_llmasr.files import read_scp
from espnet_llmasr.scoring.markdown import markdown
from espnet_llmasr.tasks.checks import share_batches
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.flops_log import batch_flops, read_flops

TASKS = {"llm_asr": LLMASRTask, "phoneme_ctc": PhonemeCTCTask}


def flops_budget(value: str) -> float:
    """An argument type: FLOPs, above 0 and finite."""
    if not 0 < float(value) < math.inf:
        raise ArgumentTypeError(f"{value} is no number of FLOPs: give one such as 3.2e14")
    return float(value)


def stage_costs(directories: List[Path]) -> List[dict]:
    """Epochs, batches and FLOPs of each training.

    Raises:
        ValueError: a folder has no whole record of FLOPs.
    """
    logs = [(str(directory), read_flops(directory)) for directory in directories]
    return [
        {"stage": stage, "epochs": len(log), **{name: sum(row[name] for row in log) for name in ("batches", "flops")}}
        for stage, log in logs
    ]


def cost_table(costs: List[dict]) -> str:
    """The costs in Markdown, with their sum."""
    total = sum(cost["flops"] for cost in costs)
    rows = [["stage", "epochs", "batches", "FLOPs", "share"]]
    for cost in costs:
        counts = [f"{cost[name]}" for name in ("stage", "epochs", "batches")]
        rows.append([*counts, f"{cost['flops']:.4e}", f"{cost['flops'] / max(total, 1):.1%}"])
    return markdown([*rows, ["total", "", "", f"{total:.4e}", ""]])


@dataclass(frozen=True)
class EpochCost:
    """FLOPs of a batch (mean and standard deviation over the training set's batches) and the batches of an epoch.

    The batches of an epoch are a shuffled selection, so what an epoch costs is known up to `epoch_deviation`.
    `batches` are those of all ranks, `schedule` is the scheduler_conf of the configuration.
    """

    mean: float
    deviation: float
    batches: int
    updates: int
    schedule: Dict[str, object]

    @property
    def flops(self) -> float:
        return self.mean * self.batches

    @property
    def epoch_deviation(self) -> float:
        """Standard deviation of an epoch's FLOPs, were its batches drawn with replacement: an upper bound."""
        return self.deviation * math.sqrt(self.batches)

    def report(self, budget: float, left: float) -> str:
        """The plan in words, for the `left` FLOPs of a budget."""
        epochs = self.epochs_for(left)
        total, spread = epochs * self.flops, self.epoch_deviation / self.flops / math.sqrt(epochs)
        return (
            f"batch:  {self.mean:.4e} FLOPs, standard deviation {self.deviation / self.mean:.1%}\n"
            f"epoch:  {self.flops:.4e} FLOPs, {self.batches} batches, {self.updates} updates\n"
            f"budget: {budget:.4e} FLOPs, of which {left:.4e} are left\n"
            f"plan:   {epochs} epochs, {epochs * self.updates} updates, {total:.4e} FLOPs (standard deviation at most "
            f"{spread:.2%}), {total / left:.2%} of the rest"
        )

    def epochs_for(self, budget: float) -> int:
        """Whole epochs nearest to a budget, at least 1."""
        return max(1, round(budget / self.flops))

    def options_for(self, epochs: int) -> str:
        """Options of a training of so many epochs: its schedule, if it has a length, shall end with it.

        Raises:
            ValueError: the schedule's warm-up would not end.
        """
        length, warmup = epochs * self.updates, int(self.schedule.get("warmup_steps", 0))
        if "total_steps" not in self.schedule:
            return f"--max_epoch {epochs}"
        if length <= warmup:
            raise ValueError(
                f"the budget is for {length} updates, the warm-up takes {warmup}: raise the budget, or lower "
                "warmup_steps in scheduler_conf"
            )
        return f"--max_epoch {epochs} --scheduler_conf total_steps={length}"


def plan(args: Namespace) -> Tuple[EpochCost, float]:
    """The cost of an epoch of the stage, and how many FLOPs are left, for the options of bin/flops.py.

    Raises:
        ValueError: the budget is spent, or see `epoch_cost`.
    """
    spent = stage_costs(args.spent)
    left = args.budget - sum(cost["flops"] for cost in spent)
    if left <= 0:
        names = ", ".join(cost["stage"] for cost in spent)
        raise ValueError(f"the budget of {args.budget:.4e} FLOPs is spent, {-left:.2e} too much ({names}): raise it")
    return epoch_cost(args.task, stage_options(args), args.data_dir, args.num_ranks), left


def stage_options(args: Namespace) -> List[str]:
    """The options of the training whose configurations are args.plan, for the options of bin/flops.py."""
    *shared, config = map(str, args.plan)
    options = [*(["--base_config", *shared] if shared else []), "--config", config]
    options += ["--frontend_conf", f"fs={args.fs}", *shlex.split(args.options)]
    if args.task == "llm_asr":
        return options + [f"--llm_{name}={args.llm_dir}/{name}.json" for name in ("config", "tokenizer")]
    return options + ([] if args.token_list is None else ["--token_list", str(args.token_list)])


def epoch_cost(task_name: str, options: List[str], data_dir: Path, num_ranks: int) -> EpochCost:
    """The cost of an epoch of a training with these options, summed over `num_ranks` ranks.

    Raises:
        ValueError: the data are missing or an utterance has no text, or FLOPs of a part of the model are not known.
    """
    task = TASKS[task_name]
    args = task.get_parser().parse_args(options)
    share_batches(args, num_ranks)
    args.normalize = None  # needs a file and is no matrix product
    frames = read_num_frames(data_dir / "utt2num_frames")
    model, lengths = unallocated(task, args), label_lengths(task, args, data_dir)
    batches = batches_of(task, args, frames, lengths, num_ranks)
    costs = batch_flops(model, [padded_shape(model, batch, frames, lengths) for batch in batches]).astype(float)
    count = args.num_iters_per_epoch or len(batches) // num_ranks
    updates = math.ceil(count / args.accum_grad)
    return EpochCost(costs.mean(), costs.std(), count * num_ranks, updates, args.scheduler_conf)


def unallocated(task, args) -> torch.nn.Module:
    """The model with its parameters frozen as ESPnet does it, on the meta device: sizes without memory."""
    with torch.device("meta"):
        return freeze(task.build_model(args).to("meta"), args.freeze_param)


def label_lengths(task, args: Namespace, data_dir: Path) -> Dict[str, Dict[str, int]]:
    """{name of a length that `shape_of` asks for: {utterance: length}}. Raises ValueError if one has no text."""
    if task is not LLMASRTask:
        return {}
    texts = read_scp(data_dir / "text")
    for uid in read_num_frames(data_dir / "utt2num_frames"):
        if uid not in texts:
            raise ValueError(f"{uid} is in utt2num_frames but not in text: run the data stage (2)")
    return task.label_lengths(args, texts)


def batches_of(task, args: Namespace, frames: Dict[str, int], lengths: Mapping, num_ranks: int) -> List[List[str]]:
    """The batches of all ranks in the first pass; `frames` become those of augmentation at its longest."""
    augmentation = task.build_augmentation(args)
    if augmentation.is_on:
        logging.warning("augment_conf is on: utterances count at the longest it can make them, an upper bound")
        frames.update(augmentation.longest(frames))
    return task.build_batches(args, frames, lengths, world_size=num_ranks).of_all_ranks(args.seed + 1)


def padded_shape(model, batch: List[str], frames: Dict[str, int], lengths: Dict[str, Dict[str, int]]) -> BatchShape:
    """The padded sizes of a batch of utterances."""
    numbers = {name: torch.tensor([table[uid] for uid in batch]) for name, table in lengths.items()}
    return shape_of(model, torch.tensor([frames[uid] for uid in batch]), **numbers)
