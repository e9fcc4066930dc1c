"""Where the sequences of a batch stand in the rows that the LLM gets; computed on the host, from lengths and ids.

B sequences, K rows of W places, L' speech tokens.
"""

import math
from heapq import heapreplace
from typing import NamedTuple, Sequence, Tuple

import numpy as np

from espnet_llmasr.text.prompt import SPEECH_ID

Layout = Tuple[np.ndarray, Tuple[int, int]]  # first place of each sequence (B,), shape of the rows (K, W)


class Rows(NamedTuple):
    """Sequences of token ids in K rows. Place p, counted through all rows, is column p % W of row p // W.

    Attributes:
        ids: (K, W), SPEECH_ID at speech tokens, 0 beyond the sequences.
        positions: (K, W), 0, 1, 2 ... in each sequence, -1 beyond the sequences.
        starts: (B,) the place of the first token of each sequence.
        speech_starts: (B,) the place of its first speech token.
    """

    ids: np.ndarray
    positions: np.ndarray
    starts: np.ndarray
    speech_starts: np.ndarray

    @classmethod
    def of(cls, sequences: Sequence[np.ndarray], starts: np.ndarray, shape: Tuple[int, int]) -> "Rows":
        """The sequences at these places, in rows of this shape (K, W)."""
        ids, positions = np.zeros(shape, np.int64), np.full(shape, -1)
        for start, sequence in zip(starts, sequences):
            ids.flat[start : start + len(sequence)] = sequence
            positions.flat[start : start + len(sequence)] = np.arange(len(sequence))
        firsts = np.array([np.argmax(sequence == SPEECH_ID) for sequence in sequences])
        return cls(ids, positions, starts, starts + firsts)


def pad(lengths: np.ndarray, left: bool = False) -> Layout:
    """A row for each sequence, padded on the right or on the left."""
    width = lengths.max()
    return np.arange(len(lengths)) * width + (width - lengths) * left, (len(lengths), width)


def pack(lengths: np.ndarray, balance: float) -> Layout:
    """The cheapest of several numbers of rows, the number of padded rows among them.

    Args:
        balance: the width of a row of which attention costs as much as the LLM's matrices; infinite: one row.
    """
    fewest = math.ceil(lengths.sum() / lengths.max())
    numbers = {len(lengths), *(math.ceil(fewest / 1.2**power) for power in range(40))}
    layouts = (spread(lengths, number) for number in sorted(numbers))
    return min(layouts, key=lambda layout: math.prod(layout[1]) * (1 + layout[1][1] / balance))


def spread(lengths: np.ndarray, num_rows: int) -> Layout:
    """Puts each sequence, the longest first, into the row that is the shortest so far."""
    rows, places = [(0, row) for row in range(num_rows)], {}
    for number in np.argsort(-lengths, kind="stable").tolist():
        used, row = rows[0]
        places[number] = row, used
        heapreplace(rows, (used + int(lengths[number]), row))
    width = max(rows)[0]
    return np.array([row * width + used for _, (row, used) in sorted(places.items())]), (num_rows, width)


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... start + length - 1 of each span, one span after the other."""
    return np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths)])
