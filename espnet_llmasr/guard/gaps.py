"""Stretches of audio on which a transcript and the CTC head disagree: labels unwritten, or labels unheard.

S encoder frames, V tokens (token 0 is blank).
"""

from itertools import groupby
from typing import Iterator, List, NamedTuple, Sequence, Tuple

import torch

from espnet_llmasr.asr.cr_ctc import BLANK

UNWRITTEN, UNHEARD = "unwritten", "unheard"
LABEL_EVIDENCE = 10.0  # nats; a label counts at most so much, so that one sharp error of the head is no gap
AGREEMENT = LABEL_EVIDENCE / 2  # nats that an agreeing label takes from a stretch: two of them end one wrong label


class Gap(NamedTuple):
    """A stretch of audio, in seconds, on which the transcript and the CTC head disagree.

    `kind` is "unwritten" (the head hears labels that the transcript lacks) or "unheard" (the transcript has words that
    the head does not hear).
    """

    start_s: float
    end_s: float
    kind: str


class Run(NamedTuple):
    """Frames [start, end) of a label; `evidence` in nats is positive if transcript and head disagree on it."""

    start: int
    end: int
    evidence: float


class Stretch(NamedTuple):
    """Frames [start, end) with the total evidence of a disagreement, in nats."""

    start: int
    end: int
    evidence: float
    kind: str


def find_stretches(log_probs: torch.Tensor, path: torch.Tensor) -> List[Stretch]:
    """All stretches of disagreement between log_probs (S, V) and the path (S,) of a transcript, in order of time.

    A greedy label whose frames are all blank on the path is unwritten; a label of the path that is greedy in none of
    its frames is unheard. The evidence of a label is a difference of log-probabilities between its greedy token and the
    path's: the greatest of an unwritten label, the least of an unheard one. A stretch has the greatest sum of evidence
    (`heaviest`), so errors of single labels neither end a stretch nor make one.
    """
    best = log_probs.argmax(1)
    losses = log_probs.amax(1) - log_probs.gather(1, path.long()[:, None])[:, 0]
    tokens, spoken, costs = path.tolist(), best.tolist(), losses.tolist()
    kinds = ((UNWRITTEN, _unwritten(tokens, spoken, costs)), (UNHEARD, _unheard(tokens, costs)))
    stretches = [Stretch(*found, kind) for kind, runs in kinds for found in heaviest(list(runs))]
    return sorted(stretches)


def heaviest(runs: Sequence[Run]) -> List[Tuple[int, int, float]]:
    """(start, end, evidence) of the stretch of runs with the greatest sum (Kadane), then of those beside it."""
    top, total, begin, chosen = 0.0, 0.0, 0, None
    for number, run in enumerate(runs):
        if total <= 0.0:
            total, begin = 0.0, number
        total += run.evidence
        if total > top:
            top, chosen = total, (begin, number + 1)
    if chosen is None:
        return []
    first, last = chosen
    found = (runs[first].start, runs[last - 1].end, top)
    return [*heaviest(runs[:first]), found, *heaviest(runs[last:])]


def _label_runs(tokens: Sequence[int]) -> Iterator[Tuple[int, int, int]]:
    """(token, start, end) of each run of equal tokens that is not blank."""
    end = 0
    for token, frames in groupby(tokens):
        start, end = end, end + len(list(frames))
        if token != BLANK:
            yield token, start, end


def _unwritten(path: Sequence[int], spoken: Sequence[int], costs: Sequence[float]) -> Iterator[Run]:
    """The greedy labels; one at which the path has another label is wrong, not missing, and counts nothing."""
    for token, start, end in _label_runs(spoken):
        written = set(path[start:end])
        if token in written:
            evidence = -AGREEMENT
        else:
            evidence = min(LABEL_EVIDENCE, max(costs[start:end])) if written == {BLANK} else 0.0
        yield Run(start, end, evidence)


def _unheard(path: Sequence[int], costs: Sequence[float]) -> Iterator[Run]:
    """The labels of the path; the cost is 0 where the path's token is the greedy one."""
    for _, start, end in _label_runs(path):
        least = min(costs[start:end])
        yield Run(start, end, min(LABEL_EVIDENCE, least) if least > 0.0 else -AGREEMENT)
