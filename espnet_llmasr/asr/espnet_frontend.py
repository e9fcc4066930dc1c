"""ESPnet's default frontend under our protocol: an utterance's features are the same alone and in a batch.

ESPnet reflects the end of a batch's longest utterance only, so that the last frames of the others depend on it. Here
each utterance is transformed alone.
"""

from typing import Union

from espnet2.asr.frontend.default import DefaultFrontend
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.asr.modules import Lengths, check_keys, on_host
from espnet_llmasr.audio import Windows

REFUSED = ("frontend_conf", "apply_stft")  # beamforming and WPE of several channels; we read one


class ESPnetDefault(Frontend):
    """STFT and log-mel as `frontend: default` of ESPnet; takes its options but those of several channels."""

    def __init__(self, fs: Union[int, str] = 16000, **conf):
        super().__init__(fs)
        check_keys(DefaultFrontend, "frontend_conf", conf, ("fs", *REFUSED))
        self.espnet = DefaultFrontend(fs=self.fs, **conf, frontend_conf=None)
        stft = self.espnet.stft
        self.reflected = stft.n_fft // 2 if stft.center else 0
        self.windows = Windows(stft.n_fft - 2 * self.reflected, stft.hop_length)
        self.products = self.espnet.logmel.melmat.numel()

    @property
    def min_samples(self) -> int:
        return max(self.windows.size, self.reflected + 1)  # one more than what is reflected

    def output_size(self) -> int:
        return self.espnet.output_size()

    def features(self, waveform: Tensor, lengths: Lengths) -> Tensor:
        rows = zip(waveform, on_host(lengths).tolist())
        return pad_sequence([self.espnet(row[None, :length], None)[0][0] for row, length in rows], batch_first=True)
