import numpy as np
import pytest
from espnet_llmasr.data.checks import encoder_frames, fbank_frames


@pytest.mark.parametrize("rate", [8000, 16000])
def test_fbank_frames_equal_kaldi(rate):
    kaldi = pytest.importorskip("kaldi_native_fbank")
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither = rate, 0
    for samples in (0, rate // 40 - 1, rate // 40, rate // 40 + rate // 100 - 1, rate // 40 + rate // 100, 12345):
        fbank = kaldi.OnlineFbank(options)
        fbank.accept_waveform(rate, np.zeros(samples, dtype=np.float32).tolist())
        fbank.input_finished()
        assert fbank_frames(samples, rate) == fbank.num_frames_ready


def test_encoder_frames_are_those_of_two_valid_convolutions():
    def valid(frames):
        return len(range(0, frames - 2, 2))

    assert [encoder_frames(n) for n in range(200)] == [valid(valid(n)) for n in range(200)]
