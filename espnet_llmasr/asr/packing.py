"""Where the sequences of a batch stand in the rows that the LLM gets; computed on the host, from lengths and ids.

B sequences, K rows of W places, L' speech tokens.
"""

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


def pack(lengths: np.ndarray, width: int) -> Layout:
    """Rows of at most `width` places, or of the longest sequence. The longest come first, each where it first fits."""
    width, fill, rows, columns = max(width, lengths.max()), [], np.zeros_like(lengths), np.zeros_like(lengths)
    for number in np.argsort(-lengths, kind="stable"):
        fits = (row for row, used in enumerate(fill) if used + lengths[number] <= width)
        rows[number] = row = next(fits, len(fill))
        fill += [0] * (row == len(fill))
        columns[number] = fill[row]
        fill[row] += lengths[number]
    return rows * max(fill) + columns, (len(fill), max(fill))


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... start + length - 1 of each span, one span after the other."""
    return np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths)])
