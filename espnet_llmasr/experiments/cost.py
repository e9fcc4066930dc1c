"""What an epoch of a stage will cost: the model of its configuration, built without memory, and its real batches."""

import logging
import math
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

import torch

from espnet_llmasr.asr.batch_shape import BatchShape
from espnet_llmasr.files import read_scp
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.batches import frame_batches, read_num_frames
from espnet_llmasr.train.flops_log import batch_flops

TASKS = {"llm_asr": LLMASRTask, "phoneme_ctc": PhonemeCTCTask}


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


def epoch_cost(task_name: str, options: List[str], data_dir: Path, num_ranks: int) -> EpochCost:
    """The cost of an epoch of a training with these options, summed over `num_ranks` ranks.

    Raises:
        ValueError: the data are missing or an utterance has no text, or FLOPs of a part of the model are not known.
    """
    task = TASKS[task_name]
    args = task.get_parser().parse_args(options)
    args.normalize = None  # needs a file and is no matrix product
    frames = read_num_frames(data_dir / "utt2num_frames")
    model, lengths = unallocated(task, args), label_lengths(task, args, data_dir)
    batches = batches_of(task, args, frames, num_ranks)
    costs = batch_flops(model, [shape_of(model, batch, frames, lengths) for batch in batches]).astype(float)
    count = args.num_iters_per_epoch or len(batches) // num_ranks
    updates = math.ceil(count / args.accum_grad)
    return EpochCost(costs.mean(), costs.std(), count * num_ranks, updates, args.scheduler_conf)


def unallocated(task, args) -> torch.nn.Module:
    """The model with its parameters frozen as ESPnet does it, on the meta device: sizes without memory."""
    with torch.device("meta"):
        model = task.build_model(args)
    for name, parameter in model.named_parameters():
        if any(name == part or name.startswith(f"{part}.") for part in args.freeze_param):
            parameter.requires_grad_(False)
    return model


def label_lengths(task, args: Namespace, data_dir: Path) -> Dict[str, Dict[str, int]]:
    """{name of a length that the model's batch_shape asks for: {utterance: length}}."""
    if task is not LLMASRTask:
        return {}
    prompt, texts = task.build_prompt(args), read_scp(data_dir / "text")
    lengths = {uid: len(prompt.target(text)) for uid, text in texts.items()}
    return {"text_lengths": lengths, "prompt_lengths": dict.fromkeys(texts, len(prompt.ids))}


def batches_of(task, args: Namespace, frames: Dict[str, int], num_ranks: int) -> List[List[str]]:
    """All batches of the training set, of all ranks; `frames` become those of augmentation at its longest."""
    augmentation = task.build_augmentation(args)
    if augmentation.is_on:
        logging.warning("augment_conf is on: utterances count at the longest it can make them, an upper bound")
        frames.update(augmentation.longest(frames))
    shared = frame_batches(frames, args.max_frames, num_ranks)
    return [batch[rank::num_ranks] for batch in shared for rank in range(num_ranks)]


def shape_of(model, batch: List[str], frames: Dict[str, int], lengths: Dict[str, Dict[str, int]]) -> BatchShape:
    """The padded sizes of a batch of utterances. Raises ValueError if one of them has no text."""
    missing = [uid for table in lengths.values() for uid in batch if uid not in table]
    if missing:
        raise ValueError(f"{missing[0]} is in utt2num_frames but not in text: run the data stage (2)")
    numbers = {name: torch.tensor([table[uid] for uid in batch]) for name, table in lengths.items()}
    return model.batch_shape(torch.tensor([frames[uid] for uid in batch]), **numbers)
