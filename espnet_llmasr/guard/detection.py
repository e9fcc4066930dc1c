"""How well a confidence tells two groups of utterances apart."""

from typing import Dict, Sequence

import numpy as np
from scipy.stats import rankdata

from espnet_llmasr.metrics.intervals import wilson_interval


def area_under_roc(high: Sequence[float], low: Sequence[float]) -> float:
    """The probability that one of `high` lies above one of `low`, ties counting half (rank formula); nan if empty."""
    if not (len(high) and len(low)):
        return float("nan")
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def share_below(confidences: Sequence[float], threshold: float) -> Dict:
    """Count, number, rate and 95 % interval (Wilson) of the confidences below a threshold."""
    hits, total = int(np.sum(np.asarray(confidences) < threshold)), len(confidences)
    return {"hits": hits, "of": total, "rate": hits / total if total else None, "95 %": wilson_interval(hits, total)}
