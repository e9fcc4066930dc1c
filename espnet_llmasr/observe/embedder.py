"""A frozen text model: embeddings of transcripts for CSAI (last token) and for CKA to text (input embeddings).

B utterances, S tokens, E width of the text model.
"""

from pathlib import Path
from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer

from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.asr.weights import load_state, read_state
from espnet_llmasr.observe.pretrained import check_weights, load_model


class TextEmbedder:
    """A text model by hub name (Qwen/Qwen3-Embedding-8B), by directory, or our own LLM directory (exp/llm: llm.pth).

    Args:
        device: "cpu" computes in float32, "cuda" in bfloat16.
        batch_size: transcripts at a time.

    Raises:
        ValueError: a directory without a text model, or without its tokenizer or weights. OSError: no such name on the
            hub, or no network.
    """

    def __init__(self, name: str, device: str = "cpu", batch_size: int = 32):
        self.model, self.tokenizer = _open(name, torch.float32 if device == "cpu" else torch.bfloat16)
        self.model.to(device).eval()
        self.device, self.batch_size = device, batch_size

    @torch.no_grad()
    def last_token(self, texts: List[str]) -> Tensor:
        """(B, E) float32, the output at the last token of each text, rows of length 1.

        The tokenizer adds its special tokens: Qwen3-Embedding's ends each text with the end token. Padding is always on
        the right, so that it changes neither positions nor causal attention.

        Raises:
            ValueError: a text without a token.
        """
        rows = [self.tokenizer(text)["input_ids"] for text in texts]
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        vectors = {}
        for first in range(0, len(order), self.batch_size):
            numbers = order[first : first + self.batch_size]
            vectors.update(zip(numbers, self._last([rows[number] for number in numbers])))
        return nn.functional.normalize(torch.stack([vectors[number] for number in range(len(rows))]), dim=1)

    def _last(self, rows: List[List[int]]) -> Tensor:
        """Outputs (B, E) at the last of the tokens of each row."""
        ids, lengths = _padded(rows)
        mask = valid_frames(lengths, ids.shape[1])
        hidden = self.model(input_ids=ids.to(self.device), attention_mask=mask.long().to(self.device)).last_hidden_state
        return hidden[torch.arange(len(rows)), lengths - 1].float().cpu()

    @torch.no_grad()
    def input_mean(self, texts: List[str]) -> Tensor:
        """(B, E) float32, the mean of the input embeddings of each text's own tokens (no special ones).

        Raises:
            ValueError: a text without a token.
        """
        rows, table = [], self.model.get_input_embeddings()
        for text in texts:
            ids, _ = _padded([self.tokenizer(text, add_special_tokens=False)["input_ids"]])
            rows.append(table(ids.to(self.device)).float().mean(dim=1).cpu())
        return torch.cat(rows)


def _padded(rows: List[List[int]]) -> Tuple[Tensor, Tensor]:
    """ids (B, S), right-padded, and lengths (B,)."""
    if not all(rows):
        raise ValueError("an empty text has no embedding: leave out utterances without a transcript")
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True), torch.tensor([len(row) for row in rows])


def _open(name: str, dtype: torch.dtype) -> Tuple[nn.Module, object]:
    """The model without its output head, and the tokenizer."""
    directory = Path(name)
    if (directory / "llm.pth").is_file():
        llm = build_llm(directory / "config.json")
        path = directory / "llm.pth"
        load_state(llm, read_state(path, lazy=True), path, directory / "config.json")
        return llm.base_model.to(dtype), load_tokenizer(directory / "tokenizer.json")
    if (directory.is_dir() or name.startswith((".", "/"))) and not (directory / "config.json").is_file():
        raise ValueError(
            f"{name} has no config.json: give the directory of a text model, exp/llm (stage 4), or a name on the hub"
        )
    (model, missing), tokenizer = load_model(name, dtype), AutoTokenizer.from_pretrained(name)
    check_weights(name, missing)
    if model.main_input_name != "input_ids" or getattr(model.config, "is_encoder_decoder", False):
        raise ValueError(f"{name} is no text model of one stack, but of type '{model.config.model_type}'")
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise ValueError(f"{name} has no vocabulary: complete it with the files of its tokenizer")
    return model, tokenizer
