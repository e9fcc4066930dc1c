#!/usr/bin/env python3
"""Depthwise convolutions in training: our gradient of the weight against torch's, on the CPU.

    python benchmarks/depthwise.py    (about 3 min of one core, 6 GiB; prints the tables that stand in depthwise.md)

Torch's and ours run in turn; times are medians, the ratio's range is that of the pairs (lowest to highest).
"""

import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, Sequence, Union

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from flops import SIZES, STAGES, build, random_batch  # noqa: E402

from espnet_llmasr.asr.depthwise_conv import DepthwiseConv1d  # noqa: E402

PAIRS = 9
NEW_LENGTHS = range(100, 200, 10)  # frames, of another batch for each pair
LAYERS = [  # utterances, channels, frames, kernel
    (3, 512, 118, 15),
    (16, 512, 250, 15),
    (16, 512, NEW_LENGTHS, 15),
    (3, 2560, 118, 33),
    (4, 2560, NEW_LENGTHS, 33),
    (20, 2560, 250, 33),
    (4, 2560, 750, 33),
]


@contextmanager
def torchs() -> Iterator[None]:
    """Inside, the layers compute their gradients as torch does."""
    ours = DepthwiseConv1d.forward
    DepthwiseConv1d.forward = nn.Conv1d.forward
    try:
        yield
    finally:
        DepthwiseConv1d.forward = ours


def seconds(step: Callable[[int], None], pair: int) -> float:
    """Of one call."""
    start = time.perf_counter()
    step(pair)
    return time.perf_counter() - start


def pairs(step: Callable[[int], None]) -> str:
    """Torch's ms, ours, and torch's / ours."""
    theirs: List[float] = []
    ours: List[float] = []
    for pair in range(PAIRS + 1):
        with torchs():
            theirs.append(seconds(step, pair))
        ours.append(seconds(step, pair))
    ratios = [a / b for a, b in zip(theirs[1:], ours[1:])]  # the first pair warms up
    torch_ms, our_ms = (1000 * statistics.median(times[1:]) for times in (theirs, ours))
    return f"{torch_ms:.1f} | {our_ms:.1f} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def time_layer(rows: int, channels: int, frames: Union[int, Sequence[int]], kernel: int, dtype: torch.dtype) -> str:
    """Forward and backward pass of one layer, frames as the encoder hands them over: (B, T, C), transposed."""
    layer = DepthwiseConv1d(channels, kernel).to(dtype)
    lengths = [frames] * (PAIRS + 1) if isinstance(frames, int) else frames
    inputs = [torch.randn(rows, length, channels, dtype=dtype).transpose(1, 2).requires_grad_() for length in lengths]
    grads = [torch.randn_like(x) for x in inputs]
    return pairs(lambda n: torch.autograd.grad(layer(inputs[n]), (inputs[n], layer.weight), grads[n]))


def layers() -> None:
    """One layer alone."""
    print("| utterances x channels x frames, kernel | torch, ms | ours, ms | torch / ours |\n|---|---:|---:|---:|")
    for rows, channels, frames, kernel in LAYERS:
        shown = frames if isinstance(frames, int) else f"{min(frames)}-{max(frames)} (new in each batch)"
        result = time_layer(rows, channels, frames, kernel, torch.float32)
        print(f"| {rows} x {channels} x {shown}, {kernel} | {result} |", flush=True)
    for dtype in (torch.bfloat16, torch.float64):
        print(f"| 16 x 512 x 250, 15, {dtype} | {time_layer(16, 512, 250, 15, dtype)} |", flush=True)


def steps() -> None:
    """Forward and backward pass of whole training batches."""
    print("\n| size | stage | torch, ms | ours, ms | torch / ours |\n|---|---|---:|---:|---:|")
    for size_name, size in SIZES.items():
        for stage in ("pretraining", "joint SFT"):
            model, batch = build(stage, size), random_batch(STAGES[stage][0])
            result = pairs(lambda _: model(**batch)[0].sum().backward())
            print(f"| {size_name} | {stage} | {result} |", flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers()
    steps()
