"""Waveform to normalised features, the same for both models.  B batch, N samples, T feature frames."""

from typing import Optional, Tuple

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.layers.abs_normalize import AbsNormalize


def extract_features(
    speech: torch.Tensor, speech_lengths: torch.Tensor, frontend: AbsFrontend, normalize: Optional[AbsNormalize]
) -> Tuple[torch.Tensor, torch.Tensor]:
    """speech (B, N) in [-1, 1] -> features (B, T, 80) and lengths (B,), fp32 under autocast, no gradient."""
    with torch.no_grad(), torch.autocast(speech.device.type, enabled=False):
        feats, lengths = frontend(speech[:, : int(speech_lengths.max())].float(), speech_lengths)
        if normalize is not None:
            feats, lengths = normalize(feats, lengths)
    return feats, lengths
