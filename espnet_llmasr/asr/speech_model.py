"""Base of the two models: waveform -> features -> encoder frames; frozen parts stay in eval mode.

B batch, N samples, T feature frames, F feature bins, S encoder frames, D encoder width.
"""

from typing import Dict, Optional, Tuple

import numpy as np
import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import Tensor, nn

from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.asr.modules import Lengths, extract_features, is_frozen, on_device


class SpeechModel(AbsESPnetModel):
    """A subclass adds the parts behind the encoder and `forward`.

    Args:
        components: the four attributes below by name, in this order (it is the order in a checkpoint).
    """

    frontend: Frontend
    specaug: Optional[nn.Module]
    normalize: Optional[nn.Module]
    encoder: Encoder

    def __init__(self, components: Dict[str, Optional[nn.Module]]):
        super().__init__()
        for name, component in components.items():
            setattr(self, name, component)

    def train(self, mode: bool = True):
        """As nn.Module.train, but frozen parts stay in eval mode (ESPnet would leave their dropout on)."""
        super().train(mode)
        for part in self.children():
            if is_frozen(part):
                part.eval()
        return self

    def extract_features(self, speech: Tensor, speech_lengths: Lengths) -> Tuple[Tensor, np.ndarray]:
        """speech (B, N) -> normalised features (B, T, F) and their lengths (B,)."""
        return extract_features(speech, speech_lengths, self.frontend, self.normalize)

    def encode_features(self, feats: Tensor, lengths: np.ndarray) -> Tuple[Tensor, np.ndarray]:
        """(B, T, F) -> encoder frames (B, S, D) and their lengths (B,); without gradient if the encoder is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_frozen(self.encoder)):
            frames, lengths, _ = self.encoder(feats, lengths)
        return frames, lengths

    def collect_feats(self, speech: Tensor, speech_lengths: Lengths, **kwargs) -> Dict[str, Tensor]:
        """Unnormalised features, for ESPnet's collect_stats."""
        feats, lengths = extract_features(speech, speech_lengths, self.frontend, None)
        return {"feats": feats, "feats_lengths": on_device(lengths, feats.device)}
