"""Functions on tensors and modules that several models share.

Shapes: B batch, N samples, T feature frames, F feature bins, S encoder frames, D encoder width.
"""

import inspect
from contextlib import contextmanager
from typing import Callable, Collection, Iterable, Iterator, List, Optional, Tuple, Union

import numpy as np
import torch
from torch import Tensor, nn

Lengths = Union[np.ndarray, Tensor]  # of the utterances of a batch, (B,)


def on_host(numbers: Lengths) -> np.ndarray:
    """Lengths or token ids as an int64 array of the same shape, the form that our models keep them in.

    Arithmetic with arrays never waits for an accelerator, and works under torch's fake tensors. Stock ESPnet gives
    tensors on the accelerator: these cost one transfer.
    """
    return numbers.cpu().numpy() if isinstance(numbers, Tensor) else numbers


def on_device(numbers: Lengths, device: torch.device) -> Tensor:
    """Lengths or token ids as a tensor beside those that they are used with; nothing waits for the copy."""
    return torch.as_tensor(numbers).to(device, non_blocking=True)


def too_short(message: str, found: int, needed: int) -> ValueError:
    """The error for an utterance of `found` samples or frames: a ValueError that is also ESPnet's TooShortUttError.

    ESPnet's decoding answers it with an empty transcript and goes on.
    """
    from espnet2.asr.encoder.conformer_encoder import TooShortUttError  # half a second, which only an error needs

    class TooShort(TooShortUttError, ValueError):
        pass

    return TooShort(message, found, needed)


def extract_features(
    speech: Tensor, speech_lengths: Lengths, frontend: nn.Module, normalize: Optional[nn.Module]
) -> Tuple[Tensor, np.ndarray]:
    """speech (B, N) in [-1, 1] -> normalised features (B, T, F) and lengths (B,), fp32 under autocast, no gradient."""
    lengths = on_host(speech_lengths)
    with torch.no_grad(), torch.autocast(speech.device.type, enabled=False):
        feats, lengths = frontend(speech[:, : lengths.max()].float(), lengths)
        return (feats, lengths) if normalize is None else normalize(feats, lengths)


def valid_frames(lengths: Lengths, x: Tensor) -> Tensor:
    """Lengths (B,) of the rows of x (B, T, ...) -> (B, T) on the device of x, True on frames that exist."""
    return torch.arange(x.size(1), device=x.device) < on_device(lengths, x.device)[:, None]


def is_frozen(module: nn.Module) -> bool:
    """True if the module has parameters and none of them is trained."""
    return any(True for _ in module.parameters()) and not is_trained(module)


def is_trained(module: nn.Module) -> bool:
    """True if any parameter of the module is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())


def freeze(model: nn.Module, parts: Iterable[str]) -> nn.Module:
    """The model with these parts, or single parameters, frozen as ESPnet does it."""
    for name, parameter in model.named_parameters():
        if any(name == part or name.startswith(f"{part}.") for part in parts):
            parameter.requires_grad_(False)
    return model


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
