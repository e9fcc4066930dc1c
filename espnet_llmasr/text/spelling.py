"""The network of the package g2p_en (github.com/Kyubyong/g2p, Apache 2.0), which predicts the phones of a word.

The weights are read from the installed package without importing it: the import would load nltk and inflect, which
takes 180 MB and 2 s.
"""

import importlib.util
from pathlib import Path
from string import ascii_lowercase
from typing import List

import numpy as np

MOST_PHONES = 20
LETTERS = ["<pad>", "<unk>", "</s>", *ascii_lowercase]
BEGIN, END = 2, 3
_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
_STRESSED = [f"{vowel}{stress}" for vowel in _VOWELS for stress in (0, 1, 2)]
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
PHONES = ["<pad>", "<unk>", "<s>", "</s>", *sorted([*_STRESSED, *_CONSONANTS, "UW"])]


class Gru:
    """A gated recurrent unit (Cho et al., 2014) over symbols; the reset gate comes after the product, as in cuDNN."""

    def __init__(self, weights, name: str):
        parts = ("emb", "w_ih", "w_hh", "b_ih", "b_hh")
        embedding, w_in, self.w_state, b_in, self.b_state = (weights[f"{name}_{part}"] for part in parts)
        self.inputs = embedding @ w_in.T + b_in  # (symbols, 3 * width): reset, update, new

    def step(self, symbol: int, state: np.ndarray) -> np.ndarray:
        """(width,) -> (width,)"""
        reset_in, update_in, new_in = np.split(self.inputs[symbol], 3)
        reset_state, update_state, new_state = np.split(self.w_state @ state + self.b_state, 3)
        update = _sigmoid(update_in + update_state)
        new = np.tanh(new_in + _sigmoid(reset_in + reset_state) * new_state)
        return (1 - update) * new + update * state


class SpellingNetwork:
    """Encoder and decoder of one GRU each; greedy decoding."""

    def __init__(self):
        folder = Path(importlib.util.find_spec("g2p_en").submodule_search_locations[0])
        with np.load(folder / "checkpoint20.npz", allow_pickle=False) as weights:
            self.encoder, self.decoder = Gru(weights, "enc"), Gru(weights, "dec")
            self.w_out, self.b_out = weights["fc_w"], weights["fc_b"]
        self.numbers = {letter: number for number, letter in enumerate(LETTERS)}

    def predict(self, word: str) -> List[str]:
        """Phones with stress of a lower-case word; any other character counts as unknown."""
        state = np.zeros(self.w_out.shape[1], np.float32)
        for letter in (*word, "</s>"):
            state = self.encoder.step(self.numbers.get(letter, self.numbers["<unk>"]), state)
        phones, last = [], BEGIN
        while len(phones) < MOST_PHONES:
            state = self.decoder.step(last, state)
            last = int(np.argmax(self.w_out @ state + self.b_out))
            if last == END:
                break
            phones.append(PHONES[last])
        return phones


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
