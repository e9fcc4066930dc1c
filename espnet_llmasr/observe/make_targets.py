"""Makes the targets of PAI, CSAI and CKA to text: phones and meaning of transcripts (section 3.2 of arXiv 2604.08003).

B utterances, V phones.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from espnet_llmasr.files import read_scp
from espnet_llmasr.observe.embedder import TextEmbedder
from espnet_llmasr.text.phonemes import UNKNOWN, Phonemizer
from espnet_llmasr.train.targets import Targets


def phones_of(texts: Mapping[str, str], langs: Mapping[str, str], inventory: str) -> Dict[str, List[str]]:
    """Phones of every transcript, made from its text, so that the labels of the pretraining do not matter.

    Raises:
        ValueError: a language (utt2lang) for which this inventory has no phones.
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

    Raises:
        ValueError: no utterance has phones, or a text model cannot be used.
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
    semantic = model.last_token(transcripts)
    if llm != embedder:
        model = TextEmbedder(llm, device, batch_size)
    made = dict(embedder=embedder, text_embeddings=llm, phones=tokens, data_dir=str(data_dir))
    return Targets(ids, shares[kept], semantic, model.input_mean(transcripts), made)
