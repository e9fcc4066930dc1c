"""Ends a transcript that repeats itself again and again while it is being written.

R rows (utterances x beams), L tokens written so far, V vocabulary.
"""

from typing import List, NamedTuple, Sequence

import torch
from transformers import LogitsProcessor

from espnet_llmasr.text.loops import MAX_UNIT

MIN_REPEATS = 6  # "no no no no no" is speech, and so are five equal digits of three tokens each
MIN_LENGTH = 18  # tokens; twelve equal digits of a token each are still written
NEEDED = tuple(unit * max(MIN_REPEATS, -(-MIN_LENGTH // unit)) for unit in range(1, MAX_UNIT + 1))
"""Tokens that must have been repeated for a piece of 1, 2, ... tokens to be a loop."""


class Tail(NamedTuple):
    """The last `unit` tokens stand `repeats` times in a row at the end of a sequence."""

    unit: int
    repeats: int

    def cut(self, ids: List[int], copies: int = 1) -> List[int]:
        """The sequence with only so many copies left."""
        return ids[: len(ids) - self.unit * (self.repeats - copies)]


class LoopStop(LogitsProcessor):
    """Lets a row whose tail is a loop only end, for the price that the LLM itself asks for that.

    Other beams of the utterance go on, so that one without a loop may still win. Nothing else changes a score.
    """

    def __init__(self, end_id: int):
        self.end_id = end_id

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids (R, L), scores (R, V)."""
        looping = in_loop(input_ids)
        if not looping.any():
            return scores
        only_end = torch.full_like(scores, float("-inf"))
        only_end[:, self.end_id] = scores[:, self.end_id]
        return torch.where(looping[:, None], only_end, scores)


def in_loop(ids: torch.Tensor) -> torch.Tensor:
    """ids (R, L) -> (R,): True where a piece of up to MAX_UNIT tokens fills the tail at least MIN_REPEATS times."""
    looping = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    possible = sum(needed <= ids.size(1) for needed in NEEDED)
    if not possible:
        return looping
    recurs = (ids[:, -possible - 1 : -1] == ids[:, -1:]).any(0).flip(0)  # the last token stood `unit` tokens before
    for unit in (recurs.nonzero().flatten() + 1).tolist():
        tail = ids[:, -NEEDED[unit - 1] :]
        looping |= (tail[:, unit:] == tail[:, :-unit]).all(1)
    return looping


def find_tail(ids: Sequence[int]) -> Tail:
    """The loop of the shortest unit at the end of a sequence, by the rule of `in_loop`; Tail(0, 0) if there is none."""
    for unit, needed in enumerate(NEEDED, 1):
        same = 0
        while same < len(ids) - unit and ids[-1 - same] == ids[-1 - same - unit]:
            same += 1
        if same + unit >= needed:
            return Tail(unit, (same + unit) // unit)
    return Tail(0, 0)
