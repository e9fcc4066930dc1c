"""Adds up FLOPs (see flops.py)."""

from typing import Iterable, NamedTuple

from torch import nn

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Flops(NamedTuple):
    """FLOPs of a batch (whole numbers), or of N batches: int64 arrays (N,)."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        return self.forward + self.backward


class Tally:
    """Adds up FLOPs and follows which values need a gradient: "needs" is a flag of a value, as requires_grad is."""

    def __init__(self):
        self.forward, self.backward = 0, 0

    def product(self, multiply_adds: int, left_needs: bool, right_needs: bool) -> bool:
        """Counts a product of two values; returns whether the result needs a gradient. Not +=: that changes arrays."""
        self.forward = self.forward + 2 * multiply_adds
        self.backward = self.backward + 2 * multiply_adds * (left_needs + right_needs)
        return left_needs or right_needs

    def through(self, modules: Iterable[nn.Module], outputs: int, needs: bool) -> bool:
        """Counts layers one after another that all give `outputs` vectors; returns whether the last needs a gradient.

        Every weight of a linear layer or convolution is used once for each output vector.
        """
        for module in modules:
            if isinstance(module, WEIGHTED):
                self.product(outputs * module.weight.numel(), needs, module.weight.requires_grad)
            needs = needs or is_trained(module)
        return needs


def is_trained(module: nn.Module) -> bool:
    """True if any of its parameters is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())
