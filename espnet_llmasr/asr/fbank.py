"""Kaldi's log-mel filterbank in batched torch, equal to kaldi_native_fbank with dither off.

Povey window, snip_edges, pre-emphasis 0.97, DC removed per window, power spectrum of the next power of two, triangles
equally spaced in mel from 20 Hz to Nyquist, samples on the int16 scale as FireRedASR and Kaldi have them.

Shapes: B batch, N samples, T windows, W samples per window, M mel bins.
"""

import io
import math
from typing import Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.asr.modules import Lengths, valid_frames
from espnet_llmasr.audio import Windows
from espnet_llmasr.files import DAMAGED_NPZ, PathLike, check_file, write_atomically

INT16_SCALE = 32768.0
PREEMPHASIS = 0.97
LOW_HZ = 20.0
ENERGY_FLOOR = torch.finfo(torch.float32).eps


class KaldiFbank(Frontend):
    """Waveforms (B, N) in [-1, 1] -> log-mel energies (B, T, n_mels), zero beyond each length. No parameters."""

    def __init__(
        self, fs: Union[int, str] = 16000, n_mels: int = 80, frame_length_ms: float = 25, frame_shift_ms: float = 10
    ):
        super().__init__(fs)
        self.n_mels = n_mels
        self.windows = Windows.of_features(self.fs, frame_length_ms, frame_shift_ms)
        self.fft_size = 1 << (self.windows.size - 1).bit_length()
        self.register_buffer("window", povey_window(self.windows.size), persistent=False)
        self.register_buffer("mel", mel_triangles(self.fs, self.fft_size, n_mels), persistent=False)

    def output_size(self) -> int:
        return self.n_mels

    @property
    def products(self) -> int:
        return self.mel.numel()

    def features(self, waveform: Tensor, lengths: Lengths) -> Tensor:
        rows = [waveform] if waveform.is_cuda else waveform.split(1)  # one row fits into the cache: twice as fast
        return torch.cat([self._log_mel(row.double()).float() for row in rows])

    def _log_mel(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B, T, M), in float64: a single-precision spectrum is off by 1e-2 some 100 dB below its peak."""
        frames = waveform.unfold(1, self.windows.size, self.windows.shift) * INT16_SCALE
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = F.pad(frames, (1, 0), mode="replicate")[..., :-1]
        frames = (frames - PREEMPHASIS * before) * self.window.double()
        power = torch.fft.rfft(frames, n=self.fft_size).abs().square()
        return (power[..., :-1] @ self.mel.double()).clamp(min=ENERGY_FLOOR).log()


def povey_window(size: int) -> Tensor:
    """A Hann window to the power 0.85: (size,)."""
    return torch.hann_window(size, periodic=False, dtype=torch.float64).pow(0.85).float()


def mel_triangles(rate: int, fft_size: int, n_mels: int) -> Tensor:
    """Weights (fft_size / 2, n_mels): triangles in mel, their corners equally spaced from 20 Hz to Nyquist.

    The Nyquist bin itself has no weight in Kaldi and is left out.
    """
    hertz = torch.arange(fft_size // 2, dtype=torch.float64) * rate / fft_size
    # transformers' from_pretrained hides linspace from `with torch.device(...)`, hence the device is named
    corner = torch.linspace(_mel(LOW_HZ), _mel(rate / 2), n_mels + 2, dtype=torch.float64, device=hertz.device)
    mel = (1127.0 * (1.0 + hertz / 700.0).log())[:, None]
    left, centre, right = corner[:-2], corner[1:-1], corner[2:]
    triangle = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre))
    return triangle.clamp(min=0.0).float()


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)


class FeatureMVN(nn.Module):
    """Normalises features by mean and variance, in the arithmetic of ESPnet's `global_mvn`.

    Raises ValueError, with the name of the file, for statistics that are missing or damaged.
    """

    def __init__(self, stats_file: PathLike, norm_means: bool = True, norm_vars: bool = True, eps: float = 1.0e-20):
        super().__init__()
        self.norm_means, self.norm_vars = norm_means, norm_vars
        count, first, second = read_statistics(stats_file)
        mean = first / count
        std = np.sqrt(np.maximum(second / count - mean * mean, eps))
        self.register_buffer("mean", torch.from_numpy(mean).float())
        self.register_buffer("std", torch.from_numpy(std).float())

    def forward(self, x: Tensor, ilens: Lengths) -> Tuple[Tensor, Lengths]:
        """x (B, T, F), lengths (B,) -> (B, T, F) that is zero beyond each length, lengths."""
        x = x - self.mean if self.norm_means else x
        x = x.masked_fill(~valid_frames(ilens, x)[..., None], 0.0)
        return (x / self.std if self.norm_vars else x), ilens


def write_statistics(path: PathLike, count: float, first: np.ndarray, second: np.ndarray) -> None:
    """Writes feats_stats.npz in ESPnet's form: frames, sums (n_mels,) and sums of squares (n_mels,) of the features."""
    buffer = io.BytesIO()
    np.savez(buffer, count=count, sum=first, sum_square=second)
    write_atomically(path, buffer.getvalue())


def read_statistics(path: PathLike) -> Tuple[float, np.ndarray, np.ndarray]:
    """Frames, sums (n_mels,) and sums of squares (n_mels,) of a feats_stats.npz (bin.compute_stats).

    Raises ValueError if it is missing or damaged.
    """
    check_file(path)
    advice = "make it again (stage 3, bin.compute_stats)"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            count, first, second = (np.asarray(arrays[name]) for name in ("count", "sum", "sum_square"))
        whole = np.isfinite(first).all() and np.isfinite(second).all() and float(count) > 0
    except DAMAGED_NPZ as error:
        raise ValueError(f"{path} holds no statistics of features ({type(error).__name__}): {advice}") from error
    if not whole or first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"{path} has no finite sums of a positive number of frames: {advice}")
    return count, first, second
