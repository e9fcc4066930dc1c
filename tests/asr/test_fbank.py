"""The filterbank against kaldi_native_fbank, on real recordings where they are at hand."""

import math
import os
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import pytest
import soundfile
import torch
from espnet2.asr.encoder.conformer_encoder import TooShortUttError
from scipy.signal import resample_poly
from torch.utils._device import _device_constructors

from espnet_llmasr.asr.fbank import KaldiFbank, mel_triangles

FSDD = Path(os.environ.get("FSDD", ""))


def kaldi(waveform, fs):
    """The library's answer for one waveform in [-1, 1]: (T, 80)."""
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = fs
    options.mel_opts.num_bins = 80
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(fs, (waveform * 32768).tolist())
    return torch.from_numpy(np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)]))


def speech_like(fs, seconds, seed):
    """A gliding pitch with harmonics, a slow envelope, a DC offset, hiss and a digital silence; 16-bit values."""
    time = np.arange(int(fs * seconds)) / fs
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * time + seed)) / fs
    voice = sum(np.sin(k * phase) / k for k in range(1, 25)) * np.abs(np.sin(5 * time + seed))
    signal = 0.1 * voice + 0.01 + 0.003 * np.random.default_rng(seed).standard_normal(len(time))
    signal[len(time) // 2 : len(time) // 2 + fs // 20] = 0.0
    return np.round(signal * 32768).clip(-32768, 32767) / 32768


def recordings(fs, count=12):
    """Real digits at 8 kHz, or brought to 16 kHz; synthetic audio where there are none."""
    files = sorted((FSDD / "recordings").glob("*.wav"))[:: 3000 // count]
    if not files:
        return [speech_like(fs, 0.3 + 0.2 * i, i) for i in range(count)]
    digits = [soundfile.read(file)[0] for file in files]
    return [np.round(resample_poly(digit, fs, 8000) * 32768).clip(-32768, 32767) / 32768 for digit in digits]


def pad(waves):
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w).float() for w in waves], batch_first=True)
    return batch, lengths


@pytest.mark.parametrize("fs", [8000, 16000])
@pytest.mark.parametrize("source", [recordings, lambda fs: [speech_like(fs, 1.0, i) for i in range(3)]])
def test_equals_kaldi_native_fbank(fs, source):
    """Within 1e-3, but for energies 17 nats (74 dB) below the frame's peak: there Kaldi's float32 spectrum errs."""
    waves = source(fs)
    feats, lengths = KaldiFbank(fs)(*pad(waves))
    for row, length, wave in zip(feats, lengths, waves):
        expected = kaldi(wave, fs)
        assert length == len(expected) == KaldiFbank(fs).frame_lengths(len(wave))
        error, audible = (row[:length] - expected).abs(), expected > expected.amax(1, keepdim=True) - 17
        assert error[audible].max() < 1e-3 and error.max() < 3e-2 and (error > 1e-3).float().mean() < 1e-3


@pytest.fixture()
def hidden_linspace(monkeypatch):
    """As after transformers' from_pretrained: `with torch.device(...)` moves a stand-in for linspace, not linspace."""
    linspace = torch.linspace
    with monkeypatch.context() as patch:
        patch.setattr(torch, "linspace", lambda *args, **kwargs: linspace(*args, **kwargs))
        _device_constructors.cache_clear()
        assert torch.linspace in _device_constructors()
    yield
    _device_constructors.cache_clear()


def test_a_model_without_memory_has_filters_even_where_linspace_stays_on_the_cpu(hidden_linspace):
    with torch.device("meta"):
        assert torch.linspace(0, 1, 3).device.type == "cpu"
        assert KaldiFbank(16000).mel.device.type == "meta"


@pytest.mark.parametrize("fs, fft_size, n_mels", [(8000, 256, 80), (16000, 512, 80), (16000, 512, 23)])
def test_filters_are_triangles_to_the_last_bit(fs, fft_size, n_mels, hidden_linspace):
    low, high = (1127.0 * math.log(1.0 + hertz / 700.0) for hertz in (20.0, fs / 2))
    corner = torch.linspace(low, high, n_mels + 2, dtype=torch.float64).tolist()
    mel = (1127.0 * (1.0 + torch.arange(fft_size // 2, dtype=torch.float64) * fs / fft_size / 700.0).log()).tolist()
    expected = [
        [max(min((m - a) / (b - a), (c - m) / (c - b)), 0.0) for a, b, c in zip(corner, corner[1:], corner[2:])]
        for m in mel
    ]
    assert mel_triangles(fs, fft_size, n_mels).equal(torch.tensor(expected, dtype=torch.float64).float())


@pytest.mark.parametrize("extra", [0, 1, 79, 80, 81, 159, 160])
def test_frame_count_equals_kaldi(extra):
    for fs in (8000, 16000):
        assert KaldiFbank(fs).frame_lengths(4000 + extra) == len(kaldi(np.zeros(4000 + extra), fs))


@pytest.mark.parametrize("filler", [0.0, 0.9, math.nan])
def test_batch_equals_one_by_one_and_padding_is_irrelevant(filler):
    waves, fbank = recordings(8000), KaldiFbank(8000)
    batch, lengths = pad(waves)
    for row, length in zip(batch, lengths):
        row[length:] = filler
    feats, frames = fbank(batch, lengths)
    for row, count, wave in zip(feats, frames, waves):
        alone, alone_count = fbank(*pad([wave]))
        assert alone_count == count and alone.shape[1] == count and not row[count:].any()
        torch.testing.assert_close(row[:count], alone[0], atol=1e-5, rtol=0)


def test_fp32_under_autocast_and_without_gradient():
    batch, lengths = pad(recordings(16000))
    fbank = KaldiFbank("16k")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        feats, _ = fbank(batch.requires_grad_(), lengths)
    assert feats.dtype == torch.float32 and not feats.requires_grad
    assert torch.equal(feats, fbank(batch, lengths)[0])


def test_digital_silence_is_the_log_of_the_floor():
    feats, _ = KaldiFbank()(torch.zeros(1, 1600), torch.tensor([1600]))
    torch.testing.assert_close(feats, torch.full_like(feats, math.log(np.finfo(np.float32).eps)))


def test_keeps_nothing_in_the_state_dict():
    fbank = KaldiFbank()
    assert not fbank.state_dict() and not list(fbank.parameters()) and fbank.output_size() == 80


def test_frame_lengths_of_a_tensor_and_of_too_little():
    fbank = KaldiFbank("16k")
    assert fbank.frame_lengths(torch.tensor([10, 399, 400, 559, 560])).tolist() == [0, 0, 1, 1, 2]
    assert fbank.frame_lengths(10) == 0


def test_too_short_an_utterance_is_named():
    with pytest.raises(ValueError, match="199 samples.*8000 Hz needs 200") as refusal:
        KaldiFbank(8000)(torch.zeros(2, 300), torch.tensor([300, 199]))
    assert isinstance(refusal.value, TooShortUttError)  # ESPnet's decoding gives an empty transcript and goes on


def test_other_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"\(1, 800, 2\)"):
        KaldiFbank()(torch.zeros(1, 800, 2), torch.tensor([800]))
    for fs in ("sixteen", 16):
        with pytest.raises(ValueError, match=f"{fs}.*16k"):
            KaldiFbank(fs)
