"""Statistics of the features: ESPnet normalises with them, and a sample is taken evenly."""

import numpy as np
import torch
from espnet2.layers.global_mvn import GlobalMVN

from espnet_llmasr.asr.fbank import KaldiFbank
from espnet_llmasr.files import read_scp
from espnet_llmasr.train.feature_statistics import compute_statistics, sample
from espnet_llmasr.train.speech_batches import read_audio


def test_statistics_normalise_the_set(corpus):
    mvn, frontend, feats = GlobalMVN(str(corpus / "feats_stats.npz")), KaldiFbank(), []
    for uid, wav in read_scp(corpus / "train" / "wav.scp").items():
        speech = torch.from_numpy(read_audio(uid, wav, 16000))[None]
        feats.append(mvn(*frontend(speech, torch.tensor([speech.size(1)])))[0][0])
    feats = torch.cat(feats)
    torch.testing.assert_close(feats.mean(0), torch.zeros(80), atol=1e-3, rtol=0)
    torch.testing.assert_close(feats.std(0, correction=0), torch.ones(80), atol=1e-3, rtol=0)


def test_statistics_of_a_sample(corpus, tmp_path):
    """Taken evenly: every third utterance of eight for at most three; a table that is read as a stream."""
    assert list(sample(corpus / "train" / "wav.scp", 3)) == ["train_0", "train_3", "train_6"]
    assert len(sample(corpus / "train" / "wav.scp", 8)) == 8
    frames = read_scp(corpus / "train" / "utt2num_frames")
    options = tmp_path / "s.npz", corpus / "train", 16000, None, 3
    total = sum(int(frames[f"train_{number}"]) for number in (0, 3, 6))
    assert compute_statistics(*options) == (total, 3)
    first = dict(np.load(tmp_path / "s.npz"))
    assert first["count"] == total
    compute_statistics(*options)
    assert all(np.array_equal(value, first[name]) for name, value in np.load(tmp_path / "s.npz").items())
