"""What a frontend must offer, and the frontend that passes the waveform on.

Shapes: B batch, N samples, T feature frames, F values of a frame.
"""

from abc import ABC, abstractmethod
from typing import Tuple, Union

import humanfriendly
import torch
from torch import Tensor

from espnet_llmasr.asr.modules import Lengths, on_host, too_short, valid_frames
from espnet_llmasr.audio import Windows
from espnet_llmasr.espnet_versions import base_class


def parse_rate(fs: Union[int, str]) -> int:
    """Sampling rate in Hz from 16000, "16000" or "16k"."""
    try:
        rate = humanfriendly.parse_size(str(fs))
    except humanfriendly.InvalidSize:
        rate = 0
    if rate < 1000:
        raise ValueError(f"sampling rate {fs!r} is not usable: give Hz, such as 16000 or 16k")
    return rate


class Frontend(base_class("espnet2.asr.frontend.abs_frontend.AbsFrontend"), ABC):
    """Waveforms (B, N) in [-1, 1] -> features (B, T, F), zero beyond each length; fp32, no parameters, no gradient.

    A subclass takes `fs` and its own options, calls `super().__init__(fs)`, sets `windows`, and writes `features` and
    `output_size`.

    Attributes:
        fs: sampling rate in Hz.
        windows: an utterance of N samples has windows.count(N) frames, whatever its batch mates.
        is_spectral: frames are spectra, which SpecAugment, time warp and global_mvn may change.
        has_own_scale: frames are already scaled as their encoder was trained, so that global_mvn would harm.
        products: multiplications per frame that asr/flops.py counts.
    """

    windows: Windows
    is_spectral = True
    has_own_scale = False
    products = 0

    def __init__(self, fs: Union[int, str]):
        super().__init__()
        self.fs = parse_rate(fs)

    @abstractmethod
    def features(self, waveform: Tensor, lengths: Lengths) -> Tensor:
        """(B, N), zero beyond each of the lengths (B,) -> (B, T, F); frames beyond a length may be anything."""

    @abstractmethod
    def output_size(self) -> int:
        """F."""

    @property
    def min_samples(self) -> int:
        """The samples that an utterance must have."""
        return max(self.windows.size, 1)

    def frame_lengths(self, num_samples):
        """Feature frames of so many samples (int, array or tensor)."""
        return self.windows.count(num_samples)

    @torch.no_grad()
    def forward(self, input: Tensor, input_lengths: Lengths) -> Tuple[Tensor, Lengths]:
        """(B, N), (B,) -> (B, T, F) also under autocast, (B,). ValueError (`too_short`) for too short an utterance."""
        if input.dim() != 2:
            raise ValueError(f"got a waveform batch of shape {tuple(input.shape)}, need (batch, samples): mix to mono")
        lengths = on_host(input_lengths).tolist()
        shortest, longest = min(lengths), max(lengths)
        if shortest < self.min_samples:
            message = (
                f"an utterance has {shortest} samples, one window of {type(self).__name__} at {self.fs} Hz needs "
                f"{self.min_samples}: drop shorter utterances in data preparation"
            )
            raise too_short(message, shortest, self.min_samples)
        waveform, frame_lengths = input[:, :longest].float(), self.frame_lengths(input_lengths)
        waveform = waveform.masked_fill(~valid_frames(input_lengths, waveform), 0.0)
        with torch.autocast(input.device.type, enabled=False):
            feats = self.features(waveform, input_lengths)
        return feats.masked_fill(~valid_frames(frame_lengths, feats)[..., None], 0.0), frame_lengths


class Waveform(Frontend):
    """The samples themselves in frames of 10 ms, for encoders with a frontend of their own: (B, N) -> (B, T, fs / 100).

    Samples of the last 10 ms that fill no frame are cut off.
    """

    is_spectral, has_own_scale = False, True

    def __init__(self, fs: Union[int, str] = 16000):
        super().__init__(fs)
        self.windows = Windows(self.fs // 100, self.fs // 100)

    def output_size(self) -> int:
        return self.windows.size

    def features(self, waveform: Tensor, lengths: Lengths) -> Tensor:
        return waveform.unfold(1, self.windows.size, self.windows.shift)
