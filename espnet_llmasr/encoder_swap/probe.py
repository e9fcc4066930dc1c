"""Measures the encoders of one pretraining on a fixed set: CKA between two of them, NSE, CTC peakiness.

L encoder frames of an utterance, D encoder width, V tokens.
"""

from copy import deepcopy
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.asr import cr_ctc
from espnet_llmasr.encoder_swap.store import State
from espnet_llmasr.train.fixed_set import FixedSet, Layers, ProbeResult
from espnet_llmasr.train.speech_batches import SpeechSet

REFERENCE_BYTES = 12 << 30  # 500 utterances of 11 s at the paper's size: 16 blocks x 1,280 values, 25 frames a second


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
    def measure(self, encoder: State, head: Optional[State], reference: Optional["Reference"]) -> ProbeResult:
        """All numbers of one encoder by one forward pass (and the first time one of the reference, if any)."""
        self.encoder.load_state_dict(encoder)
        if head:
            self.head.load_state_dict(head)
        sums = []
        each = (lambda output: sums.append(self._peakiness(output))) if head else (lambda output: None)
        result = self.compare(self.encoder, reference and reference.utterances(), each)
        if head:
            frames, blank, peak = torch.tensor(sums, dtype=torch.float64).sum(0).tolist()
            result.values |= {"blank": blank / frames, "peak": peak / frames}
        return result

    def _peakiness(self, frames: Tensor) -> Tuple[float, float, float]:
        """(L, D) -> the number of frames, and sums over them of blank share and peak probability."""
        log_probs, length = self.head(frames[None]), torch.tensor([len(frames)], device=frames.device)
        blank, peak = (f(log_probs, length) for f in (cr_ctc.blank_share, cr_ctc.mean_peak_probability))
        return len(frames), float(blank) * len(frames), float(peak) * len(frames)


class Reference:
    """The encoder with which others are compared.

    Its layers stay in the memory of the CPU after their first use, so that a check runs one encoder instead of two.
    All blocks are logged, not only the last: too many for a GPU beside a training. Above `REFERENCE_BYTES` they are
    computed at every check. The numbers are the same.
    """

    def __init__(self, probe: EncoderProbe, state: State):
        self.probe, self.encoder = probe, probe.encoder_of(state)
        self.fits = probe.num_bytes(self.encoder) <= REFERENCE_BYTES
        self.kept: List[Layers] = []

    def utterances(self) -> Iterator[Layers]:
        """The layers of every utterance."""
        if self.kept:
            device = self.probe.feats[0][0].device
            yield from ([layer.to(device) for layer in layers] for layers in self.kept)
            return
        kept = []
        for layers in self.probe.utterances(self.encoder):
            if self.fits:
                kept.append([layer.to("cpu", copy=True) for layer in layers])  # not a view of its whole batch
            yield layers
        if self.fits:  # complete: a check may have been interrupted
            self.kept, self.encoder = kept, None


def build_probe(model: nn.Module, data_dir: Path, max_frames: int, device: str = "cpu") -> EncoderProbe:
    """The validation subset in `data_dir`, with the architecture of `model`; at most `max_frames` padded a batch."""
    batches = SpeechSet(data_dir).batches(max_frames, model.frontend.fs)
    return EncoderProbe(model.to(device), ((speech.to(device), lengths.to(device)) for _, speech, lengths in batches))
