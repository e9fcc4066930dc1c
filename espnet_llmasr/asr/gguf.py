"""Reads a chat LLM from a GGUF file, the form of llama.cpp, which holds weights, configuration and tokenizer."""

from pathlib import Path
from typing import Tuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from espnet_llmasr.asr.pretrained import check_weights, load_model, naming_damage
from espnet_llmasr.asr.shipped import SMOLLM2, need_packages, shipped_file
from espnet_llmasr.files import check_file

SUFFIX = ".gguf"


def read_gguf(name: str) -> Tuple[object, PreTrainedModel]:
    """Tokenizer and model in fp32 of a GGUF file, whose weights may be quantized, or of `SMOLLM2`.

    The model can be trained and saved as any other one.

    Raises:
        ValueError: no such file, a damaged one, a kind of LLM that transformers does not read from GGUF, or packages
            that are not installed.
    """
    need_packages("an LLM in GGUF", "gguf", "accelerate")
    file = shipped_file(SMOLLM2) if name == SMOLLM2 else Path(name)
    check_file(file)
    folder, options = str(file.parent), {"gguf_file": file.name}
    with naming_damage(file, "give a whole GGUF file of a chat LLM that transformers knows"):
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model, missing = load_model(folder, torch.float32, AutoModelForCausalLM, **options)
    check_weights(file, missing)
    return tokenizer, plain(model)


def plain(model: PreTrainedModel) -> PreTrainedModel:
    """The model without transformers' notes that it comes from GGUF, which forbid to save it: its weights are fp32."""
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    return model
