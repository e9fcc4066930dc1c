"""The metrics of a speech encoder by name. All measurements, logs, figures and reports follow these tables.

A new metric is a function and a line in one of the two tables.  L valid frames of an utterance, D encoder width,
B utterances, V phones, E width of the text embeddings, k principal components.
"""

from collections import ChainMap
from dataclasses import dataclass
from typing import Callable, Dict

import torch
from torch import Tensor

from espnet_llmasr.metrics.accessible_information import Array, EstimatorConfig, csai, pai, projected
from espnet_llmasr.metrics.spectral_entropy import nse


@dataclass(frozen=True)
class EncoderMetric:
    """A function with the name and the unit that figures and tables print."""

    function: Callable
    name: str
    unit: str = ""

    @property
    def label(self) -> str:
        """Such as "PAI (bits)"."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


UTTERANCE_METRICS = {  # frames (L, D) of one utterance -> scalar; the mean over utterances is reported
    "nse": EncoderMetric(nse, "NSE"),
}
SET_METRICS = {  # projected encoder outputs, phones and meaning, each (B, k), and the ridge -> float
    "pai": EncoderMetric(pai, "PAI", "bits"),
    "csai": EncoderMetric(csai, "CSAI", "bits"),
}
METRICS = ChainMap(SET_METRICS, UTTERANCE_METRICS)  # a live view; a ChainMap iterates over its last table first


def utterance_metrics(frames: Array) -> Dict[str, float]:
    """All metrics of the valid frames (L, D) of one utterance."""
    return {name: float(metric.function(frames)) for name, metric in UTTERANCE_METRICS.items()}


def set_metrics(
    u: Array, phonetic: Array, semantic: Array, config: EstimatorConfig = EstimatorConfig()
) -> Dict[str, float]:
    """All metrics of an evaluation set.

    Args:
        u: (B, 2D) pooled encoder outputs, rows as `pool` gives them.
        phonetic: (B, V) counts of phones, each row divided by its sum by the caller.
        semantic: (B, E) text embeddings of the last token, each row of L2 norm 1 by the caller.

    Raises ValueError for differing or too few utterances, too many components, NaN, a singular covariance.
    """
    return _of_projections(*projected(u, phonetic, semantic, config), config.ridge)


def permutation_baseline(
    u: Array,
    phonetic: Array,
    semantic: Array,
    config: EstimatorConfig = EstimatorConfig(),
    num_permutations: int = 20,
    seed: int = 0,
) -> Dict[str, float]:
    """Every metric of the set with the utterances of u permuted: the estimator's bias, since nothing is left to find.

    The mean over permutations is under the metric's name, the standard deviation under <name>_std.
    Arguments and errors as of `set_metrics`; at least one permutation.
    """
    if num_permutations < 1:
        raise ValueError(f"num_permutations is {num_permutations}, allowed is 1 or more")
    u, phonetic, semantic = projected(u, phonetic, semantic, config)
    generator = torch.Generator().manual_seed(seed)
    orders = (torch.randperm(len(u), generator=generator).to(u.device) for _ in range(num_permutations))
    draws = [_of_projections(u[order], phonetic, semantic, config.ridge) for order in orders]
    columns = {name: torch.tensor([draw[name] for draw in draws]) for name in SET_METRICS}
    means = {name: float(column.mean()) for name, column in columns.items()}
    return means | {f"{name}_std": float(column.std(correction=0)) for name, column in columns.items()}


def _of_projections(u: Tensor, phonetic: Tensor, semantic: Tensor, ridge: float) -> Dict[str, float]:
    return {name: metric.function(u, phonetic, semantic, ridge) for name, metric in SET_METRICS.items()}
