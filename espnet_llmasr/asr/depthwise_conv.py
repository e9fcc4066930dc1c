"""A depthwise convolution that torch's FLOP counter counts rightly.

Shapes: B batch, C channels, T frames, K kernel (odd).
"""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv1d_input


class DepthwiseConv1d(nn.Conv1d):
    """(B, C, T) -> (B, C, T), every channel with a kernel of its own, without bias.

    Where its weight is trained on the CPU, the backward pass is that of `_Depthwise`, without further derivatives and
    not for an empty batch; on a GPU it is torch's own.
    """

    def __init__(self, channels: int, kernel_size: int):
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and self.weight.requires_grad:
            return _Depthwise.apply(x, self.weight)
        return super().forward(x)


class _Depthwise(torch.autograd.Function):
    """The weight's gradient as another depthwise convolution, of the input with the output's gradient as the kernel.

    dw[c, k] = sum over b and t of x[b, c, t + k - K // 2] dy[b, c, t], with a channel for each b and c. In torch's own
    backward pass its FLOP counter (2.11 to 2.15) charges this gradient C times, because its formula leaves the groups
    out (PyTorch's pull request 183405 divides by them). In single precision ours is as fast or faster
    (benchmarks/depthwise.md).
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv1d(x, weight, padding=weight.size(2) // 2, groups=weight.size(0))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], Tensor]:
        x, weight = ctx.saved_tensors
        grad, half = grad.to(x.dtype).contiguous(), weight.size(2) // 2
        signal = F.pad(x, (half, half)).flatten(0, 1).unsqueeze(0)
        kernels = grad.flatten(0, 1).unsqueeze(1)
        of_weight = F.conv1d(signal, kernels, groups=len(kernels)).view(len(x), *weight.shape).sum(0)
        if not ctx.needs_input_grad[0]:
            return None, of_weight
        return conv1d_input(x.shape, weight, grad, padding=half, groups=weight.size(0)), of_weight
