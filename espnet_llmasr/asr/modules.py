"""Functions on tensors and modules that several models share.

Shapes: B batch, N samples, T feature frames, F feature bins, S encoder frames, D encoder width.
"""

import inspect
from contextlib import contextmanager
from typing import Callable, Collection, Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn


def extract_features(
    speech: Tensor, speech_lengths: Tensor, frontend: nn.Module, normalize: Optional[nn.Module]
) -> Tuple[Tensor, Tensor]:
    """speech (B, N) in [-1, 1] -> normalised features (B, T, F) and lengths (B,), fp32 under autocast, no gradient."""
    with torch.no_grad(), torch.autocast(speech.device.type, enabled=False):
        feats, lengths = frontend(speech[:, : int(speech_lengths.max())].float(), speech_lengths)
        return (feats, lengths) if normalize is None else normalize(feats, lengths)


def valid_frames(lengths: Tensor, max_length: int) -> Tensor:
    """(B,) -> (B, max_length), True on frames that exist."""
    return torch.arange(max_length, device=lengths.device) < lengths[:, None]


def is_frozen(module: nn.Module) -> bool:
    """True if the module has parameters and none of them is trained."""
    return any(True for _ in module.parameters()) and not is_trained(module)


def is_trained(module: nn.Module) -> bool:
    """True if any parameter of the module is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())


@contextmanager
def outputs_of(blocks: Iterable[nn.Module]) -> Iterator[List[Tensor]]:
    """Collects the frames (B, S, D) that the blocks return while the context is open."""
    outputs: List[Tensor] = []
    hooks = [block.register_forward_hook(lambda _, __, output: outputs.append(frames_of(output))) for block in blocks]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def frames_of(output) -> Tensor:
    """The frames (B, S, D) in the output of a block, which may be a nested tuple with positions and masks."""
    while isinstance(output, tuple):
        output = output[0]
    return output


def check_keys(component: Callable, option: str, conf: dict, given: Collection[str]) -> None:
    """Raises ValueError for a key of --`option` that `component` does not take, or that is `given` otherwise."""
    parameters = inspect.signature(component).parameters
    allowed = [name for name in parameters if name not in given]
    unknown = [key for key in conf if key not in allowed]
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        raise ValueError(f"--{option} has '{unknown[0]}', allowed are {', '.join(allowed)}")
