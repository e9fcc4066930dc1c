"""The padded sizes of a batch, which decide what it costs."""

from typing import NamedTuple


class BatchShape(NamedTuple):
    """Whole numbers of one batch, or int64 arrays (N,) of N batches.

    rows: utterances. frames: feature frames of the longest. positions: of the longest sequence of the LLM, if any.
    """

    rows: int
    frames: int
    positions: int = 0
