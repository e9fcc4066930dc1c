"""Phonetic targets: how often each phone occurs in a transcript (section 3.2 of arXiv 2604.08003)."""

from collections import Counter
from typing import Dict, List, Mapping, Tuple

import torch
from torch import Tensor

from espnet_llmasr.text.phonemes import UNKNOWN, Phonemizer


def phones_of(texts: Mapping[str, str], langs: Mapping[str, str], inventory: str) -> Dict[str, List[str]]:
    """Phones of every transcript, made from its text, so that the unit of the pretraining does not matter.

    Raises:
        ValueError: a language (utt2lang) for which this inventory has no phones.
    """
    phonemize = Phonemizer(inventory)
    return {uid: phonemize(text, langs.get(uid, "")) for uid, text in texts.items()}


def phone_shares(phones: Mapping[str, List[str]]) -> Tuple[Tensor, List[str]]:
    """Share of each phone in each utterance: (B, V) float64 whose rows sum to 1, and the V phones, sorted.

    <unk> is left out: it stands for letters that were not understood. A row without phones stays 0.
    """
    counts = [Counter(phone for phone in row if phone != UNKNOWN) for row in phones.values()]
    tokens = sorted(set().union(*counts)) if counts else []
    shares = torch.tensor([[row[token] for token in tokens] for row in counts], dtype=torch.float64)
    return shares / shares.sum(dim=1, keepdim=True).clamp(min=1), tokens
