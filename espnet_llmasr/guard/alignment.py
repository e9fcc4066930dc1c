"""How well labels fit the output of a CTC head.  S frames, V tokens, U labels; token 0 is blank."""

import math
from typing import List, NamedTuple, Optional, Sequence

import torch
from torchaudio.functional import forced_align

from espnet_llmasr.asr.cr_ctc import BLANK
from espnet_llmasr.text.phonemes import min_frames


class Alignment(NamedTuple):
    """`path` (S,): the token of each frame on the best path through the labels.

    `losses` (S,): log-probability of the best token of each frame minus that of the path's token; 0 or more.
    """

    path: torch.Tensor
    losses: torch.Tensor


def align(log_probs: torch.Tensor, labels: Sequence[int]) -> Optional[Alignment]:
    """The most probable path (Viterbi) of log_probs (S, V) for `labels`; None if they need more frames."""
    if min_frames(labels) > len(log_probs):
        return None
    if labels:
        targets = torch.tensor([labels], dtype=torch.int32, device=log_probs.device)
        paths, scores = forced_align(log_probs[None], targets, blank=BLANK)
        path, score = paths[0], scores[0]
    else:
        score = log_probs[:, BLANK]
        path = torch.full_like(score, BLANK, dtype=torch.int32)
    return Alignment(path, log_probs.amax(1) - score)


def support(losses: torch.Tensor, num_labels: int) -> float:
    """exp(-sum of losses (S,) / labels), in [0, 1]: 1 on the best path of all."""
    return math.exp(-float(losses.double().sum()) / max(1, num_labels))


def starts(path: torch.Tensor) -> List[int]:
    """The first frame of each label of a path (S,)."""
    previous = torch.cat([path.new_full((1,), BLANK), path[:-1]])
    return ((path != BLANK) & (path != previous)).nonzero().flatten().tolist()


def ends(path: torch.Tensor) -> List[int]:
    """The frame after the last one of each label of a path (S,)."""
    following = torch.cat([path[1:], path.new_full((1,), BLANK)])
    return (((path != BLANK) & (path != following)).nonzero().flatten() + 1).tolist()
