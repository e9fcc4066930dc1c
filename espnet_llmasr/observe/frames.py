"""The measured output of a speech encoder: the valid frames of every layer, for one utterance at a time.

One at a time, because a batch is padded, and padding changes the frames of many encoders (wav2vec 2.0's group norm,
ESPnet's convolutions).

N samples, L encoder frames, D encoder width, L' speech tokens, E LLM width.
"""

from typing import List, NamedTuple, Optional, Protocol

from torch import Tensor


class Frames(NamedTuple):
    """Valid frames of one utterance, on the encoder's device."""

    layers: List[Tensor]  # (L, D), in order; the last is the encoder's output, after a final layer norm if it has one
    adaptor: Optional[Tensor] = None  # (L', E), the speech tokens of the LLM; None without an adaptor


class SpeechEncoder(Protocol):
    """A frozen encoder in eval mode. `rate` is its sample rate in Hz."""

    rate: int

    def __call__(self, samples: Tensor) -> Frames:
        """samples (N,) float32 in [-1, 1] -> frames. Raises ValueError for audio that it cannot take."""
        ...
