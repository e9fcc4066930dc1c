"""A tiny FireRedASR, in the form in which theirs are published, is taken over one to one, or refused by name."""

import argparse
import math

import numpy as np
import pytest
import torch

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.fbank import FeatureMVN, KaldiFbank
from espnet_llmasr.asr.firered import read_release
from espnet_llmasr.bin import import_firered
from espnet_llmasr.observe.encoders import find_encoder


def same(found, expected):
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_an_aed_gives_its_encoder_and_the_statistics(published, encoder_conf, tmp_path, capsys):
    encoder, _, _ = published(tmp_path / "aed")
    import_firered.main([str(tmp_path / "aed"), str(tmp_path / "out")])
    state = torch.load(tmp_path / "out/encoder.pth", weights_only=True)
    same(state, {f"encoder.{name}": value for name, value in encoder.state_dict().items()})
    FireRedConformerEncoder(**encoder_conf()).load_state_dict({n.removeprefix("encoder."): v for n, v in state.items()})
    count = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    assert capsys.readouterr().out == (
        f"taken: encoder (2 blocks of width 64, {count:.1f}M parameters), statistics of 1,000 frames\n"
        "left:  decoder (0.0M parameters), dict.txt (9 tokens of the decoder)\n"
    )


def test_features_are_normalised_as_firered_does(published, tmp_path):
    """Their CMVN in plain numbers, on the frames that both sides have (tests/asr/test_fbank.py has Kaldi's)."""
    _, _, sums = published(tmp_path / "aed")
    read_release(tmp_path / "aed").write(tmp_path)
    feats, lengths = KaldiFbank()(0.1 * torch.randn(1, 16000), torch.tensor([16000]))
    expected = torch.zeros(feats.shape, dtype=torch.float64)
    for d in range(80):
        mean = sums[0, d] / sums[0, 80]
        variance = max(sums[1, d] / sums[0, 80] - mean * mean, 1e-20)
        expected[:, :, d] = (feats[:, :, d].double() - mean) / math.sqrt(variance)
    found, _ = FeatureMVN(tmp_path / "feats_stats.npz")(feats.clone(), lengths)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_llm_gives_its_encoder_and_adaptor_and_can_be_observed(published, tmp_path):
    encoder, adaptor, _ = published(tmp_path / "llm", llm=True)
    release = read_release(tmp_path / "llm")
    same(release.encoder.state_dict(), encoder.state_dict())  # of both files: what the LLM has goes first
    same(release.adaptor.state_dict(), adaptor.state_dict())
    release.write(tmp_path / "out")
    assert {name.split(".")[0] for name in torch.load(tmp_path / "out/encoder.pth")} == {"encoder", "adaptor"}
    assert "adaptor (2 frames to a vector of 48" in release.summary() and "left:  llm (0.0M" in release.summary()
    audio = 0.1 * torch.randn(16000)
    (tmp_path / "llm/config.yaml").write_text("theirs: 1\n")
    frames = find_encoder(f"{tmp_path}/llm").open()(audio)
    feats, lengths = KaldiFbank()(audio[None], torch.tensor([16000]))
    feats, lengths = FeatureMVN(tmp_path / "out/feats_stats.npz")(feats, lengths)
    output, lengths, _ = encoder(feats, lengths)
    torch.testing.assert_close(frames.layers[-1], output[0])
    torch.testing.assert_close(frames.adaptor, adaptor(output, lengths)[0][0])
    assert len(frames.layers) == 2 and len(find_encoder(f"{tmp_path}/llm/model.pth.tar").open()(audio).layers) == 2


class Stranger:
    """Of a class that torch is not told to trust."""


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p: p["model_state_dict"].pop("encoder.layer_stack.1.ffn1.net.1.bias"), "layer_stack.1.ffn1.net.1.bias"),
        (lambda p: p["model_state_dict"].update({"encoder.extra": torch.ones(1)}), 'Unexpected key.*"extra"'),
        (lambda p: p.update(model_state_dict={"decoder.x": torch.ones(1)}), "has no weights 'encoder"),
        (lambda p: p.update(model_state_dict={"encoder.x": torch.ones(1)}), "not of their Conformer, it lacks"),
        (lambda p: setattr(p["args"], "n_head", 4), "has weights for n_head=2, its options say 4"),
        (lambda p: p.update(args=Stranger()), "is damaged, or holds no options and weights of FireRedASR"),
        (lambda p: p.pop("args"), "is damaged, or holds no options and weights of FireRedASR"),
    ],
)
def test_weights_that_do_not_fit_are_named(published, change, message, tmp_path):
    published(tmp_path / "aed")
    with torch.serialization.safe_globals([argparse.Namespace]):
        package = torch.load(tmp_path / "aed/model.pth.tar")
    change(package)
    torch.save(package, tmp_path / "aed/model.pth.tar")
    with pytest.raises(ValueError, match=f"(?s)model.pth.tar .*{message}"):
        read_release(tmp_path / "aed")


def test_other_files_that_are_missing_or_damaged(published, kaldi_matrix, tmp_path):
    folder = tmp_path / "aed"
    published(folder)
    for content, message in ((b"\0BDM \4", "no whole binary matrix"), (b" [ 1 2 ]", "no whole binary matrix")):
        (folder / "cmvn.ark").write_bytes(content)
        with pytest.raises(ValueError, match=f"cmvn.ark holds {message}"):
            read_release(folder)
    for matrix in (np.zeros((2, 81)), np.ones((2, 41))):
        kaldi_matrix(folder / "cmvn.ark", matrix)
        with pytest.raises(ValueError, match=r"expected finite \(2, 81\), the sums of at least one frame"):
            read_release(folder)
    (folder / "cmvn.ark").unlink()
    with pytest.raises(ValueError, match="cmvn.ark does not exist"):
        read_release(folder)
    (folder / "model.pth.tar").unlink()
    with pytest.raises(ValueError, match="has no model.pth.tar: give the published directory of FireRedASR-AED"):
        read_release(folder)
