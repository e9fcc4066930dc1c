"""LoRA for the LLM (arXiv 2106.09685): a layer computes W x + alpha / rank * B A x, of which A and B are trained.

The layers are those of the library peft. The names for a layer X of an LLM with LoRA; without it there is X.weight:

    X.base_layer.weight        W (out, in), frozen
    X.lora_A.default.weight    A (rank, in)
    X.lora_B.default.weight    B (out, rank), zeros at the start
    lora_scaling               alpha / rank (), once for the whole LLM
"""

import logging
import re
from typing import Dict, Sequence, Union

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

LORA = re.compile(r"\.lora_[AB]\.default\.weight$|(^|\.)lora_scaling$")


def add_lora(
    llm: PreTrainedModel, rank: int = 8, alpha: float = 16, target_modules: Union[Sequence[str], str, None] = None
) -> None:
    """Puts LoRA into linear layers of an LLM and freezes everything else in it; its logits stay as they are.

    Args:
        rank: rows of A, at least 1.
        alpha: times rank; what LoRA adds is multiplied by alpha / rank.
        target_modules: names of layers, such as q_proj, or one; by default all linear layers but the head.
    Raises:
        ValueError: LoRA would change nothing, the LLM has no such layer, or peft is not installed.
    """
    if type(rank) is not int or rank < 1 or not alpha > 0:
        raise ValueError(f"--lora has rank {rank} and alpha {alpha}, expected both above 0: or leave lora out")
    head = llm.get_output_embeddings()
    linear = {
        n.rpartition(".")[2] for n, part in llm.named_modules() if isinstance(part, nn.Linear) and part is not head
    }
    targets = [target_modules] if isinstance(target_modules, str) else target_modules
    targets = sorted(linear) if targets is None else list(targets)
    unknown = [name for name in targets if name not in linear]
    if unknown or not targets:
        found = f"'{unknown[0]}'" if unknown else "no layer"
        raise ValueError(f"--lora has {found} in target_modules, this LLM has {', '.join(sorted(linear))}")
    try:
        from peft import LoraConfig, inject_adapter_in_model  # takes seconds
    except ImportError as error:
        raise ValueError("--lora needs the package peft: pip install peft") from error
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets), llm)
    llm.register_buffer("lora_scaling", torch.tensor(alpha / rank))
    trained, total = (sum(p.numel() for p in llm.parameters() if p.requires_grad or every) for every in (False, True))
    share = f"{trained} of {total} parameters of the LLM are trained ({trained / total:.2%})"
    logging.info("LoRA of rank %d in %s: %s", rank, ", ".join(targets), share)


def fit_state(llm: nn.Module, state: Dict[str, Tensor], prefix: str, *_) -> None:
    """Hook before `load_state_dict` of an LLM: weights with and without LoRA fit an LLM with and without LoRA.

    The same LoRA goes on. Another one is merged into the weights, and that of the LLM, if any, begins at zero.
    """
    own = {prefix + name: value for name, value in llm.state_dict().items()}
    given = [name for name in state if LORA.search(name)]
    scaling = prefix + "lora_scaling"
    same = all(name in own and own[name].shape == state[name].shape for name in given)
    if given and not (same and own[scaling] == state.get(scaling)):
        merge(state, scaling)
    for name in own:
        if ".base_layer." in name and (plain := name.replace(".base_layer.", ".")) in state:
            state[name] = state.pop(plain)
        elif LORA.search(name):
            state.setdefault(name, own[name])


def merge(state: Dict[str, Tensor], scaling: str) -> None:
    """Adds LoRA to the weights, which get their plain names; matrices without partner stay, for a strict loading."""
    scale = state.pop(scaling)
    for base in [name for name in state if ".base_layer." in name]:
        layer, _, kind = base.partition(".base_layer.")
        a, b = (f"{layer}.lora_{letter}.default.weight" for letter in "AB")
        weight = state.pop(base)
        if kind == "weight" and a in state and b in state:
            weight = weight + scale * (state.pop(b) @ state.pop(a))
        state[f"{layer}.{kind}"] = weight
