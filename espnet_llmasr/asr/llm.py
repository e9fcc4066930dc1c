"""The LLM decoder: built from packed files (config and tokenizer), never downloaded at load time."""

from pathlib import Path
from typing import Union

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel


def build_llm(config_file: Union[str, Path]) -> PreTrainedModel:
    """An LLM with random weights from a Hugging Face config.json; weights come by checkpoint or `--init_param`.

    Weights are fp32. For bf16 use autocast; a cast of the whole module would also round the rotary frequencies.
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
