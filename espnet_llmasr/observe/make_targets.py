"""Makes the targets of PAI, CSAI and CKA to text: phones and meaning of transcripts (section 3.2 of arXiv 2604.08003).

Meaning is the embedding of a frozen text model: its pooled output for CSAI, that of the input for CKA to text.
B utterances, V phones, S tokens, E width of the text model.
"""

import logging
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Tuple
from zipfile import ZipFile

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer

from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.asr.pretrained import check_weights, load_model
from espnet_llmasr.asr.shipped import MINILM, shipped_file
from espnet_llmasr.asr.weights import load_state, read_state
from espnet_llmasr.data.kaldi import read_utt2lang
from espnet_llmasr.files import read_json, read_scp
from espnet_llmasr.text.phonemes import UNKNOWN, Phonemizer
from espnet_llmasr.train.targets import Targets, check_name

POOLING_FILE = "1_Pooling/config.json"  # of a model of the library sentence-transformers
LAST_TOKEN = "pooling_mode_lasttoken"


def phones_of(texts: Mapping[str, str], langs: Mapping[str, str], inventory: str) -> Dict[str, List[str]]:
    """Phones of every transcript, made from its text, so that the labels of the pretraining do not matter.

    Raises ValueError for a language (utt2lang) without phones in this inventory.
    """
    phonemize = Phonemizer(inventory)
    return {uid: phonemize(text, langs.get(uid, "")) for uid, text in texts.items()}


def read_phones(path: Path, texts: Mapping[str, str]) -> Dict[str, List[str]]:
    """Phones of every transcript from a table "id phones". Raises ValueError if it lacks a transcript."""
    table = read_scp(path)
    missing = [uid for uid in texts if uid not in table]
    if missing:
        raise ValueError(f"{path} has no phones of {missing[0]} ({len(missing)} are missing): complete it")
    return {uid: table[uid].split() for uid in texts}


def phone_shares(phones: Mapping[str, List[str]]) -> Tuple[Tensor, List[str]]:
    """Share of each phone in each utterance: (B, V) float64 whose rows sum to 1, and the V phones, sorted.

    <unk> is left out: it stands for letters without a pronunciation. A row without phones stays 0.
    """
    counts = [Counter(phone for phone in row if phone != UNKNOWN) for row in phones.values()]
    tokens = sorted(set().union(*counts)) if counts else []
    shares = torch.tensor([[row[token] for token in tokens] for row in counts], dtype=torch.float64)
    shares = shares.view(len(counts), len(tokens))  # also without utterances
    return shares / shares.sum(dim=1, keepdim=True).clamp(min=1), tokens


def write_targets(
    out: Path,
    data_dir: Path,
    embedder: str,
    inventory: str,
    phones: Optional[Path] = None,
    text_embeddings: Optional[str] = None,
    batch_size: int = 32,
    device: str = "cpu",
) -> Targets:
    """Writes the targets of all utterances of dump/<set> that have a transcript; returns them.

    Args:
        inventory: the phones of the transcripts (text, utt2lang). phones: a table (id and phones) in their place.
        embedder, text_embeddings, batch_size, device: see `make_targets`.

    Raises:
        ValueError: a name of `out` that is not of such a file, or see `phones_of`, `read_phones` and `make_targets`.
    """
    check_name(out)
    texts = read_scp(data_dir / "text")
    if phones is None:
        labels = phones_of(texts, read_utt2lang(data_dir), inventory)
    else:
        labels = read_phones(phones, texts)
    targets = make_targets(data_dir, texts, labels, embedder, text_embeddings, batch_size, device)
    targets.made["phones_from"] = str(phones or inventory)
    targets.save(out)
    return targets


def make_targets(
    data_dir: Path,
    texts: Mapping[str, str],
    phones: Mapping[str, List[str]],
    embedder: str,
    text_embeddings: Optional[str] = None,
    batch_size: int = 32,
    device: str = "cpu",
) -> Targets:
    """Targets of all utterances that have phones.

    Args:
        data_dir: the folder of the transcripts.
        texts, phones: transcript and phones by utterance id, the same ids in the same order.
        embedder: a text model for `TextEmbedder`; text_embeddings: the LLM of CKA to text, default the same model.

    Raises ValueError if no utterance has phones, or a text model cannot be used.
    """
    shares, tokens = phone_shares(phones)
    kept = shares.any(dim=1)
    ids = [uid for uid, has_phones in zip(texts, kept.tolist()) if has_phones]
    if not ids:
        raise ValueError(f"{data_dir}/text has no transcript with phones: nothing to measure against")
    if len(ids) < len(texts):
        logging.warning("%d of %d utterances have no phones: left out", len(texts) - len(ids), len(texts))
    transcripts, llm = [texts[uid] for uid in ids], text_embeddings or embedder
    model = TextEmbedder(embedder, device, batch_size)
    semantic, pooling = model.embed(transcripts), model.pooling
    if llm != embedder:
        model = TextEmbedder(llm, device, batch_size)
    made = dict(embedder=embedder, pooling=pooling, text_embeddings=llm, phones=tokens, data_dir=str(data_dir))
    return Targets(ids, shares[kept], semantic, model.input_mean(transcripts), made)


class TextEmbedder:
    """A text model by hub name (Qwen/Qwen3-Embedding-8B), by directory, our own LLM directory (exp/llm), or `MINILM`.

    Args:
        device: "cpu" computes in float32, "cuda" in bfloat16.
        batch_size: transcripts at a time.

    Raises:
        ValueError: a directory without a text model, or without its tokenizer or weights; a pooling that we do not
            have; the package of `MINILM` is not installed. OSError: no such name on the hub, or no network.
    """

    def __init__(self, name: str, device: str = "cpu", batch_size: int = 32):
        with _folder(name) as folder:
            self.model, self.tokenizer = _open(folder, torch.float32 if device == "cpu" else torch.bfloat16)
            self.pooling = pooling_of(folder)
        self.model.to(device).eval()
        self.device, self.batch_size = device, batch_size

    @torch.no_grad()
    def embed(self, texts: List[str]) -> Tensor:
        """(B, E) float32, the pooled output for each text, rows of length 1.

        The pooling is that of the model's own `POOLING_FILE`, without one the output at the last token. The tokenizer
        adds its special tokens: Qwen3-Embedding's ends each text with the end token. A special token that is written
        in a text is encoded as text. Padding is always on the right, so that it changes neither positions nor causal
        attention. Raises ValueError for an empty text.
        """
        rows = [self.tokenizer(text, split_special_tokens=True)["input_ids"] for text in texts]
        order, vectors = sorted(range(len(rows)), key=lambda number: len(rows[number])), {}
        for first in range(0, len(order), self.batch_size):
            numbers = order[first : first + self.batch_size]
            ids, lengths = _padded([rows[number] for number in numbers])
            inputs = dict(input_ids=ids, attention_mask=valid_frames(lengths, ids).long())
            inputs = {name: value.to(self.device) for name, value in inputs.items()}
            hidden = self.model(**inputs).last_hidden_state
            vectors.update(zip(numbers, POOLINGS[self.pooling](hidden.float(), lengths.to(hidden.device)).cpu()))
        return nn.functional.normalize(torch.stack([vectors[number] for number in range(len(rows))]), dim=1)

    @torch.no_grad()
    def input_mean(self, texts: List[str]) -> Tensor:
        """(B, E) float32, the mean of the input embeddings of each text's own tokens (no special ones)."""
        rows, table = [], self.model.get_input_embeddings()
        for text in texts:
            row = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            ids, _ = _padded([row])
            rows.append(table(ids.to(self.device)).float().mean(dim=1).cpu())
        return torch.cat(rows)


def _padded(rows: List[List[int]]) -> Tuple[Tensor, Tensor]:
    """ids (B, S), right-padded, and lengths (B,). Raises ValueError for an empty row."""
    if not all(rows):
        raise ValueError("an empty text has no embedding: leave out utterances without a transcript")
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True), torch.tensor([len(row) for row in rows])


def _mean(hidden: Tensor, lengths: Tensor) -> Tensor:
    valid = valid_frames(lengths, hidden[..., 0])[..., None]
    return (hidden * valid).sum(dim=1) / lengths[:, None]


POOLINGS: Dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # outputs (B, S, E) and lengths (B,) -> (B, E)
    LAST_TOKEN: lambda hidden, lengths: hidden[torch.arange(len(hidden)), lengths - 1],
    "pooling_mode_mean_tokens": _mean,  # special tokens count, as there
    "pooling_mode_cls_token": lambda hidden, lengths: hidden[:, 0],
}


def pooling_of(name: str) -> str:
    """The pooling that a text model says is its own; of a model that says nothing, such as an LLM, the last token's."""
    file = Path(name, POOLING_FILE)
    try:
        file = file if Path(name).is_dir() else Path(hf_hub_download(name, POOLING_FILE))
    except RemoteEntryNotFoundError:
        pass  # the hub has the model, and no such file of it
    if not file.is_file():
        return LAST_TOKEN
    chosen = [key for key, value in read_json(file).items() if key.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise ValueError(
            f"{name}/{POOLING_FILE} asks for {' and '.join(chosen) or 'no pooling'}, allowed is one of "
            f"{', '.join(POOLINGS)}: take another embedder"
        )
    return chosen[0]


@contextmanager
def _folder(name: str) -> Iterator[str]:
    """The name of a text model, or a folder of `MINILM`, whose package holds it as a zip file."""
    if name != MINILM:
        yield name
        return
    with TemporaryDirectory() as folder, ZipFile(shipped_file(name)) as archive:
        archive.extractall(folder)
        yield folder


def _open(name: str, dtype: torch.dtype) -> Tuple[nn.Module, object]:
    """The model without its output head, and the tokenizer."""
    directory = Path(name)
    weights, config = directory / "llm.pth", directory / "config.json"
    if weights.is_file():
        llm = build_llm(config)
        load_state(llm, read_state(weights, lazy=True), weights, config)
        return llm.base_model.to(dtype), load_tokenizer(directory / "tokenizer.json")
    if (directory.is_dir() or name.startswith((".", "/"))) and not config.is_file():
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
