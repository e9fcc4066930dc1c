"""Small helpers for tensors and modules that several models share."""

from torch import Tensor, arange, nn


def valid_frames(lengths: Tensor, max_length: int) -> Tensor:
    """(B,) -> (B, max_length), True on frames that exist."""
    return arange(max_length, device=lengths.device) < lengths[:, None]


def is_frozen(module: nn.Module) -> bool:
    """True if the module has parameters and none of them is trained."""
    return any(True for _ in module.parameters()) and not is_trained(module)


def is_trained(module: nn.Module) -> bool:
    """True if any parameter of the module is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())
