"""The encoder protocol: lengths are right, and an utterance's frames are the same alone and in a batch."""

import copy

import pytest
import torch
import yaml
from espnet2.asr.encoder.conformer_encoder import TooShortUttError

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.encoders import FIXED_WINDOWS, encoder_class, windows_of
from espnet_llmasr.asr.frontends import read_framing
from espnet_llmasr.audio import Windows

SIZES = dict(output_size=16, num_blocks=2, attention_heads=2)
BRANCHES = dict(linear_units=32, cgmlp_linear_units=32, cgmlp_conv_kernel=5)
CONFS = {
    "firered_conformer": dict(**SIZES, kernel_size=5),
    "conformer": dict(**SIZES, linear_units=32, cnn_module_kernel=5, rel_pos_type="latest"),
    "transformer": dict(**SIZES, linear_units=32),
    "branchformer": dict(**SIZES, cgmlp_linear_units=32, cgmlp_conv_kernel=5),
    "e_branchformer": dict(**SIZES, **BRANCHES),
    "multiconv_conformer": dict(
        **SIZES, rel_pos_type="latest", linear_units=32, cgmlp_linear_units=32, multicgmlp_kernel_sizes="3,5"
    ),
}
LENGTHS = (93, 8, 37, 7)  # the last one gives a single frame


@pytest.fixture(params=CONFS)
def encoder(request):
    """Our encoder and those of ESPnet, tiny and in eval mode; test_hugging_face_encoder.py has the others."""
    torch.manual_seed(0)
    return encoder_class(request.param)(input_size=20, **CONFS[request.param]).eval()


def batch(lengths=LENGTHS, filler: float = 0.0):
    """Random features (B, T, 20) with `filler` in the padding, and lengths."""
    torch.manual_seed(1)
    feats, lengths = torch.randn(len(lengths), max(lengths) + 5, 20), torch.tensor(lengths)
    for row, length in zip(feats, lengths):
        row[length:] = filler
    return feats, lengths


@pytest.mark.parametrize("filler", [0.0, 9.0, float("nan")])
@torch.no_grad()
def test_frames_in_a_batch_are_those_alone(encoder, filler):
    feats, lengths = batch(filler=filler)
    frames, olens, _ = encoder(feats, lengths)
    assert olens.tolist() == encoder.output_lengths(lengths).tolist() and frames.size(1) == olens.max()
    for row, feat, length, olen in zip(frames, feats, lengths, olens):
        alone, alone_length, _ = encoder(feat[None, :length], length[None])
        expected = len(range(0, len(range(0, int(length) - 2, 2)) - 2, 2))  # two convolutions of width 3 and stride 2
        assert alone.size(1) == alone_length == olen == encoder.output_lengths(int(length)) == expected
        torch.testing.assert_close(row[:olen], alone[0], atol=1e-5, rtol=0)
        assert not row[olen:].any()


@torch.no_grad()
def test_layers(encoder):
    feats, lengths = batch()
    layers, frames = encoder.forward_layers(feats, lengths), encoder(feats, lengths)[0]
    assert len(layers) == encoder.num_layers == 2 and torch.equal(layers[-1], frames)
    assert all(layer.shape == frames.shape == (4, frames.size(1), encoder.output_size()) for layer in layers)
    alone = encoder.forward_layers(feats[2:3], lengths[2:3])[0]
    torch.testing.assert_close(layers[0][2, : alone.size(1)], alone[0], atol=1e-5, rtol=0)
    assert not torch.equal(*layers) and not layers[0][2, alone.size(1) :].any()


def test_an_utterance_that_is_too_short_is_named(encoder):
    feats, lengths = batch((encoder.min_frames, 40))
    encoder(feats, lengths)
    with pytest.raises(ValueError, match=f"has {encoder.min_frames - 1} feature frames, .* at least") as refusal:
        encoder(feats, torch.tensor([encoder.min_frames - 1, 40]))
    assert isinstance(refusal.value, TooShortUttError)  # ESPnet's decoding gives an empty transcript and goes on


@torch.no_grad()
def test_a_copy_is_an_encoder_of_its_own(encoder):
    """The watcher copies the encoder."""
    feats, lengths = batch()
    expected, other = encoder(feats, lengths)[0], copy.deepcopy(encoder)
    next(encoder.parameters()).fill_(0.0)
    assert torch.equal(other(feats, lengths)[0], expected) and not torch.equal(encoder(feats, lengths)[0], expected)


def test_parameters_have_the_names_that_espnet_gives_them():
    from espnet2.asr.encoder.e_branchformer_encoder import EBranchformerEncoder

    conf = dict(input_size=20, **CONFS["e_branchformer"])
    encoder_class("e_branchformer")(**conf).load_state_dict(EBranchformerEncoder(**conf).state_dict())


@pytest.mark.parametrize("layer, stride", [("conv2d1", 1), ("conv2d2", 2), ("conv2d6", 6), ("conv2d8", 8)])
@torch.no_grad()
def test_other_subsamplings(layer, stride):
    encoder = encoder_class("e_branchformer")(input_size=40, input_layer=layer, **CONFS["e_branchformer"]).eval()
    assert encoder.windows.shift == stride and encoder.frame_rate_hz(100) == 100 / stride
    feats, lengths = torch.randn(2, 90, 40), torch.tensor([90, 50])
    frames, olens, _ = encoder(feats, lengths)
    alone, alone_length, _ = encoder(feats[1:, :50], lengths[1:])
    assert alone_length == olens[1]
    torch.testing.assert_close(frames[1, : olens[1]], alone[0], atol=1e-5, rtol=0)


def test_measuring_the_windows_draws_no_random_number_and_allocates_nothing():
    before = torch.get_rng_state()
    for name, conf in CONFS.items():
        assert windows_of(name, conf, 20) == Windows(7, 4)
    assert torch.equal(before, torch.get_rng_state())


def test_windows_of_a_configuration(tmp_path):
    assert read_framing(None, 16000).encoder == FireRedConformerEncoder.windows == Windows(7, 4)
    assert FIXED_WINDOWS == {name: windows_of(name, {}, 80) for name in FIXED_WINDOWS}
    path, conf = tmp_path / "encoder.yaml", dict(input_layer="conv2d8", **CONFS["e_branchformer"])
    path.write_text(yaml.safe_dump(dict(encoder="e_branchformer", encoder_conf=conf)))
    assert read_framing(path, 16000).encoder == Windows(15, 8)
    for text, message in (
        ("encoder: rnn", "there is no encoder 'rnn', allowed are firered_conformer, conformer"),
        ("{encoder: conformer, encoder_conf: {sizes: 3}}", "--encoder_conf has 'sizes', allowed are input_size"),
        ("- 3", "must hold the keys encoder and encoder_conf"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_framing(path, 16000).encoder
