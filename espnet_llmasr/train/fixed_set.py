"""A fixed set of utterances as features, so that every encoder measured on it sees the same input.

B batch, N samples, L encoder frames of an utterance, D encoder width.
"""

from dataclasses import dataclass
from itertools import repeat
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.asr.modules import extract_features
from espnet_llmasr.metrics.cka import layer_cka
from espnet_llmasr.metrics.encoder_metrics import utterance_metrics

Layers = List[Tensor]  # the output (L, D) of every block for one utterance


@dataclass
class ProbeResult:
    """Means over utterances: CKA of every block to the reference (none without one), metrics of the output by name."""

    cka_layers: List[float]
    values: Dict[str, float]


class FixedSet:
    """The features of the set, in memory.

    Args:
        speech: the set as batches (speech (B, N), lengths (B,)).
    """

    def __init__(self, speech: Iterable[Tuple[Tensor, Tensor]], frontend: nn.Module, normalize: Optional[nn.Module]):
        with torch.no_grad():
            self.feats = [extract_features(*batch, frontend, normalize) for batch in speech]

    @torch.no_grad()
    def utterances(self, encoder: nn.Module) -> Iterator[Layers]:
        """The layers of every utterance, valid frames only; one batch is in memory at a time."""
        for feats, lengths in self.feats:
            outputs = encoder.forward_layers(feats, lengths)
            for row, length in enumerate(encoder.output_lengths(lengths).tolist()):
                yield [output[row, :length] for output in outputs]

    @torch.no_grad()
    def compare(
        self,
        encoder: nn.Module,
        reference: Optional[Iterable[Layers]],
        each: Callable[[Tensor], None] = lambda output: None,
    ) -> ProbeResult:
        """One forward pass of the encoder; `each` is called with the output (L, D) of every utterance.

        Args:
            reference: the layers of another encoder for every utterance, read to their end.
        """
        scores, rows = [], []
        for references, layers in zip(repeat(None) if reference is None else reference, self.utterances(encoder)):
            if references is not None:
                scores.append(layer_cka(layers, references).tolist())
            rows.append(utterance_metrics(layers[-1]))
            each(layers[-1])
        values = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        return ProbeResult(mean_layers(scores) if scores else [], values)

    def num_frames(self, encoder: nn.Module) -> int:
        """Encoder frames in the whole set."""
        return sum(int(encoder.output_lengths(lengths).sum()) for _, lengths in self.feats)

    def num_bytes(self, encoder: nn.Module) -> int:
        """The memory that the layers of all utterances take in float32."""
        return 4 * self.num_frames(encoder) * encoder.num_layers * encoder.output_size()


def mean_layers(scores: List[List[float]]) -> List[float]:
    """The mean over utterances of each layer."""
    return torch.tensor(scores).mean(0).tolist()
