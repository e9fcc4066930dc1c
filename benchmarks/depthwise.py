#!/usr/bin/env python3
"""Depthwise convolutions in training: our gradient of the weight against torch's, on the CPU.

    python benchmarks/depthwise.py    (about 2 min of one core, 6 GiB; prints the tables that stand in depthwise.md)

Torch's and ours run in turn; times are medians, the ratio's range is that of the pairs (lowest to highest).
"""

import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from flops import SIZES, STAGES, build, random_batch  # noqa: E402

from espnet_llmasr.asr.depthwise_conv import DepthwiseConv1d  # noqa: E402

LAYERS = [(3, 512, 118, 15), (16, 512, 250, 15), (3, 2560, 118, 33), (20, 2560, 250, 33), (4, 2560, 750, 33)]
PAIRS = 9


@contextmanager
def torchs() -> Iterator[None]:
    """Inside, the layers compute their gradients as torch does."""
    ours = DepthwiseConv1d.forward
    DepthwiseConv1d.forward = nn.Conv1d.forward
    try:
        yield
    finally:
        DepthwiseConv1d.forward = ours


def seconds(step: Callable[[], None]) -> float:
    """Of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def pairs(step: Callable[[], None]) -> str:
    """Torch's ms, ours, and torch's / ours."""
    theirs: List[float] = []
    ours: List[float] = []
    for _ in range(PAIRS + 1):
        with torchs():
            theirs.append(seconds(step))
        ours.append(seconds(step))
    ratios = [a / b for a, b in zip(theirs[1:], ours[1:])]  # the first pair warms up
    torch_ms, our_ms = (1000 * statistics.median(times[1:]) for times in (theirs, ours))
    return f"{torch_ms:.1f} | {our_ms:.1f} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def layers() -> None:
    """Backward pass of one layer alone, frames as the encoder hands them over: (B, T, C), transposed."""
    print("| utterances x channels x frames, kernel | torch, ms | ours, ms | torch / ours |\n|---|---:|---:|---:|")
    for rows, channels, frames, kernel in LAYERS:
        layer = DepthwiseConv1d(channels, kernel)
        x = torch.randn(rows, frames, channels).transpose(1, 2).requires_grad_()
        grad = torch.randn(rows, frames, channels).transpose(1, 2)
        result = pairs(lambda: torch.autograd.grad(layer(x), (x, layer.weight), grad))
        print(f"| {rows} x {channels} x {frames}, {kernel} | {result} |", flush=True)


def steps() -> None:
    """Forward and backward pass of whole training batches."""
    print("\n| size | stage | torch, ms | ours, ms | torch / ours |\n|---|---|---:|---:|---:|")
    for size_name, size in SIZES.items():
        for stage in ("pretraining", "joint SFT"):
            model, batch = build(stage, size), random_batch(STAGES[stage][0])
            result = pairs(lambda: model(**batch)[0].sum().backward())
            print(f"| {size_name} | {stage} | {result} |", flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers()
    steps()
