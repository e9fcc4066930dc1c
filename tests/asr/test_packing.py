"""Rows of sequences: every sequence stands once, undivided, in few rows."""

import math

import numpy as np
import pytest

from espnet_llmasr.asr.packing import Rows, pack, pad, spans
from espnet_llmasr.text.prompt import SPEECH_ID


def sequences_of(lengths):
    """Ids that name the sequence, with speech at the second and third token."""
    sequences = [np.full(length, number + 1) for number, length in enumerate(lengths)]
    for sequence in sequences:
        sequence[1:3] = SPEECH_ID
    return sequences


@pytest.mark.parametrize("balance", [10, 500, math.inf])
def test_every_sequence_stands_undivided_in_a_row(balance):
    lengths = np.random.default_rng(0).integers(4, 60, 50)
    starts, (num_rows, columns) = pack(lengths, balance)
    sequences = sequences_of(lengths)
    rows = Rows.of(sequences, starts, (num_rows, columns))
    assert (rows.positions >= 0).sum() == lengths.sum()  # none lies on another
    for start, speech, sequence in zip(starts, rows.speech_starts, sequences):
        row, column = divmod(start, columns)
        place = slice(column, column + len(sequence))
        assert rows.ids[row, place].tolist() == sequence.tolist()
        assert rows.positions[row, place].tolist() == list(range(len(sequence))) and speech == start + 1
    if balance == math.inf:
        assert num_rows == 1 and columns == lengths.sum()


@pytest.mark.parametrize("balance", [10, 500, 8000])
def test_packed_rows_are_never_dearer_than_padded_ones(balance):
    """In places, and in places weighted by the width that attention has to go through."""
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 80):
        lengths = rng.integers(20, 90, size)
        costs = [k * w * (1 + w / balance) for k, w in (pack(lengths, balance)[1], pad(lengths)[1])]
        assert costs[0] <= costs[1]
        if size == 80 and balance == 8000:
            assert costs[0] < 0.7 * costs[1] and 1 - lengths.sum() / np.prod(pack(lengths, balance)[1]) < 0.04


@pytest.mark.parametrize("left", [False, True])
def test_padded_rows(left):
    rows = Rows.of(sequences_of([4, 6]), *pad(np.array([4, 6]), left))
    short = [1, -1, -1, 1]
    assert rows.ids.tolist() == [[0, 0, *short] if left else [*short, 0, 0], [2, -1, -1, 2, 2, 2]]
    assert (rows.positions >= 0).tolist() == (rows.ids != 0).tolist()
    assert rows.starts.tolist() == [2 * left, 6] and rows.speech_starts.tolist() == [2 * left + 1, 7]


def test_spans():
    assert spans(np.array([3, 10, 0]), np.array([2, 1, 3])).tolist() == [3, 4, 10, 0, 1, 2]
