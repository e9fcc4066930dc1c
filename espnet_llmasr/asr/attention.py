"""How the LLM gets the sequences of a batch in training and validation; the choice is made here, and logged once.

- In one row, where varlen FlashAttention-2 runs: the package flash-attn, a GPU of compute capability 8.0, autocast. No
  score between two sequences is computed.
- In a few rows otherwise, on a CPU too. A mask that transformers makes of the positions, causal, block-diagonal and
  within a layer's window, hides other sequences. Their scores are computed all the same, so wide rows waste attention
  and narrow ones waste places; `pack` takes the cheapest number of rows. It is never dearer than padded rows.
- In padded rows, one for each sequence, for an LLM that is not in `PACKED`, such as one with a state for attention.

B sequences, K rows of W places, V tokens.
"""

import logging
import math
from contextlib import contextmanager
from functools import lru_cache
from typing import Dict, Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from espnet_llmasr.asr.modules import on_device
from espnet_llmasr.asr.packing import Layout, Rows, pack, pad

FLASH = "flash_attention_2"
PACKED = (  # model_type of LLMs; tests/asr/test_attention.py shows that they keep the sequences of a row apart
    "qwen2 qwen3 qwen3_moe llama mistral gemma gemma2 gemma3_text phi3 granite cohere cohere2 olmo2 olmo3 smollm3 glm "
    "glm4"
).split()
BALANCE = 4  # a row of this many LLM widths costs as much in attention as in matrices (6 by FLOPs, but slower ones)


def layout_of(llm: PreTrainedModel, lengths: np.ndarray) -> Layout:
    """Where sequences of these lengths (B,) go, for the attention that the LLM has now."""
    if llm.config.model_type not in PACKED:
        return pad(lengths)
    return pack(lengths, math.inf if uses_flash(llm) else BALANCE * llm.config.get_text_config().hidden_size)


def uses_flash(llm: PreTrainedModel) -> bool:
    """True if no scores between two sequences of a row are computed."""
    return llm.config._attn_implementation == FLASH


def inputs_of(llm: PreTrainedModel, rows: Rows, device: torch.device) -> Dict[str, object]:
    """The arguments of the LLM's forward pass that keep sequences apart."""
    if llm.config.model_type not in PACKED:
        return dict(attention_mask=on_device(rows.positions >= 0, device))
    inputs = dict(position_ids=on_device(rows.positions.clip(min=0), device))
    if uses_flash(llm):
        ends = np.append(np.sort(rows.starts), rows.ids.size).astype(np.int32)
        longest = int(rows.positions.max()) + 1
        edges = dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), on_device(ends, device))
        inputs |= dict(**edges, max_length_q=longest, max_length_k=longest)
    return inputs


def choose(llm: PreTrainedModel, device: torch.device) -> None:
    """Gives the LLM FlashAttention-2 where it runs, otherwise the attention that transformers takes by itself."""
    packs = llm.config.model_type in PACKED
    flash = packs and llm._supports_flash_attn and flash_runs(device)
    if flash != uses_flash(llm):
        llm.set_attn_implementation(FLASH if flash else "sdpa" if llm._supports_sdpa else "eager")
    form = "packed in one row" if flash else "packed in a few rows" if packs else "in padded rows, not known to pack"
    _tell("%s: sequences %s, by %s", type(llm).__name__, form, FLASH if flash else llm.config._attn_implementation)


def flash_runs(device: torch.device) -> bool:
    """True on a GPU that FlashAttention-2 supports, in half precision, with the package flash-attn."""
    half = device.type == "cuda" and torch.is_autocast_enabled("cuda")
    return half and flash_loads() and torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def head_at(llm: PreTrainedModel, places: Tensor) -> Iterator[None]:
    """While open, the LLM gives the logits of these places (n,) alone, as (1, n, V): (K, W, V) would take gigabytes.

    What a family does after its head, such as a soft cap of the logits, is done as ever.
    """

    def select(module, inputs, output):
        output.last_hidden_state = output.last_hidden_state.flatten(0, 1).index_select(0, places)[None]

    hook = llm.get_decoder().register_forward_hook(select)
    try:
        yield
    finally:
        hook.remove()


@lru_cache(None)
def flash_loads() -> bool:
    """True if the package flash-attn is installed and its binary loads, which needs the torch that it was built for."""
    try:
        from flash_attn import flash_attn_varlen_func  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name == "flash_attn":
            return False
        reason = error
    except Exception as error:  # of any kind: an undefined symbol, a missing library, a check of its own
        reason = error
    else:
        return True
    logging.warning(
        "flash-attn is installed but does not load (%s): install a build for torch %s", reason, torch.__version__
    )
    return False


@lru_cache(None)
def _tell(message: str, *values: str) -> None:
    """Logs a line once."""
    logging.info(message, *values)
