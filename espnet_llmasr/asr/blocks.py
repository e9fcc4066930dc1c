"""The blocks of encoder and LLM, gradient checkpointing, and compiled encoders.

Both change how a block is called and add no module, so the names of the weights stay as they are, and weights may be
loaded, frozen and swapped as before.
"""

from contextlib import contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Iterator, List, Sequence

import torch
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


def compile_blocks(encoder: nn.Module, **how) -> None:
    """Compiles the blocks of an encoder at their first call: once for all blocks of a kind, of any batch and length.

    Before `checkpoint_gradients`, which then calls the compiled block twice. A copy of the encoder is compiled, too,
    and has its own weights.

    Args:
        how: options of torch.compile; by default dropout draws the random numbers that it draws without.
    Raises:
        ValueError: the blocks are not known.
    """
    blocks = blocks_of(encoder)
    if not blocks:
        raise ValueError(
            f"compile_encoder is true, the blocks of a {type(encoder).__name__} are not known: leave it out, or take "
            "another encoder"
        )
    how = how or dict(backend="inductor", options={"fallback_random": True})
    forwards = {kind: torch.compile(kind.forward, dynamic=True, **how) for kind in set(map(type, blocks))}
    torch._dynamo.config.optimize_ddp = False  # which would cut the graph of a block at the limits of buckets
    # Left plain: the code of its backward pass holds for one length only, so each new length would be compiled again.
    depthwise = torch.compiler.disable(nn.Conv1d.forward)
    for block in blocks:
        block.forward = MethodType(forwards[type(block)], block)
        for module in block.modules():
            if isinstance(module, nn.Conv1d) and module.groups > 1:
                module.forward = MethodType(depthwise, module)


def check_compiler(device: str) -> None:
    """Raises ValueError if torch.compile does not work on this device; compiles a line, which takes seconds."""
    try:
        torch.compile(lambda x: x.exp() + 1)(torch.zeros(2, device=device))
    except Exception as error:  # of any kind: no C++ compiler, no triton, a compiler that does not know the CPU
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"compile_encoder is true, but torch.compile does not work here ({type(error).__name__}: {reason}): "
            f"install {'triton' if device == 'cuda' else 'g++'}, or leave compile_encoder out"
        ) from error


def needs_gradients(model: nn.Module, name: str) -> bool:
    """True if this part of a model, or one before it, is trained."""
    parts = dict(model.named_children())
    return any(is_trained(parts[part]) for part in list(parts)[: list(parts).index(name) + 1])


def layers_of(llm: nn.Module) -> List[nn.Module]:
    """The layers that transformers can checkpoint; its own switch does nothing in a frozen LLM, in eval mode."""
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
