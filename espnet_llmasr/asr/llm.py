"""The LLM decoder: built from packed files (config and tokenizer), never downloaded at load time."""

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from espnet_llmasr.files import read_json, read_text

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def build_llm(config_file: Union[str, Path]) -> PreTrainedModel:
    """An LLM with random weights from a Hugging Face config.json; weights come by checkpoint or `--init_param`.

    Weights are fp32. For bf16 use autocast; a cast of the whole module would also round the rotary frequencies.
    """
    path = _local(config_file, "config.json")
    read_json(path)
    with naming_damage(path):
        config = AutoConfig.from_pretrained(path.parent)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")


def load_tokenizer(tokenizer_file: Union[str, Path]):
    """The tokenizer from the directory that holds `tokenizer_file` (tokenizer.json)."""
    path = _local(tokenizer_file, "tokenizer.json")
    for name in TOKENIZER_FILES:
        if path.with_name(name).exists():
            read_text(path.with_name(name)) if name.endswith(".jinja") else read_json(path.with_name(name))
    with naming_damage(path):
        return AutoTokenizer.from_pretrained(path.parent)


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turns every error of transformers that a value in a file causes into a ValueError that names the file."""
    try:
        yield
    except (
        Exception
    ) as error:  # of any kind: tokenizers raises Exception itself, huggingface_hub has classes of its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"{path}, or a file beside it, is damaged ({reason}): prepare the LLM again (stage 4)"
        ) from error


def _local(path: Union[str, Path], name: str) -> Path:
    path = Path(path)
    if path.name != name or not path.is_file():
        raise ValueError(f"expected the file {name} of the LLM, found '{path}': run the LLM-preparation stage")
    return path
