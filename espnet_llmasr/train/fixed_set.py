"""A fixed set of utterances as features, so that every encoder measured on it sees the same input.

B batch, N samples, L encoder frames of an utterance, D encoder width.
"""

from typing import Iterable, Iterator, List, Optional, Tuple

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.layers.abs_normalize import AbsNormalize
from torch import Tensor, nn

from espnet_llmasr.asr.features import extract_features

Layers = List[Tensor]  # the output (L, D) of every block for one utterance


class FixedSet:
    """The features of the set, in memory.

    Args:
        speech: the set as batches (speech (B, N), lengths (B,)).
    """

    def __init__(
        self, speech: Iterable[Tuple[Tensor, Tensor]], frontend: AbsFrontend, normalize: Optional[AbsNormalize]
    ):
        with torch.no_grad():
            self.feats = [extract_features(*batch, frontend, normalize) for batch in speech]

    @torch.no_grad()
    def utterances(self, encoder: nn.Module) -> Iterator[Layers]:
        """The layers of every utterance, valid frames only; one batch is in memory at a time."""
        for feats, lengths in self.feats:
            outputs = encoder.forward_layers(feats, lengths)
            for row, length in enumerate(encoder.output_lengths(lengths).tolist()):
                yield [output[row, :length] for output in outputs]

    def num_frames(self, encoder: nn.Module) -> int:
        """Encoder frames in the whole set."""
        return sum(int(encoder.output_lengths(lengths).sum()) for _, lengths in self.feats)
