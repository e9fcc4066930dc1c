"""Where the sequences of a batch stand in the rows that the LLM gets; computed on the host, from lengths and ids.

B sequences, K rows of W places, L' speech tokens.
"""

from typing import NamedTuple, Sequence

import numpy as np

from espnet_llmasr.text.prompt import SPEECH_ID


class Rows(NamedTuple):
    """Sequences of token ids in K rows. Place p, counted through all rows, is column p % W of row p // W.

    Attributes:
        ids: (K, W), SPEECH_ID at speech tokens, 0 beyond the sequences.
        valid: (K, W), True inside the sequences.
        starts: (B,) the place of the first token of each sequence.
        speech_starts: (B,) the place of its first speech token.
    """

    ids: np.ndarray
    valid: np.ndarray
    starts: np.ndarray
    speech_starts: np.ndarray

    @classmethod
    def padded(cls, sequences: Sequence[np.ndarray], left: bool = False) -> "Rows":
        """One row for each sequence, with padding on the right or on the left."""
        lengths = np.array(list(map(len, sequences)))
        padding = lengths.max() - lengths if left else 0
        return cls._at(np.arange(len(lengths)) * lengths.max() + padding, sequences, (len(lengths), lengths.max()))

    @classmethod
    def _at(cls, starts: np.ndarray, sequences: Sequence[np.ndarray], shape) -> "Rows":
        ids, valid = np.zeros(shape, np.int64), np.zeros(shape, bool)
        for start, sequence in zip(starts, sequences):
            ids.flat[start : start + len(sequence)] = sequence
            valid.flat[start : start + len(sequence)] = True
        firsts = np.array([np.argmax(sequence == SPEECH_ID) for sequence in sequences])
        return cls(ids, valid, starts, starts + firsts)


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... start + length - 1 of each span, one span after the other."""
    return np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths)])
