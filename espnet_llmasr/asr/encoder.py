"""What an encoder must offer. Nothing else in the package knows by how much an encoder shortens time.

Shapes: B batch, T feature frames, F feature bins, S encoder frames, D encoder width.
"""

from abc import ABC, abstractmethod
from typing import List, Optional, Tuple

from torch import Tensor
from torch.compiler import is_exporting

from espnet_llmasr.asr.blocks import blocks_of
from espnet_llmasr.asr.modules import Lengths, on_host, outputs_of, too_short, valid_frames
from espnet_llmasr.audio import Windows
from espnet_llmasr.espnet_versions import base_class


class Encoder(base_class("espnet2.asr.encoder.abs_encoder.AbsEncoder"), ABC):
    """(B, T, F) features -> (B, S, D) frames.

    A subclass takes `input_size` (F) and its own options, sets `windows`, and writes the abstract methods. One whose blocks
    `blocks_of` does not find (asr/blocks.py) also writes `num_layers` and `forward_layers`.

    Attributes:
        windows: encoder frame s depends on the feature frames [s * shift, s * shift + size) before the layers mix
            frames. An utterance of T frames has windows.count(T) encoder frames, whatever its batch mates.
        needs_frontend: the name of the only frontend whose features it reads; None: any that makes spectra.
        flops_known: asr/flops.py counts it right, which knows Conv2d before the blocks and no other shortening of time.
    """

    windows: Windows
    needs_frontend: Optional[str] = None
    flops_known = True

    @property
    def num_layers(self) -> int:
        """The number of layers that `forward_layers` returns."""
        return max(1, len(blocks_of(self)))

    @abstractmethod
    def output_size(self) -> int:
        """D."""

    @abstractmethod
    def forward(
        self, xs_pad: Tensor, ilens: Lengths, prev_states: Optional[Tensor] = None
    ) -> Tuple[Tensor, Lengths, None]:
        """(B, T, F), (B,) -> frames (B, S, D) that are zero beyond each length, lengths (B,), None.

        Lengths come as an array from our models, as a tensor from stock ESPnet, and are returned in the same form.
        `valid_frames`, `on_host` and `on_device` (asr/modules.py) take both.

        Raises ValueError for an utterance of fewer than `min_frames` frames.
        """

    def forward_layers(self, xs_pad: Tensor, ilens: Lengths) -> List[Tensor]:
        """As `forward`, but the output (B, S, D) of every layer, the first layer first; the last is forward's."""
        olens = self.output_lengths(ilens)  # before the hooks are there, since it may measure `windows`
        with outputs_of(blocks_of(self)[:-1]) as layers:
            frames, _, _ = self(xs_pad, ilens)
        valid = valid_frames(olens, frames)
        return [layer.masked_fill(~valid[..., None], 0.0) for layer in layers] + [frames]

    @property
    def min_frames(self) -> int:
        """The feature frames that an utterance must have."""
        return self.windows.size

    def output_lengths(self, frame_lengths):
        """Encoder frames for numbers of feature frames (int, array or tensor); 0 below `min_frames`."""
        return self.windows.count(frame_lengths)

    def frame_rate_hz(self, feature_rate_hz: float) -> float:
        """Encoder frames per second for features of so many frames per second (100 for a shift of 10 ms)."""
        return feature_rate_hz / self.windows.shift

    def longest(self, ilens: Lengths) -> int:
        """The longest of the lengths (B,).

        Raises:
            ValueError: an utterance is too short; it is also ESPnet's TooShortUttError.
        """
        lengths = on_host(ilens).tolist()
        shortest, longest = min(lengths), max(lengths)
        if shortest < self.min_frames:
            message = (
                f"an utterance has {shortest} feature frames, the encoder needs at least {self.min_frames}: "
                "drop shorter utterances in data preparation"
            )
            raise too_short(message, shortest, self.min_frames)
        return longest

    def trimmed(self, xs_pad: Tensor, ilens: Lengths) -> Tensor:
        """(B, T, F), (B,) -> the features up to the longest length, zero beyond each. Raises as `longest`."""
        feats = xs_pad if is_exporting() else xs_pad[:, : self.longest(ilens)]  # an exported graph has no lengths yet
        return feats.masked_fill(~valid_frames(ilens, feats)[..., None], 0.0)

    def valid_outputs(self, feats: Tensor, ilens: Lengths) -> Tensor:
        """(B, S), which encoder frames of trimmed features (B, T, F) with lengths (B,) exist."""
        return valid_frames(self.output_lengths(ilens), feats[:, : self.output_lengths(feats.size(1))])
