"""Measures the encoders of one pretraining on a fixed set: CKA between two of them, NSE, CTC peakiness.

L encoder frames of an utterance, D encoder width, V tokens.
"""

from copy import deepcopy
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.asr import cr_ctc
from espnet_llmasr.encoder_swap.store import State
from espnet_llmasr.files import read_scp
from espnet_llmasr.metrics.cka import layer_cka
from espnet_llmasr.metrics.encoder_metrics import utterance_metrics
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.fixed_set import FixedSet
from espnet_llmasr.train.speech_batches import speech_batches


@dataclass
class ProbeResult:
    """CKA of every block to the reference (none without one), and the `values` of a CKACheck."""

    cka_layers: List[float]
    values: Dict[str, float]


class EncoderProbe(FixedSet):
    """The fixed set, and the architecture of the pretraining.

    Args:
        model: the pretraining's model (frontend, normalize, encoder, ctc_head).
        speech: the set as batches (speech (B, N), lengths (B,)).
    """

    def __init__(self, model: nn.Module, speech: Iterable[Tuple[Tensor, Tensor]]):
        super().__init__(speech, model.frontend, model.normalize)
        self.encoder, self.head = model.encoder.eval(), model.ctc_head.eval()

    def encoder_of(self, state: State) -> nn.Module:
        """An encoder of its own with these weights."""
        encoder = deepcopy(self.encoder)
        encoder.load_state_dict(state)
        return encoder

    @torch.no_grad()
    def measure(self, encoder: State, head: Optional[State], reference: Optional[nn.Module]) -> ProbeResult:
        """Everything of one encoder in one forward pass (and one of the reference, if there is one)."""
        self.encoder.load_state_dict(encoder)
        if head:
            self.head.load_state_dict(head)
        scores, rows, frames = [], [], []
        others = self.utterances(reference) if reference is not None else repeat(None)
        for layers, references in zip(self.utterances(self.encoder), others):
            scores += [] if references is None else [layer_cka(layers, references).tolist()]
            rows.append(utterance_metrics(layers[-1]))
            frames += [self._peakiness(layers[-1])] if head else []
        values = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        if head:
            total, blank, peak = torch.tensor(frames, dtype=torch.float64).sum(0).tolist()
            values |= {"blank": blank / total, "peak": peak / total}
        return ProbeResult(mean_layers(scores) if scores else [], values)

    def _peakiness(self, frames: Tensor) -> Tuple[float, float, float]:
        """(L, D) -> the number of frames, and sums over them of blank share and peak probability."""
        log_probs, length = self.head(frames[None]), torch.tensor([len(frames)])
        blank, peak = (f(log_probs, length) for f in (cr_ctc.blank_share, cr_ctc.mean_peak_probability))
        return len(frames), float(blank) * len(frames), float(peak) * len(frames)


def build_probe(model: nn.Module, data_dir: Path, max_frames: int) -> EncoderProbe:
    """The validation subset in `data_dir`, with the architecture of `model`; at most `max_frames` padded a batch."""
    wavs, frames = read_scp(data_dir / "wav.scp"), read_num_frames(data_dir / "utt2num_frames")
    return EncoderProbe(model, [batch[1:] for batch in speech_batches(wavs, frames, max_frames, model.frontend.fs)])


def mean_layers(scores: List[List[float]]) -> List[float]:
    """The mean over utterances."""
    return torch.tensor(scores).mean(0).tolist()
