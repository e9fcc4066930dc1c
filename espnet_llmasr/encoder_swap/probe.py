"""Measures the encoders of one pretraining on a fixed set: CKA between two of them, NSE, CTC peakiness.

L encoder frames of an utterance, D encoder width, V tokens.
"""

from copy import deepcopy
from pathlib import Path
from typing import Iterable, Optional, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.asr import cr_ctc
from espnet_llmasr.encoder_swap.store import State
from espnet_llmasr.train.fixed_set import FixedSet, ProbeResult
from espnet_llmasr.train.speech_batches import SpeechSet


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
        """A new encoder with these weights."""
        encoder = deepcopy(self.encoder)
        encoder.load_state_dict(state)
        return encoder

    @torch.no_grad()
    def measure(self, encoder: State, head: Optional[State], reference: Optional[nn.Module]) -> ProbeResult:
        """All numbers of one encoder by one forward pass (and one of the reference, if any)."""
        self.encoder.load_state_dict(encoder)
        if head:
            self.head.load_state_dict(head)
        sums = []
        each = (lambda output: sums.append(self._peakiness(output))) if head else (lambda output: None)
        result = self.compare(self.encoder, reference, each)
        if head:
            frames, blank, peak = torch.tensor(sums, dtype=torch.float64).sum(0).tolist()
            result.values |= {"blank": blank / frames, "peak": peak / frames}
        return result

    def _peakiness(self, frames: Tensor) -> Tuple[float, float, float]:
        """(L, D) -> the number of frames, and sums over them of blank share and peak probability."""
        log_probs, length = self.head(frames[None]), torch.tensor([len(frames)])
        blank, peak = (f(log_probs, length) for f in (cr_ctc.blank_share, cr_ctc.mean_peak_probability))
        return len(frames), float(blank) * len(frames), float(peak) * len(frames)


def build_probe(model: nn.Module, data_dir: Path, max_frames: int) -> EncoderProbe:
    """The validation subset in `data_dir`, with the architecture of `model`; at most `max_frames` padded a batch."""
    return EncoderProbe(model, [batch[1:] for batch in SpeechSet(data_dir).batches(max_frames, model.frontend.fs)])
