"""The LLM decoder: built from packed files (config and tokenizer), never downloaded at load time."""

from pathlib import Path
from typing import Union

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, PreTrainedModel


def build_llm(config_file: Union[str, Path]) -> PreTrainedModel:
    """An LLM with random weights from a Hugging Face config.json; weights come by checkpoint or `--init_param`.

    Attention is torch's own (its flash kernel under bf16 autocast). fp32 masters; never cast the
    whole module to bf16 (that rounds the rotary frequencies), use autocast.
    """
    config = AutoConfig.from_pretrained(_local(config_file, "config.json").parent)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")


def load_tokenizer(tokenizer_file: Union[str, Path]):
    """The tokenizer from the directory that holds `tokenizer_file` (tokenizer.json)."""
    return AutoTokenizer.from_pretrained(_local(tokenizer_file, "tokenizer.json").parent)


def _local(path: Union[str, Path], name: str) -> Path:
    path = Path(path)
    if path.name != name or not path.is_file():
        raise ValueError(f"expected the file {name} of the LLM, found '{path}': run the LLM-preparation stage")
    return path


class PerUtteranceLimit(LogitsProcessor):
    """Forces the end token on each utterance at its own length limit.

    A limit for the whole batch would let the longest utterance decide about its mates (notes on FireRedASR).

    Args:
        limits: (B,) most new tokens per utterance; rows are utterance-major over beams.
        end_id: the end token.
    """

    def __init__(self, limits: torch.Tensor, end_id: int):
        self.limits, self.end_id = limits, end_id

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids (B * beams, generated so far), scores (B * beams, vocabulary)."""
        rows = scores.size(0) // self.limits.numel()
        full = (input_ids.size(1) >= self.limits - 1).repeat_interleave(rows)
        forced = torch.full_like(scores, float("-inf"))
        forced[:, self.end_id] = 0.0
        return torch.where(full[:, None], forced, scores)
