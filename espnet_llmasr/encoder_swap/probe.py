"""What the encoders of one pretraining make of a fixed set of utterances: CKA between two of them, NSE, CTC peakiness.

L encoder frames of an utterance, D encoder width, V tokens.
"""

from copy import deepcopy
from dataclasses import dataclass
from itertools import repeat
from typing import Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.asr import cr_ctc
from espnet_llmasr.asr.features import extract_features
from espnet_llmasr.metrics.cka import linear_cka
from espnet_llmasr.metrics.spectral_entropy import nse
from espnet_llmasr.encoder_swap.run_dir import State

Layers = List[Tensor]  # the output (L, D) of every block for one utterance


@dataclass
class Found:
    """What a probe found: CKA of every block to the reference (none without one) and the values of `Check`."""

    cka_layers: List[float]
    nse: float
    blank: Optional[float]
    peak: Optional[float]


class Probe:
    """The fixed set as features, and the architecture.

    Args:
        model: the pretraining's model (frontend, normalize, encoder, ctc_head).
        speech: the set as batches (speech (B, N), lengths (B,)).
    """

    def __init__(self, model: nn.Module, speech: Iterable[Tuple[Tensor, Tensor]]):
        self.encoder, self.head = model.encoder.eval(), model.ctc_head.eval()
        with torch.no_grad():
            self.feats = [extract_features(*batch, model.frontend, model.normalize) for batch in speech]

    def encoder_of(self, state: State) -> nn.Module:
        """An encoder of its own with these weights."""
        encoder = deepcopy(self.encoder)
        encoder.load_state_dict(state)
        return encoder

    @torch.no_grad()
    def utterances(self, encoder: nn.Module) -> Iterator[Layers]:
        """Every utterance through the encoder, valid frames only; one batch is in memory at a time."""
        for feats, lengths in self.feats:
            outputs = encoder.forward_layers(feats, lengths)
            for row, length in enumerate(encoder.output_lengths(lengths).tolist()):
                yield [output[row, :length] for output in outputs]

    def num_frames(self) -> int:
        """Encoder frames in the whole set."""
        return sum(int(self.encoder.output_lengths(lengths).sum()) for _, lengths in self.feats)

    @torch.no_grad()
    def measure(self, encoder: State, head: Optional[State], reference: Optional[nn.Module]) -> Found:
        """Everything of one encoder in one forward pass (and one of the reference, if there is one)."""
        self.encoder.load_state_dict(encoder)
        if head:
            self.head.load_state_dict(head)
        scores, entropies, peakiness = [], [], []
        others = self.utterances(reference) if reference is not None else repeat([])
        for layers, references in zip(self.utterances(self.encoder), others):
            scores.append(layer_cka(layers, references))
            entropies.append(float(nse(layers[-1])))
            if head:
                peakiness.append(self._peakiness(layers[-1]))
        frames, blank, peak = torch.tensor(peakiness or [[1.0, 0.0, 0.0]], dtype=torch.float64).sum(0).tolist()
        per_frame = (blank / frames, peak / frames) if head else (None, None)
        return Found(mean_layers(scores), sum(entropies) / len(entropies), *per_frame)

    def _peakiness(self, frames: Tensor) -> Tuple[float, float, float]:
        """(L, D) -> the number of frames, and sums over them of blank share and peak probability."""
        log_probs, length = self.head(frames[None]), torch.tensor([len(frames)])
        blank, peak = (f(log_probs, length) for f in (cr_ctc.blank_share, cr_ctc.mean_peak_probability))
        return len(frames), float(blank) * len(frames), float(peak) * len(frames)


def layer_cka(layers: Layers, references: Layers) -> List[float]:
    """Linear CKA (Eq. 12) of each block's output for one utterance."""
    return [float(linear_cka(current, reference)) for current, reference in zip(layers, references)]


def mean_layers(scores: List[List[float]]) -> List[float]:
    """The mean over utterances."""
    return torch.tensor(scores).mean(0).tolist()
