import numpy as np
import pytest
from espnet_llmasr.data.checks import fbank_frames


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
