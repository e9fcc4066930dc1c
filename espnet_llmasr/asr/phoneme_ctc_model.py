"""Encoder and CTC head as an ESPnet model: phoneme CR-CTC pretraining (paper section 3.4).

B batch, N samples, T feature frames, F feature bins, S encoder frames, V tokens, U labels.
"""

from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from espnet_llmasr.asr import cr_ctc
from espnet_llmasr.asr.modules import Lengths, on_device, on_host
from espnet_llmasr.asr.speech_model import SpeechModel


class PhonemeCTCModel(SpeechModel):
    """CR-CTC in training (two views), plain CTC in validation (one view), with the error rate of the greedy path.

    Args:
        cr_scale: weight of the consistency term against CTC; 0 trains plain CTC on one view.
        cr_warmup_batches: training batches over which the weight rises linearly.
        time_warp_factor: frames by which a point may move (80; AISHELL recipe 20); 0 switches the warp off.
    """

    def __init__(
        self,
        components: Dict[str, Optional[nn.Module]],
        ctc_head: nn.Module,
        cr_scale: float = 0.2,
        cr_warmup_batches: int = 2000,
        time_warp_factor: int = 80,
    ):
        super().__init__(components)
        self.ctc_head = ctc_head
        self.cr_scale, self.cr_warmup_batches, self.time_warp_factor = cr_scale, cr_warmup_batches, time_warp_factor
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))

    @property
    def num_views(self) -> int:
        """Views of each utterance in training."""
        return 2 if self.cr_scale else 1

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Lengths,
        phones: Lengths,
        phones_lengths: Lengths,
        **kwargs,
    ) -> Tuple[Tensor, Dict[str, Tensor], Tensor]:
        """speech (B, N), phones (B, U) with lengths (B,) -> mean loss per label, statistics, `num_targets`."""
        feats, lengths = self.extract_features(speech, speech_lengths)
        phones, phones_lengths = on_host(phones), on_host(phones_lengths)
        targets, weight = on_device(phones, feats.device), feats.new_full((), self.num_targets(phones_lengths))
        if self.training:
            ctc, consistency = self._train_losses(feats, lengths, targets, phones_lengths)
            loss = (ctc + consistency) / weight
            stats = {"loss": loss.detach(), "ctc": (ctc / weight).detach(), "cr": (consistency / weight).detach()}
        else:
            log_probs, frames = self.classify(feats, lengths)
            loss = cr_ctc.ctc_sum(log_probs, frames, targets, phones_lengths) / weight
            stats = {"loss": loss.detach(), **self._quality(log_probs, frames, phones, phones_lengths)}
        return force_gatherable((loss, stats, weight), loss.device)

    def num_targets(self, phones_lengths: Lengths, **batch) -> int:
        """The weight of a batch, before its forward pass: its labels; phones_lengths (B,) on the host.

        An utterance without labels (audio without speech) counts as one, so a batch of such has a mean, too.
        """
        return int(on_host(phones_lengths).clip(min=1).sum())

    def _train_losses(self, feats, lengths, phones, phones_lengths) -> Tuple[Tensor, Tensor]:
        """Summed CTC and weighted consistency loss: one warp, two differently masked views."""
        if self.time_warp_factor:  # before the views are made: both must have the same time axis to be compared
            feats = cr_ctc.time_warp(feats, lengths, self.time_warp_factor)
        feats, lengths = feats.repeat(self.num_views, 1, 1), np.tile(lengths, self.num_views)
        if self.specaug is not None:
            feats = self.specaug(feats, lengths)
        log_probs, frames = self.classify(feats, lengths)
        weight = cr_ctc.consistency_weight(self.num_batches, self.cr_warmup_batches, self.cr_scale)
        self.num_batches += 1
        if self.num_views == 1:
            ctc = cr_ctc.ctc_sum(log_probs, frames, phones, phones_lengths)
            return ctc, torch.zeros_like(ctc)
        return cr_ctc.cr_ctc_loss(log_probs, frames, phones, phones_lengths, weight)

    def classify(self, feats: Tensor, lengths: np.ndarray) -> Tuple[Tensor, np.ndarray]:
        """Normalised features (B, T, F) -> log-probabilities (B, S, V) in fp32 and frame lengths (B,)."""
        frames, lengths = self.encode_features(feats, lengths)
        return self.ctc_head(frames), lengths

    @torch.no_grad()
    def transcribe(self, speech: Tensor, speech_lengths: Lengths) -> List[List[int]]:
        """Greedy label ids of each utterance; speech (B, N)."""
        feats, lengths = self.extract_features(speech, speech_lengths)
        return cr_ctc.greedy(*self.classify(feats, lengths))

    @staticmethod
    def _quality(log_probs, frames, phones, phones_lengths) -> Dict[str, Tensor]:
        """Label error rate of the greedy path, blank share and mean peak probability."""
        references = [row[:n].tolist() for row, n in zip(phones, phones_lengths)]
        errors = sum(map(Levenshtein.distance, references, cr_ctc.greedy(log_probs, frames)))
        return {
            "per": log_probs.new_tensor(errors / int(phones_lengths.clip(min=1).sum())),
            "blank": cr_ctc.blank_share(log_probs, frames),
            "peak": cr_ctc.mean_peak_probability(log_probs, frames),
        }
