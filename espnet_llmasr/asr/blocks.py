"""The blocks of encoder and LLM, and gradient checkpointing.

It changes how a block is called and adds no module, so the names of the weights stay as they are, and weights may be
loaded, frozen and swapped as before.
"""

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Iterator, List, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from espnet_llmasr.asr.modules import is_trained

PARTS = ("encoder", "llm")  # what gradient checkpointing can be asked for
BLOCKS = ("encoders", "layer_stack")  # names of the list of blocks in ESPnet's encoders and in our Conformer


def blocks_of(encoder: nn.Module) -> List[nn.Module]:
    """The blocks of an encoder in their order; none if it has no list of blocks, or is a streaming encoder."""
    if hasattr(encoder, "block_size"):
        return []
    lists = (getattr(encoder, name, None) for name in BLOCKS)
    return next((list(blocks) for blocks in lists if isinstance(blocks, (nn.ModuleList, nn.Sequential))), [])


def checkpoint_gradients(model: nn.Module, parts: Sequence[str]) -> None:
    """Of each block of these parts only the input is kept; the backward pass computes the rest again, a forward pass.

    Loss and gradients stay the same: the random numbers (dropout) are drawn again alike, and the running statistics of
    a BatchNorm are not counted twice.

    Raises:
        ValueError: no such part in this model, nothing in the part or before it is trained (so nothing would be
            kept), or its blocks are not known.
    """
    if isinstance(parts, str) or not set(parts) <= set(PARTS):
        raise ValueError(f"gradient_checkpointing is {parts}, expected a list of {', '.join(PARTS)}")
    for name in parts:
        children = dict(model.named_children())
        if name not in children:
            raise ValueError(f"gradient_checkpointing has '{name}', this model has {', '.join(children)}: remove it")
        if not needs_gradients(model, name):
            raise ValueError(f"gradient_checkpointing has '{name}', which needs no gradients here: remove it")
        blocks = blocks_of(children[name]) if name == "encoder" else layers_of(children[name])
        if not blocks:
            raise ValueError(
                f"gradient_checkpointing has '{name}', the blocks of a {type(children[name]).__name__} are not known: "
                "remove it, or take another"
            )
        for block in blocks:
            norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
            both = {"context_fn": partial(contexts, norms)} if norms else {}
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, **both)


def needs_gradients(model: nn.Module, name: str) -> bool:
    """True if this part of a model, or one before it, is trained."""
    parts = dict(model.named_children())
    return any(is_trained(parts[part]) for part in list(parts)[: list(parts).index(name) + 1])


def layers_of(llm: nn.Module) -> List[nn.Module]:
    """The layers that transformers can checkpoint. Its own switch would not act on a frozen LLM, which is in eval mode."""
    from transformers.modeling_layers import GradientCheckpointingLayer  # takes seconds, and pretraining has no LLM

    return [module for module in llm.modules() if isinstance(module, GradientCheckpointingLayer)]


def contexts(norms: List[_BatchNorm]):
    """The contexts of a block's first forward pass and of its second one."""
    return nullcontext(), keep_statistics(norms)


@contextmanager
def keep_statistics(norms: List[_BatchNorm]) -> Iterator[None]:
    """BatchNorm normalises by the batch as before, but leaves its running statistics as they are."""
    saved = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, saved):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
