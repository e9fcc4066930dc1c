"""Records the FLOPs of each epoch of a training in `flops.jsonl`, one line {"epoch", "flops", "batches"} for each.

FLOPs of all training batches of all ranks (asr/flops.py says what counts); validation is not counted. The log has the
share of padding in the encoder's input on the first rank; the others have batches of nearly the same lengths.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

import numpy as np
import torch
from torch import nn

from espnet_llmasr.asr.flops import BatchShape, flops, shape_of, unknown_part
from espnet_llmasr.asr.modules import on_host
from espnet_llmasr.files import JsonLines, PathLike

FILE = "flops.jsonl"


@dataclass
class FlopsLine:
    """FLOPs and number of the batches of an epoch."""

    epoch: int
    flops: int
    batches: int


class EpochFlops:
    """Collects the lengths of an epoch's batches and computes their FLOPs once, at the end of the epoch.

    By then the LLM has got its attention, on which its rows depend.

    Where the formula does not fit the model, a warning is logged and nothing is counted; the training runs as usual.
    """

    def __init__(self, model: nn.Module):
        self.model, self.lengths, unknown = model, [], unknown_part(model)
        self.speech = self.padded = 0  # feature frames, without and with padding
        self.counts = unknown is None
        if unknown:
            logging.warning("no FLOPs are counted: they are not known for %s", unknown)

    def watch(self, iterator: Iterable[Tuple[List[str], Dict]]) -> Iterator[Tuple[List[str], Dict]]:
        """The same batches (ids, tensors in main memory), with a note of each batch's lengths."""
        for uids, batch in iterator:
            frames = self.model.frontend.frame_lengths(batch["speech_lengths"])
            self.speech += int(frames.sum())
            self.padded += len(frames) * int(frames.max())
            if self.counts:
                lengths = {name: on_host(value) for name, value in batch.items() if name.endswith("_lengths")}
                self.lengths.append(lengths)
            yield uids, batch

    def write(self, output_dir: Path, epoch: int, distributed_option) -> None:
        """Adds the epoch's line to flops.jsonl; all ranks must call it, rank 0 writes. Logs the share of padding."""
        share = 1 - self.speech / max(self.padded, 1)
        logging.info("epoch %d: %.2f%% of the encoder's frames were padding", epoch, 100 * share)
        if not self.counts:
            return
        frame_lengths = self.model.frontend.frame_lengths
        shapes = [shape_of(self.model, frame_lengths(batch["speech_lengths"]), **batch) for batch in self.lengths]
        own = (sum(batch_flops(self.model, shapes).tolist()), len(shapes))  # beyond int64 at full size
        ranks = [own]
        if distributed_option.distributed:
            ranks = [own] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(ranks, own)
        if not distributed_option.distributed or distributed_option.dist_rank == 0:
            total, batches = map(sum, zip(*ranks))
            record(output_dir, dict(epoch=epoch, flops=total, batches=batches))


def batch_flops(model: nn.Module, shapes: List[BatchShape]) -> np.ndarray:
    """FLOPs of each batch, int64 (N,)."""
    columns = np.array(shapes, dtype=np.int64).reshape(-1, len(BatchShape._fields)).T
    return flops(model, BatchShape(*columns))


def record(output_dir: Path, line: Dict[str, int]) -> None:
    """Adds the line of an epoch; lines of this and later epochs come from before a restart and are removed."""
    log = JsonLines(output_dir / FILE, FlopsLine)
    log.write([*(old for old in log.read() if old.epoch < line["epoch"]), FlopsLine(**line)])


def read_flops(output_dir: PathLike) -> List[Dict[str, int]]:
    """The lines of all complete epochs of a training, in order.

    Raises ValueError if there is no such record, or epochs are missing in it.
    """
    path = Path(output_dir) / FILE
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give the folder of a training that has completed an epoch")
    lines = JsonLines(path, FlopsLine).read()
    epochs = [line.epoch for line in lines]
    if epochs != list(range(1, len(epochs) + 1)):
        raise ValueError(f"{path} has the epochs {epochs}, expected 1, 2, 3 ...: others were trained without a count")
    return list(map(vars, lines))
