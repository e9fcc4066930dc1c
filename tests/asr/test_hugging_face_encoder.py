"""Speech encoders of Hugging Face: the released model's own numbers, in a batch and alone, and their preparation."""

import numpy as np
import pytest
import torch
import transformers
import yaml
from transformers import AutoConfig, AutoModel

from espnet_llmasr.asr.encoders import encoder_class, windows_of
from espnet_llmasr.asr.frontends import frontend_class
from espnet_llmasr.bin import prepare_encoder

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
CONVS = dict(conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
LAYER_NORMS = dict(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)
WHISPER = dict(d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, decoder_layers=1)
WHISPER |= dict(decoder_attention_heads=2, decoder_ffn_dim=24, max_source_positions=50, vocab_size=20)
WHISPER |= dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
BERT = dict(SIZES, feature_projection_input_dim=160, conv_depthwise_kernel_size=5, add_adapter=False)
CASES = {  # name: encoder, model_type, configuration
    "whisper": ("whisper", "whisper", dict(WHISPER, num_mel_bins=80)),
    "wav2vec2 base": ("wav2vec2", "wav2vec2", dict(SIZES, **CONVS)),
    "wav2vec2 large": ("wav2vec2", "wav2vec2", dict(SIZES, **CONVS, **LAYER_NORMS)),
    "hubert": ("wav2vec2", "hubert", dict(SIZES, **CONVS, **LAYER_NORMS)),
    "wavlm": ("wav2vec2", "wavlm", dict(SIZES, **CONVS)),
    "w2v_bert": ("w2v_bert", "wav2vec2-bert", BERT),
}
SECONDS = (1.0, 0.33, 0.62)


def extractor_of(kind):
    """The feature extractor as a hub would hold it."""
    if kind == "whisper":
        return transformers.WhisperFeatureExtractor(chunk_length=1)
    return {"w2v_bert": transformers.SeamlessM4TFeatureExtractor}.get(kind, transformers.Wav2Vec2FeatureExtractor)()


@pytest.fixture(scope="module", params=CASES)
def prepared(request, tmp_path_factory):
    """Name of the encoder, the released model, its extractor, frontend and encoder after preparation."""
    name, kind, conf = CASES[request.param]
    root = tmp_path_factory.mktemp("hf")
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **conf), dtype=torch.float32).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(root / "hub")
    extractor = extractor_of(name)
    extractor.save_pretrained(root / "hub")
    prepare_encoder.main(["--encoder", str(root / "hub"), "--output_dir", str(root / "out")])
    options = yaml.safe_load((root / "out/encoder.yaml").read_text())
    assert options["encoder"] == name
    frontend = frontend_class(options["frontend"])(**options.get("frontend_conf", {}))
    encoder = encoder_class(name)(input_size=frontend.output_size(), **options["encoder_conf"]).eval()
    encoder.load_state_dict(torch.load(root / "out/encoder.pth", weights_only=True))
    assert windows_of(name, options["encoder_conf"], frontend.output_size()) == encoder.windows
    return name, model, extractor, frontend, encoder


def speech():
    rng = np.random.default_rng(0)
    lengths = np.array([int(16000 * seconds) for seconds in SECONDS])
    batch = torch.zeros(3, lengths.max() + 50)
    for row, length in zip(batch, lengths):
        row[:length] = torch.from_numpy(0.1 * rng.standard_normal(length))
    return batch, lengths


@torch.no_grad()
def test_frames_are_those_of_the_released_model(prepared):
    """On audio of whole frames; Whisper's of the length to which its extractor pads."""
    name, model, extractor, frontend, encoder = prepared
    samples = speech()[0][:1, :16000]
    inputs = extractor([samples[0].numpy()], sampling_rate=16000, return_tensors="pt")
    if name == "whisper":
        expected = model.get_encoder()(inputs["input_features"]).last_hidden_state
    else:
        expected = model(**inputs).last_hidden_state
    frames, lengths, _ = encoder(*frontend(samples, np.array([16000])))
    assert lengths[0] == frames.size(1) == expected.size(1)
    torch.testing.assert_close(frames, expected, atol=2e-4, rtol=1e-3)


@torch.no_grad()
def test_frames_in_a_batch_are_those_alone(prepared):
    *_, frontend, encoder = prepared
    batch, lengths = speech()
    feats, feat_lengths = frontend(batch, lengths)
    feats[1, feat_lengths[1] :] = 9.0
    layers = encoder.forward_layers(feats, feat_lengths)
    frames, olens, _ = encoder(feats, feat_lengths)
    assert len(layers) == encoder.num_layers == 2 and torch.equal(layers[-1], frames)
    assert frames.size(2) == encoder.output_size() == 16 and encoder.frame_rate_hz(100) == 50
    for row, samples, length, olen in zip(range(3), batch, lengths, olens):
        alone = encoder.forward_layers(*frontend(samples[None, :length], lengths[row : row + 1]))
        for layer, expected in zip(layers, alone):
            assert expected.size(1) == olen and not layer[row, olen:].any()
            torch.testing.assert_close(layer[row, :olen], expected[0], atol=2e-5, rtol=1e-4)


def test_training_masks_the_views_of_a_waveform_encoder(prepared):
    name, *_, frontend, encoder = prepared
    feats, lengths = frontend(*speech())
    encoder.train()
    torch.manual_seed(3)
    frames = encoder(torch.cat([feats, feats]), np.tile(lengths, 2))[0]
    frames.square().mean().backward()
    encoder.eval()
    gradients = {key: p.grad for key, p in encoder.named_parameters() if p.requires_grad}
    assert all(gradient is not None for gradient in gradients.values()), gradients
    assert name != "wav2vec2" or not torch.equal(*frames.chunk(2))
    assert (name == "wav2vec2") == any("masked_spec_embed" in key and g.any() for key, g in gradients.items())
    encoder.zero_grad()


def test_a_model_of_another_kind(command, tmp_path):
    AutoConfig.for_model("data2vec-audio", **SIZES).save_pretrained(tmp_path)
    done = command(prepare_encoder, "--encoder", tmp_path, "--output_dir", tmp_path / "out")
    assert done.code == 1 and "is a data2vec-audio, allowed are whisper, wav2vec2, hubert" in done.err.splitlines()[-1]
    done = command(prepare_encoder, "--encoder", tmp_path / "none", "--output_dir", tmp_path / "out")
    assert done.code == 1 and "none has no config.json: give the directory" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    "name, width, config, message",
    [
        ("whisper", 80, None, "config of model_type 'None', allowed are whisper: bin.prepare_encoder writes"),
        ("wav2vec2", 160, dict(model_type="bert"), "model_type 'bert', allowed are wav2vec2, hubert"),
        ("whisper", 80, dict(WHISPER, model_type="whisper", num_mel_bins=128), "reads 128 values a frame, .* makes 80"),
        ("wav2vec2", 80, dict(SIZES, **CONVS, model_type="hubert"), "reads 160 values a frame, the frontend makes 80"),
        ("wav2vec2", 160, dict(SIZES, **CONVS, model_type="hubert", conv_stride=[5, 2, 2, 2, 2, 1, 1]),
         "makes a frame of 80 samples, expected a multiple of 10 ms"),
        ("wav2vec2", 160, dict(SIZES, **CONVS, model_type="wav2vec2", add_adapter=True), "add_adapter, which shortens"),
        ("w2v_bert", 80, dict(BERT, model_type="wav2vec2-bert", add_adapter=True), "add_adapter, which shortens"),
    ],
)  # fmt: skip
def test_configurations_that_cannot_be_used(name, width, config, message):
    with pytest.raises(ValueError, match=message):
        encoder_class(name)(input_size=width, config=config)


def test_whisper_ends_after_its_positions():
    encoder = encoder_class("whisper")(80, dict(WHISPER, model_type="whisper"))
    with pytest.raises(ValueError, match=r"has 101 feature frames, Whisper takes 100 \(1 s\): lower --max_duration"):
        encoder(torch.zeros(1, 101, 80), np.array([101]))
