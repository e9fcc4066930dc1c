"""What the checks look at: the options of a training, its model with weights, and twenty of its utterances.

B utterances of a batch, U tokens.
"""

import logging
import math
import warnings
from argparse import Namespace
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Collection, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from espnet2.train.distributed_utils import DistributedOption
from torch import Tensor, nn

from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.modules import freeze
from espnet_llmasr.asr.weights import initialize, load_state, read_state
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import load_encoder
from espnet_llmasr.espnet_versions import quiet_imports
from espnet_llmasr.files import PathLike, read_scp, read_yaml
from espnet_llmasr.tasks.checks import check_options
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.checkpoints import LAST_OPTION
from espnet_llmasr.train.preprocessor import Utterance
from espnet_llmasr.train.trainer import device_of, placed

with quiet_imports():
    from espnet2.tasks.abs_task import scheduler_classes

NUM_UTTERANCES = 20
MAX_UPDATES = 150
RATE, FLOOR = 0.02, 0.1  # share of the size of a parameter that an update changes; the least such size
ENOUGH = {LLMASRTask: 1.0, PhonemeCTCTask: 2.0}  # loss per label
Rows = List[Tuple[str, Utterance]]
Weights = Dict[str, Tensor]


@dataclass
class Context:
    """Built by `examine`; a check that trains puts the weights back.

    Attributes:
        defaults: the options that a training has without any.
        model: in fp32 and eval mode, with the weights that the training starts from, or has reached.
        dtypes: those of the trained parameters in the training.
        rows: ids and preprocessed data of the utterances.
    """

    task: type
    args: Namespace
    defaults: Namespace
    model: nn.Module
    dtypes: List[torch.dtype]
    rows: Rows

    def batch(self, rows: Optional[Rows] = None) -> Dict[str, Tensor]:
        """Some utterances (all by default) as the model gets them."""
        _, batch = self.task.build_collate_fn(self.args, train=False)(rows or self.rows)
        return placed(batch, device_of(self.args))

    def loss(self, batch: Optional[Dict[str, Tensor]] = None) -> Tuple[Tensor, float]:
        """The mean loss of a batch per label, (), and the number of labels."""
        loss, _, weight = self.model(**(batch or self.batch()))
        return loss.mean(), float(weight.sum())

    @torch.no_grad()
    def value(self, batch: Optional[Dict[str, Tensor]] = None) -> float:
        """The mean loss of a batch per label."""
        return float(self.loss(batch)[0])

    def table(self, name: str, ids: Optional[Collection[str]] = None) -> Dict[str, str]:
        """A list of the training data, such as "text": the entries of some utterances, or of all."""
        paths = {key: first_list(path) for path, key, _ in self.args.train_data_path_and_name_and_type}
        return read_scp(paths[name], ids)

    def num_frames(self) -> Dict[str, int]:
        """Feature frames of each training utterance."""
        return read_num_frames(first_list(self.args.train_shape_file[0]))

    @property
    def trained(self) -> Weights:
        """The trained parameters by name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    @contextmanager
    def changing(self, weights: Optional[Weights] = None) -> Iterator[Weights]:
        """Yields copies of the trained parameters, to which the model returns at the end; `weights` are put in."""
        changed = {**self.trained, **dict(self.model.named_buffers())}
        kept = {name: value.detach().clone() for name, value in changed.items()}
        try:
            copy(weights or {}, changed)
            yield {name: kept[name] for name in self.trained}
        finally:
            copy(kept, changed)
            self.model.zero_grad()
            self.model.eval()

    def optimizer(self) -> torch.optim.Optimizer:
        """The training's optimizer, with its learning rate at the end of the warm-up, where it is highest."""
        optimizer = self.task.build_optimizers(self.args, model=self.model)[0]
        if self.args.scheduler is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of schedulers that are stepped without their optimizer
                scheduler = scheduler_classes[self.args.scheduler](optimizer, **self.args.scheduler_conf)
                for _ in range(int(getattr(scheduler, "warmup_steps", 0))):
                    scheduler.step()
        return optimizer

    @cached_property
    def fit(self) -> "Fit":
        """The training on these utterances alone, made once."""
        return overfit(self)

    @property
    def is_fit(self) -> bool:
        """True if the loss has become `ENOUGH`."""
        return self.fit.losses[-1] <= ENOUGH[self.task]


@torch.no_grad()
def copy(values: Weights, into: Weights) -> None:
    """Copies tensors into those of the same names."""
    for name, value in values.items():
        into[name].copy_(value)


@dataclass
class Fit:
    """Losses before each update and at the end, and the trained parameters then."""

    losses: List[float]
    weights: Weights


def overfit(context: Context) -> Fit:
    """Trains on all utterances at once, without augmentation and dropout, until they are known by heart.

    The rate is not the training's, but one at which each weight moves by about `RATE` of the size of its tensor. All
    audio has one length. So an LLM that does not hear which utterance it is has at least the entropy of the transcripts
    as its loss, log(n) each if all n differ: it ends at half of that, if `ENOUGH` is more.
    """
    rows, by_heart = of_one_length(context.rows), ENOUGH[context.task]
    if context.task is LLMASRTask:
        by_heart = min(by_heart, entropy(rows) / sum(len(data["text"]) for _, data in rows) / 2)
    with context.changing():
        groups = [
            dict(params=[p], lr=RATE * max(float(p.detach().square().mean().sqrt()), FLOOR))
            for p in context.trained.values()
        ]
        optimizer, batch, losses = torch.optim.Adam(groups), context.batch(rows), []
        for _ in range(MAX_UPDATES):
            loss, _ = context.loss(batch)
            losses.append(float(loss.detach()))
            if not losses[-1] > by_heart:
                break
            loss.backward()
            nn.utils.clip_grad_norm_(context.trained.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        else:
            losses.append(context.value(batch))
        return Fit(losses, {name: p.detach().clone() for name, p in context.trained.items()})


def of_one_length(rows: Rows) -> Rows:
    """The utterances with their audio repeated up to the longest: its length then tells nothing of the transcript."""
    longest = max(len(data["speech"]) for _, data in rows)
    return [(uid, {**data, "speech": np.resize(data["speech"], longest)}) for uid, data in rows]


def entropy(rows: Rows) -> float:
    """The entropy of the transcripts times their number, in nats."""
    counts = Counter(data["text"].tobytes() for _, data in rows)
    return sum(count * math.log(len(rows) / count) for count in counts.values())


def examine(config: Path, options: Sequence[str] = ()) -> Context:
    """The context of a training.

    Args:
        config: the config.yaml that a training has written; the weights are those of latest.pth beside it, if any. Or a
            configuration of a stage.
        options: further options of the training, such as those that name its data.
    Raises:
        ValueError: options that a training refuses, or data or weights that cannot be read.
    """
    saved = read_yaml(config, kind=object)
    if not isinstance(saved, dict):
        raise ValueError(f"{config} has no keys, expected the options of a training")
    is_llm = saved.get("llm_config") or any(option.startswith("--llm_config") for option in options)
    task = LLMASRTask if is_llm else PhonemeCTCTask
    parser = task.get_parser()
    if LAST_OPTION in saved:
        saved.pop("config", None)
        parser.set_defaults(**saved)
        args, checkpoint = parser.parse_args(options), config.with_name("latest.pth")
    else:
        args, checkpoint = parser.parse_args(["--config", str(config), *options]), None
    check_options(args)
    model = build_model(task, args, checkpoint if checkpoint and checkpoint.exists() else None)
    dtypes = sorted({p.dtype for p in model.parameters() if p.requires_grad}, key=str)
    defaults, model = task.get_parser().parse_args([]), model.float().to(device_of(args)).eval()
    return Context(task, args, defaults, model, dtypes, read_rows(task, args, model.encoder))


def build_model(task, args: Namespace, checkpoint: Optional[Path]) -> nn.Module:
    """The model as a training begins with it, or with the weights of `checkpoint`; logs which weights it has."""
    torch.manual_seed(args.seed)
    model = freeze(task.build_model(args).to(getattr(torch, args.train_dtype)), args.freeze_param)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"--freeze_param {' '.join(args.freeze_param)} leaves nothing to be trained")
    if checkpoint is not None:
        logging.info("the weights are those of %s", checkpoint)
        load_state(model, read_state(checkpoint), checkpoint, checkpoint.with_name("config.yaml"))
        return model
    task.check_checkpoints(args)
    for spec in args.init_param:
        initialize(model, spec, args.ignore_init_mismatch)
    store = EncoderStore(args.encoder_dir) if args.encoder_dir else None
    if store and (step := store.oldest()):
        load_encoder(model, store, step)
    return model


def first_list(path: PathLike) -> str:
    """The list, or the first of split lists."""
    return str(Path(path, "split.0") if Path(path).is_dir() else path)


def read_rows(task, args: Namespace, encoder: Encoder) -> Rows:
    """Utterances from the shorter half of the training set, preprocessed; their lengths differ.

    Those with fewer encoder frames than CTC needs are left out: they have a check of their own.
    """
    if not args.train_shape_file:
        raise ValueError("no --train_shape_file: give dump/train/utt2num_frames (made by stage 2)")
    frames = read_num_frames(first_list(args.train_shape_file[0]))
    ids = sorted(sorted(frames), key=frames.get)[: max(NUM_UTTERANCES, len(frames) // 2)]
    ids = ids[:: max(1, len(ids) // NUM_UTTERANCES)][:NUM_UTTERANCES]
    options = task.build_iter_options(args, DistributedOption(), "train")
    lists = [(first_list(path), name, kind) for path, name, kind in options.data_path_and_name_and_type]
    options.data_path_and_name_and_type = lists
    dataset = task.build_dataset(args, options, set(ids))
    rows = [dataset[uid] for uid in ids]
    return [(uid, data) for uid, data in rows if encoder.output_lengths(frames[uid]) >= task.frames_needed(data)]
