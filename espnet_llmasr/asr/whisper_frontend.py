"""Whisper's log-mel spectrogram (openai/whisper, as transformers' WhisperFeatureExtractor) of utterances of any length.

The features of an utterance are the first ones of those that Whisper's extractor makes of it with silence up to 30 s.
"""

from typing import Union

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.asr.modules import Lengths, valid_frames
from espnet_llmasr.audio import Windows

N_FFT, HOP = 400, 160
FLOOR, RANGE = 1e-10, 8.0  # of the energy; of its logarithm (base 10) below the utterance's maximum


class WhisperFrontend(Frontend):
    """(B, N) at 16 kHz -> (B, T, n_mels) at 100 Hz. `n_mels`: 80, or 128 for large-v3 and turbo."""

    has_own_scale = True
    windows = Windows(HOP, HOP)

    def __init__(self, fs: Union[int, str] = 16000, n_mels: int = 80):
        from transformers.audio_utils import mel_filter_bank

        super().__init__(fs)
        if self.fs != 16000:
            raise ValueError(f"Whisper was trained at 16000 Hz, --frontend_conf has fs={self.fs}: give fs=16000")
        limits = dict(min_frequency=0.0, max_frequency=8000.0, sampling_rate=self.fs)
        mel = mel_filter_bank(1 + N_FFT // 2, n_mels, **limits, norm="slaney", mel_scale="slaney")
        self.register_buffer("mel", torch.as_tensor(mel, dtype=torch.float32), persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    @property
    def products(self) -> int:
        return self.mel.numel()

    def output_size(self) -> int:
        return self.mel.size(1)

    def features(self, waveform: Tensor, lengths: Lengths) -> Tensor:
        before = waveform[:, 1 : N_FFT // 2 + 1]  # reflected at the start; at the end silence follows
        before = F.pad(before, (0, N_FFT // 2 - before.size(1))).flip(1)
        padded = torch.cat([before, F.pad(waveform, (0, N_FFT))], dim=1)
        spectrum = torch.stft(padded, N_FFT, HOP, window=self.window, center=False, return_complex=True)
        energies = spectrum.abs().square().transpose(1, 2) @ self.mel
        feats = energies[:, : waveform.size(1) // HOP].clamp(min=FLOOR).log10()
        valid = valid_frames(self.frame_lengths(lengths), feats)[..., None]
        loudest = feats.masked_fill(~valid, -RANGE).amax(dim=(1, 2), keepdim=True)
        return (feats.maximum(loudest - RANGE) + 4.0) / 4.0
