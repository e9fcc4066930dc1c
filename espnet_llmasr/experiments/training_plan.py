"""What a training takes, known before it starts: memory of each GPU, updates, passes over the data, disk, and hours.

The batches are those of the actual data, or of utterances of given durations while there are no data. The model has its
full size, but no contents (train/memory.py).
"""

import itertools
import math
import time
from argparse import Namespace
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
import torch

from espnet_llmasr.asr.blocks import PARTS, checkpoint_gradients, needs_gradients
from espnet_llmasr.asr.flops import BatchShape
from espnet_llmasr.asr.modules import freeze
from espnet_llmasr.experiments.cost import (
    TASKS,
    batches_of,
    label_lengths,
    padded_shape,
    stage_options,
    unallocated,
)
from espnet_llmasr.files import read_scp
from espnet_llmasr.scoring.markdown import bullets, markdown
from espnet_llmasr.tasks.checks import share_batches
from espnet_llmasr.text.inventories import read_tokens
from espnet_llmasr.text.prompt import SPEECH_ID
from espnet_llmasr.train.batches import BATCHES_OF_BUCKET, read_num_frames
from espnet_llmasr.train.engine import read_config
from espnet_llmasr.train.flops_log import batch_flops
from espnet_llmasr.train.memory import StepMemory, forward_backward, step_memory
from espnet_llmasr.train.preprocessor import collate
from espnet_llmasr.train.trainer import placed

GB = 1e9
PROMPT_TOKENS, LABELS_PER_S = 20, 5  # of an utterance of a given duration: a chat template, Mandarin characters
ZERO2 = "conf/ds_zero2.json"  # of a recipe; shows what ZeRO-2 would save, where a training does not ask for it
BUCKET = 500_000_000  # gradients in DeepSpeed's bucket if its configuration does not say
MEASURED_S = 60.0


@dataclass
class Stage:
    """A training that is planned.

    Attributes:
        frames: feature frames of each utterance. lengths: {"text_lengths": {utterance: tokens}, ...}.
        hours: of all utterances, None if they are not known.
    """

    task: type
    args: Namespace
    model: torch.nn.Module
    frames: Dict[str, int]
    lengths: Dict[str, Dict[str, int]]
    hours: Optional[float]


def read_stage(args: Namespace) -> Stage:
    """The training of the options of bin/plan_training.py.

    Raises:
        ValueError: the configuration or the data are wrong.
    """
    task = TASKS[args.task]
    options = task.get_parser().parse_args(stage_options(args))
    options.normalize = None  # needs a file, and has no weights
    if args.task == "phoneme_ctc" and options.token_list is None:
        options.token_list = read_tokens("zh_en")
    model = unallocated(task, options)
    if args.data_dir is None:
        frames, lengths = given_utterances(model, options, args)
        return Stage(task, options, model, frames, lengths, args.hours)
    frames, lengths = read_num_frames(args.data_dir / "utt2num_frames"), label_lengths(task, options, args.data_dir)
    if not lengths:
        phones = read_scp(args.data_dir / "phones")
        lengths = {"phones_lengths": {uid: len(row.split()) for uid, row in phones.items()}}
    return Stage(task, options, model, frames, lengths, hours_of(model, frames))


def given_utterances(model, options: Namespace, args: Namespace) -> Tuple[Dict[str, int], Dict[str, Dict[str, int]]]:
    """Frames and lengths of utterances of the given durations: on every rank a bucket of each duration.

    Durations above max_frames are left out. Raises ValueError if none is left.
    """
    frames, labels = {}, {}
    for duration in args.durations:
        count = int(model.frontend.frame_lengths(int(duration * model.frontend.fs)))
        if count > options.max_frames:
            continue
        for number in range(max(1, options.max_frames // max(count, 1)) * BATCHES_OF_BUCKET * max(args.num_ranks)):
            uid = f"{duration}s_{number}"
            frames[uid], labels[uid] = count, math.ceil(duration * LABELS_PER_S)
    if not frames:
        durations = ", ".join(map(str, args.durations))
        raise ValueError(
            f"--durations {durations} s have more than max_frames={options.max_frames} frames: give shorter ones"
        )
    if args.task == "phoneme_ctc":
        return frames, {"phones_lengths": labels}
    return frames, {"text_lengths": labels, "prompt_lengths": dict.fromkeys(frames, PROMPT_TOKENS)}


def hours_of(model, frames: Dict[str, int]) -> float:
    """Hours of speech."""
    return sum(frames.values()) * model.frontend.windows.shift / model.frontend.fs / 3600


@dataclass(frozen=True)
class Work:
    """The batches of a training on so many ranks, and what they cost.

    Attributes:
        batches: of one pass over the data, of all ranks, by their utterances. shapes: their padded sizes.
        frames: feature frames of each utterance, with augmentation at its longest.
        per_epoch: batches of an epoch, of each rank. updates: of an epoch.
    """

    batches: List[List[str]]
    shapes: List[BatchShape]
    frames: Dict[str, int]
    per_epoch: int
    updates: int

    def largest(self) -> Iterator[List[str]]:
        """The batches that may need most memory: of frames, LLM places or labels, and of scores of attention."""
        shapes = BatchShape(*np.array(self.shapes, dtype=np.int64).T)
        speech = shapes.rows * shapes.frames
        sizes = (speech, speech * shapes.frames, shapes.places, shapes.scores, shapes.labels)
        return (self.batches[number] for number in sorted({int(size.argmax()) for size in sizes if size.any()}))


def work_of(stage: Stage, num_ranks: int) -> Work:
    """The work of a stage on so many ranks."""
    frames, args = dict(stage.frames), deepcopy(stage.args)
    share_batches(args, num_ranks)
    batches = batches_of(stage.task, args, frames, stage.lengths, num_ranks)
    shapes = [padded_shape(stage.model, batch, frames, stage.lengths) for batch in batches]
    per_epoch = args.num_iters_per_epoch or len(batches) // num_ranks
    return Work(batches, shapes, frames, per_epoch, math.ceil(per_epoch / args.accum_grad))


def example(stage: Stage, work: Work, uids: List[str], device: str = "cpu") -> Dict[str, object]:
    """A batch of these utterances as a training sees it, of silence and arbitrary labels."""
    windows, rows = stage.model.frontend.windows, []
    for uid in uids:
        row = {"speech": np.zeros(windows.size + (work.frames[uid] - 1) * windows.shift, dtype=np.float32)}
        for name, lengths in stage.lengths.items():
            row[name.removesuffix("_lengths")] = np.arange(lengths[uid], dtype=np.int64) % 2 + 1  # CTC: none repeated
        if "prompt" in row:
            row["prompt"][0] = SPEECH_ID
        rows.append((uid, row))
    return placed(collate(rows)[1], device)


def build_training(stage: Stage) -> Tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The model and its optimizer as a training of this stage has them, with random weights."""
    model = freeze(stage.task.build_model(stage.args), stage.args.freeze_param).train()
    checkpoint_gradients(model, stage.args.gradient_checkpointing)
    (optimizer,) = stage.task.build_optimizers(stage.args, model)
    return model, optimizer


def memory_of(stage: Stage, work: Work, foreach: bool = True, **changes) -> StepMemory:
    """The memory of the update that needs most (foreach: see `step_memory`), with some options changed."""
    stage = replace(stage, args=Namespace(**{**vars(stage.args), **changes}))
    build, how = partial(build_training, stage), (stage.args.use_amp, stage.args.accum_grad, foreach)
    steps = [step_memory(build, example(stage, work, uids), *how) for uids in work.largest()]
    return max(steps, key=lambda step: step.with_gradients)


class PerGPU(NamedTuple):
    """Bytes on each GPU; `peak` is the most at once, `rest` are activations or what the optimizer needs besides."""

    weights: float
    gradients: float
    optimizer: float
    rest: float
    peak: float


def zero2_bucket(args: Namespace) -> Optional[float]:
    """Bytes of the buckets in which DeepSpeed exchanges gradients, by the training's configuration or else by `ZERO2`.

    None if there is neither. Raises ValueError for a configuration that a training refuses.
    """
    if args.deepspeed_config is None and not Path(ZERO2).exists():
        return None
    zero = read_config(args.deepspeed_config or ZERO2)["zero_optimization"]
    buckets = 2 if zero.get("overlap_comm") else 1  # one is exchanged while the other one fills
    return 4.0 * buckets * int(zero.get("reduce_bucket_size", BUCKET))


def per_gpu(memory: StepMemory, ranks: int, bucket: Optional[float] = None) -> PerGPU:
    """Memory of each GPU under DDP, or under ZeRO-2 with a bucket of so many bytes.

    DDP keeps all gradients in its buckets (gradient_as_bucket_view). ZeRO-2 divides gradients, optimizer and a copy of
    the weights that it updates among the ranks, has a bucket, and copies its gradients into one tensor for the update.
    """
    weights, gradients, optimizer = memory.weights, memory.trained, memory.optimizer
    rest = max(memory.activations, memory.update)
    if bucket is not None and ranks > 1:
        gradients, optimizer = gradients / ranks + bucket, (optimizer + gradients) / ranks
        rest = max(memory.activations, (memory.trained + memory.update) / ranks)
    elif ranks == 1:  # gradients come while activations go
        rest = max(memory.with_gradients - gradients, memory.update)
    return PerGPU(weights, gradients, optimizer, rest, weights + gradients + optimizer + rest)


def report(args: Namespace) -> str:
    """The plan in Markdown, for the options of bin/plan_training.py."""
    stage = read_stage(args)
    works = {ranks: work_of(stage, ranks) for ranks in args.num_ranks}
    memory, bucket = memory_of(stage, works[args.num_ranks[0]]), zero2_bucket(stage.args)
    limit, rows = args.gpu_memory_gb * GB, [["GPUs", *PerGPU._fields, f"of {args.gpu_memory_gb} GB"]]
    for ranks in args.num_ranks:  # one process runs without DeepSpeed
        for engine in (None,) if ranks == 1 or bucket is None else (None, bucket):
            parts = per_gpu(memory, ranks, engine)
            name = "1" if ranks == 1 else f"{ranks}, DDP" if engine is None else f"{ranks}, ZeRO-2"
            rows.append(
                [name, *(f"{part / GB:.1f}" for part in parts), "fits" if parts.peak <= limit else "does not fit"]
            )
    rate = None if args.measure is None else measured_flops_per_s(stage, works[args.num_ranks[0]], args.measure)
    notes = [note for ranks in args.num_ranks for note in notes_of(stage, works[ranks], ranks, rate)]
    for ranks in args.num_ranks:
        if per_gpu(memory, ranks, bucket if stage.args.deepspeed_config else None).peak > limit:
            notes += proposals(stage, works[ranks], memory, ranks, limit, bucket)
    return f"{head_of(stage, works[args.num_ranks[0]])}\n\n{markdown(rows)}\n{bullets([*notes, disk_of(memory)])}"


def head_of(stage: Stage, work: Work) -> str:
    """The parameters of a stage, and its largest batch."""
    sizes = [parameter.numel() for parameter in stage.model.parameters()]
    trained = [parameter.numel() for parameter in stage.model.parameters() if parameter.requires_grad]
    largest = max(work.shapes, key=lambda shape: shape.rows * shape.frames)
    of_llm = f" ({largest.places} tokens of the LLM)" if largest.places else ""
    return (
        f"{Path(stage.args.config).stem}: {sum(sizes) / 1e6:,.1f} M parameters, {sum(trained) / 1e6:,.1f} M trained; "
        f"memory in GB (10^9 bytes) with the largest batches of at most {stage.args.max_frames} frames, such as "
        f"{largest.rows} utterances of up to {largest.frames} frames{of_llm}"
    )


def notes_of(stage: Stage, work: Work, ranks: int, flops_per_s: Optional[float]) -> Iterator[str]:
    """Updates, passes over the data and hours of a training."""
    epochs, batches = stage.args.max_epoch, stage.args.max_epoch * work.per_epoch * ranks
    gpus, hours = gpus_of(ranks), batches / len(work.batches) * hours_of(stage.model, stage.frames)
    passes = f"{hours:,.0f} h of speech in all"
    if stage.hours is not None:
        passes = f"{hours / stage.hours:,.1f} passes over {stage.hours:,.1f} h of speech"
    yield f"{gpus}: {work.updates:,} updates an epoch, {epochs * work.updates:,} in {epochs} epochs, {passes}"
    if flops_per_s is not None:
        cost = batch_flops(stage.model, work.shapes).astype(float).mean() * batches / ranks / flops_per_s / 3600
        yield f"{gpus}: {cost:,.1f} h, at {flops_per_s / 1e12:,.2f} TFLOP/s as measured on one"


def gpus_of(ranks: int) -> str:
    """The number in words."""
    return "1 GPU" if ranks == 1 else f"{ranks} GPUs"


def disk_of(memory: StepMemory) -> str:
    """The disk that checkpoints take, by file (docs/training_at_scale.md)."""
    trained, frozen = memory.trained / GB, (memory.weights - memory.trained) / GB
    return (
        f"disk: a save writes {trained + memory.optimizer / GB:.1f} GB, the weights of an epoch ({trained:.1f}) and "
        f"checkpoint.pth ({memory.optimizer / GB:.1f}); frozen weights take {frozen:.1f} GB once, latest.pth at the end "
        f"up to {memory.weights / GB:.1f}"
    )


def proposals(
    stage: Stage, work: Work, memory: StepMemory, ranks: int, limit: float, bucket: Optional[float]
) -> Iterator[str]:
    """What to change so that a training that does not fit does, with the memory that it then needs."""
    engine = bucket if stage.args.deepspeed_config else None
    parts = [part for part in PARTS if hasattr(stage.model, part) and needs_gradients(stage.model, part)]
    checkpointing, zero2 = f"gradient_checkpointing: [{', '.join(parts)}]", f"deepspeed_config: {ZERO2}"
    less = memory_of(stage, work, gradient_checkpointing=parts)
    found = [(checkpointing, per_gpu(less, ranks, engine).peak), *smaller_budget(stage, memory, ranks, limit, engine)]
    if ranks > 1 and engine is None and bucket is not None:
        found.append((zero2, per_gpu(memory, ranks, bucket).peak))
        found.append((f"{checkpointing}` with `{zero2}", per_gpu(less, ranks, bucket).peak))
    good = [f"`{change}` ({peak / GB:.1f} GB)" for change, peak in found if peak <= limit]
    advice = f"give {', or '.join(good)}" if good else "take more GPUs with ZeRO-2, or larger ones"
    yield f"{gpus_of(ranks)}: does not fit into {limit / GB:g} GB: {advice}"


def smaller_budget(
    stage: Stage, memory: StepMemory, ranks: int, limit: float, bucket: Optional[float]
) -> Iterator[Tuple[str, float]]:
    """Budgets of a batch with which it fits, and the accumulation with which an update keeps its frames."""
    parts, args = per_gpu(memory, ranks, bucket), stage.args
    share = 0.95 * (limit - parts.peak + memory.activations) / memory.activations
    budgets = {name: getattr(args, name, None) for name in ("max_frames", "max_llm_tokens")}
    budgets = {name: int(share * budget) // 100 * 100 for name, budget in budgets.items() if budget is not None}
    if budgets["max_frames"] >= max(stage.frames.values()):
        budgets["accum_grad"] = math.ceil(args.accum_grad * args.max_frames / budgets["max_frames"])
        smaller = replace(stage, args=Namespace(**{**vars(args), **budgets}))
        memory = memory_of(smaller, work_of(smaller, ranks))
        yield ", ".join(f"{name}: {value}" for name, value in budgets.items()), per_gpu(memory, ranks, bucket).peak


def measured_flops_per_s(stage: Stage, work: Work, device: str) -> float:
    """FLOPs a second of a training on this device: batches at random for a minute, after two of warm-up."""
    model, optimizer = build_training(stage)
    model.to(device)
    rng, done, start = np.random.default_rng(0), 0.0, 0.0
    for number in itertools.count():
        if number == 2:
            done, start = 0.0, time.monotonic()
        index = int(rng.integers(len(work.batches)))
        batch = example(stage, work, work.batches[index], device)
        forward_backward(model, batch, stage.args.use_amp, torch.device(device).type)
        if (number + 1) % stage.args.accum_grad == 0:
            optimizer.step()
            optimizer.zero_grad()
        done += float(batch_flops(stage.model, [work.shapes[index]])[0])
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        if number >= 2 and time.monotonic() - start > MEASURED_S:
            return done / (time.monotonic() - start)
