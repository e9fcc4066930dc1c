"""Frontends that can be chosen: their sources' own numbers, frames in a batch as alone, and the files that choose them."""

import numpy as np
import pytest
import torch
import transformers
import yaml

from espnet_llmasr.asr.frontends import FRONTENDS, frontend_class, read_framing, read_frontend
from espnet_llmasr.audio import Windows
from espnet_llmasr.bin import compute_stats, format_data
from espnet_llmasr.files import read_rows

LENGTHS = np.array([16000, 3333, 4096, 700])


@pytest.fixture(scope="module")
def speech():
    torch.manual_seed(0)
    return 0.1 * torch.randn(4, 16050)  # noise also where there should be silence


@pytest.mark.parametrize("name", FRONTENDS)
def test_frames_in_a_batch_are_those_alone(name, speech):
    frontend = frontend_class(name)(fs=16000).eval()
    assert not [*frontend.parameters()]
    feats, lengths = frontend(speech, LENGTHS)
    assert feats.shape == (4, lengths.max(), frontend.output_size()) and feats.dtype == torch.float32
    for row, samples, count, length in zip(feats, speech, LENGTHS, lengths):
        alone, alone_length = frontend(samples[None, :count], np.array([count]))
        assert length == alone_length[0] == alone.size(1) == frontend.frame_lengths(int(count))
        assert not row[length:].any()
        torch.testing.assert_close(row[:length], alone[0], atol=1e-5, rtol=1e-4)
    frontend(speech[:1], np.array([frontend.min_samples]))
    with pytest.raises(ValueError, match=f"has {frontend.min_samples - 1} samples, .* needs {frontend.min_samples}"):
        frontend(speech[:1], np.array([frontend.min_samples - 1]))


@pytest.mark.parametrize("conf", [{}, dict(hop_length=160, win_length=400), dict(center=False, n_fft=400)])
def test_the_default_frontend_is_that_of_espnet(conf, speech):
    from espnet2.asr.frontend.default import DefaultFrontend

    expected, _ = DefaultFrontend(fs=16000, **conf).eval()(speech[:1, :9000], torch.tensor([9000]))
    feats, lengths = frontend_class("default")(fs=16000, **conf)(speech[:1, :9000], np.array([9000]))
    assert lengths[0] == expected.size(1)
    torch.testing.assert_close(feats, expected)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_whisper_features_are_those_of_its_extractor(n_mels, speech):
    extractor = transformers.WhisperFeatureExtractor(feature_size=n_mels)
    for count in (16000, 3333):
        samples = speech[:1, :count]
        expected = extractor([samples[0].numpy()], sampling_rate=16000, return_tensors="pt")["input_features"]
        feats, lengths = frontend_class("whisper")(n_mels=n_mels)(samples, np.array([count]))
        assert lengths[0] == count // 160
        torch.testing.assert_close(feats, expected[..., : count // 160].transpose(1, 2), atol=1e-4, rtol=1e-4)


def test_the_waveform_is_passed_on(speech):
    feats, lengths = frontend_class("waveform")(8000)(speech[:1], np.array([1000]))
    assert lengths.tolist() == [12] and torch.equal(feats.flatten(), speech[0, :960])


def test_a_configuration_decides_what_stages_2_and_3_count(corpus, tmp_path):
    """ESPnet's 125 frames a second leave labels that 100 frames do not; statistics are of the chosen features."""
    config, data = tmp_path / "encoder.yaml", tmp_path / "data"
    config.write_text(yaml.safe_dump(dict(frontend="default", frontend_conf=dict(fs=16000, n_mels=20))))
    assert read_framing(config, 16000) == (Windows(0, 128), Windows(7, 4))
    assert read_framing(None, 16000) == (Windows(400, 160), Windows(7, 4))
    assert read_frontend(config, 8000).fs == 8000
    data.mkdir()
    for name in ("wav.scp", "text"):
        (data / name).write_bytes((corpus / "valid" / name).read_bytes())
    options = ["--encoder_config", str(config)]
    format_data.main(["--data", f"{data}", "--out", f"{tmp_path}/dump", "--tokens", f"{tmp_path}/phones.txt", *options])
    assert dict(read_rows(tmp_path / "dump/utt2num_frames"))["valid_0"] == str(1 + 6400 // 128)
    compute_stats.main(["--data_dir", str(corpus / "train"), "--output", f"{tmp_path}/stats.npz", *options])
    with np.load(tmp_path / "stats.npz") as stats:
        assert stats["sum"].shape == (20,) and stats["count"] == sum(1 + n // 128 for n in samples_of(corpus))


def samples_of(corpus):
    """The samples of the training utterances, from their counts of frames (all are multiples of 100 ms)."""
    return [round((int(n) * 160 + 240) / 1600) * 1600 for _, n in read_rows(corpus / "train/utt2num_frames")]


@pytest.mark.parametrize(
    "name, conf, message",
    [
        ("default", dict(hop=3), "--frontend_conf has 'hop', allowed are n_fft, win_length, hop_length"),
        ("default", dict(frontend_conf={}), "--frontend_conf has 'frontend_conf', allowed are"),
        ("whisper", dict(fs=8000), "Whisper was trained at 16000 Hz, --frontend_conf has fs=8000"),
        ("kaldi_fbank", dict(fs="x"), "sampling rate 'x' is not usable"),
    ],
)
def test_options_that_are_not_possible(name, conf, message):
    with pytest.raises(ValueError, match=message):
        frontend_class(name)(**conf)
