"""What torch counts for one training batch; used by test_flops.py and benchmarks/flops.py."""

from functools import partial

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from espnet_llmasr.asr.flops import Flops


def as_product(layer: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A depthwise convolution (B, C, S) -> (B, C, S) as one matrix product for each channel."""
    windows = nn.functional.pad(x, (layer.padding[0], layer.padding[0])).unfold(2, layer.kernel_size[0], 1)
    product = torch.bmm(windows.transpose(0, 1).flatten(1, 2), layer.weight.transpose(1, 2))
    return product.view(x.size(1), x.size(0), -1).transpose(0, 1)


def without_groups(model: nn.Module) -> None:
    """Computes depthwise convolutions as matrix products from now on, with the same results.

    Torch 2.11 counts the weight gradient of a convolution as if every output channel met every input channel, whatever
    the groups: for a depthwise convolution of C channels that is C times too much.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d) and layer.groups > 1:
            layer.forward = partial(as_product, layer)


def counted(model: nn.Module, batch: dict) -> Flops:
    """FLOPs of forward and backward. Attention is computed by plain products, since those are what torch counts."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = model(**batch)[0]
        forward = counter.get_total_flops()
        loss.sum().backward()
        return Flops(forward, counter.get_total_flops() - forward)


def shape_of(model: nn.Module, batch: dict):
    """The padded sizes of a batch in main memory."""
    return model.batch_shape(model.frontend.frame_lengths(batch["speech_lengths"]), **batch)
