"""Records the cost of each epoch of a training in `flops.jsonl`, one line {"epoch", "flops", "batches"} for each epoch.

FLOPs of all training batches of all ranks (asr/flops.py says what counts); validation is not counted.
"""

import json
import logging
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

import numpy as np
import torch
from torch import nn

from espnet_llmasr.asr.flops import BatchShape, flops, shape_of, unknown_part
from espnet_llmasr.files import PathLike, write_atomically

FILE = "flops.jsonl"


class EpochFlops:
    """Collects the padded sizes of an epoch's batches and computes their FLOPs once, at the end of the epoch.

    Where the formula does not fit the model, a warning is logged and nothing is counted; the training runs as usual.
    """

    def __init__(self, model: nn.Module):
        self.model, self.shapes, unknown = model, [], unknown_part(model)
        self.counts = unknown is None
        if unknown:
            logging.warning("no FLOPs are counted: they are not known for %s", unknown)

    def watch(self, iterator: Iterable[Tuple[List[str], Dict]]) -> Iterator[Tuple[List[str], Dict]]:
        """The same batches (ids, tensors in main memory), with a note of each batch's shape."""
        for uids, batch in iterator:
            if self.counts:
                frames = self.model.frontend.frame_lengths(batch["speech_lengths"])
                self.shapes.append(shape_of(self.model, frames, **batch))
            yield uids, batch

    def write(self, output_dir: Path, epoch: int, distributed_option) -> None:
        """Adds the epoch's line to flops.jsonl; all ranks must call it, rank 0 writes."""
        if not self.counts:
            return
        own = (sum_flops(self.model, self.shapes), len(self.shapes))
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


def sum_flops(model: nn.Module, shapes: List[BatchShape]) -> int:
    """FLOPs of all batches together; Python's numbers, since an epoch at full size is beyond int64."""
    return sum(batch_flops(model, shapes).tolist())


def record(output_dir: Path, line: Dict[str, int]) -> None:
    """Adds the line of an epoch; lines of this epoch and of later epochs come from before a restart and are removed."""
    path = output_dir / FILE
    lines = _parse(path) if path.exists() else []
    lines = [old for old in lines if old["epoch"] < line["epoch"]] + [line]
    write_atomically(path, "".join(json.dumps(one) + "\n" for one in lines))


def read_flops(output_dir: PathLike) -> List[Dict[str, int]]:
    """The lines of all complete epochs of a training, in order.

    Raises:
        ValueError: there is no such record, or epochs are missing in it.
    """
    path = Path(output_dir) / FILE
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give the folder of a training that has completed an epoch")
    lines = _parse(path)
    epochs = [line["epoch"] for line in lines]
    if epochs != list(range(1, len(epochs) + 1)):
        raise ValueError(f"{path} has the epochs {epochs}, expected 1, 2, 3 ...: others were trained without a count")
    return lines


def _parse(path: Path) -> List[Dict[str, int]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{name: int(line[name]) for name in ("epoch", "flops", "batches")} for line in lines]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} has a line without epoch, flops and batches: remove the file") from error
