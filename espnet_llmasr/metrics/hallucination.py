"""Hallucination rate (section 4.3 of arXiv 2604.08003) with its confidence interval."""

import math
from typing import Sequence, Tuple

from rapidfuzz.distance import Levenshtein

LENGTH_RATIO = 1.5


def is_hallucination(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """True when the hypothesis has over 1.5 times the reference's tokens and is entirely unrelated to it.

    The paper leaves "entirely unrelated" open; here it means that an alignment of minimum edit distance has no correct
    token, which for a longer hypothesis is the same as a distance equal to its length. Any words at all for an empty
    reference count.
    """
    if len(hypothesis) <= LENGTH_RATIO * len(reference):
        return False
    return Levenshtein.distance(list(reference), list(hypothesis)) == len(hypothesis)


def wilson_interval(hits: int, total: int, z: float = 1.959964) -> Tuple[float, float]:
    """Wilson score interval of the rate hits / total (95 % by default); (0, 1) when nothing was observed."""
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} hits of {total}: hits must lie between 0 and the total")
    if total == 0:
        return 0.0, 1.0
    rate, spread = hits / total, z * z / total
    middle = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / total + spread / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)
