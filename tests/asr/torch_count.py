"""What torch counts for one training batch; used by test_flops.py and benchmarks/flops.py."""

from functools import partial
from typing import Optional

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_backward_flop

from espnet_llmasr.asr.flops import Flops


def as_product(layer: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A depthwise convolution (B, C, S) -> (B, C, S) as one matrix product for each channel."""
    windows = nn.functional.pad(x, (layer.padding[0], layer.padding[0])).unfold(2, layer.kernel_size[0], 1)
    product = torch.bmm(windows.transpose(0, 1).flatten(1, 2), layer.weight.transpose(1, 2))
    return product.view(x.size(1), x.size(0), -1).transpose(0, 1)


def without_groups(model: nn.Module) -> None:
    """Computes depthwise convolutions as matrix products from now on, with the same results (see `of_groups`)."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d) and layer.groups > 1:
            assert (
                layer.groups == layer.in_channels == layer.out_channels and layer.stride == (1,) and layer.bias is None
            )
            layer.forward = partial(as_product, layer)


def of_groups(*shapes, out_shape) -> int:
    """Torch's FLOPs of a convolution's backward pass, with those of the weight gradient divided by the groups.

    Torch (2.11 to 2.15) counts these as if every output channel met every input channel: for a depthwise convolution
    of C channels that is C times too much. PyTorch's pull request 183405 divides likewise.
    """
    *others, groups, (of_input, of_weight, _) = shapes
    parts = ((of_input, False, False), (False, of_weight, False))
    by_input, by_weight = (conv_backward_flop(*others, groups, mask, out_val=out_shape) for mask in parts)
    return by_input + by_weight // groups


GROUPS = {torch.ops.aten.convolution_backward: of_groups}


def counted(model: nn.Module, batch: dict, formulas: Optional[dict] = None) -> Flops:
    """FLOPs of forward and backward. Attention is computed by plain products, since those are what torch counts.

    Args:
        formulas: of operators, instead of torch's own: GROUPS.
    """
    mode = FlopCounterMode(display=False, custom_mapping=formulas)
    with sdpa_kernel(SDPBackend.MATH), mode as counter:
        loss = model(**batch)[0]
        forward = counter.get_total_flops()
        loss.sum().backward()
        return Flops(forward, counter.get_total_flops() - forward)


def shape_of(model: nn.Module, batch: dict):
    """The padded sizes of a batch in main memory."""
    return model.batch_shape(model.frontend.frame_lengths(batch["speech_lengths"]), **batch)
