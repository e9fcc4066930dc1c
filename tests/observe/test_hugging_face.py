"""Speech encoders of many makers, alone and inside larger models: the part found, its layers, its valid frames."""

import json
import re

import pytest
import torch

from espnet_llmasr.observe.hugging_face import Extractor, open_hugging_face

SIZES = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
PAIRS = dict(d_model=16, encoder_layers=3, encoder_ffn_dim=16, encoder_attention_heads=2)
DECODER = dict(decoder_layers=1, decoder_ffn_dim=16, decoder_attention_heads=2)
CONVOLUTIONS = dict(conv_dim=(16,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
IDS = dict(vocab_size=20, pad_token_id=0, bos_token_id=1, eos_token_id=2)
SEAMLESS = dict(
    hidden_size=16, speech_encoder_layers=3, speech_encoder_attention_heads=2, speech_encoder_intermediate_size=16,
    encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2, t2u_encoder_layers=1, t2u_decoder_layers=1,
    t2u_encoder_ffn_dim=16, t2u_decoder_ffn_dim=16, t2u_encoder_attention_heads=2, t2u_decoder_attention_heads=2,
    t2u_vocab_size=20, t2u_pad_token_id=0, t2u_bos_token_id=1, t2u_eos_token_id=2, unit_hifi_gan_vocab_size=20,
    unit_embed_dim=16, lang_embed_dim=4, spkr_embed_dim=4, **DECODER, **IDS,
)  # fmt: skip
SUBSAMPLED = dict(encoder_config=dict(**SIZES, subsampling_conv_channels=8))
GRANITE = dict(hidden_dim=16, num_layers=3, num_heads=2, dim_head=8, output_dim=9)
PHI = dict(
    hidden_size=16, num_blocks=3, num_attention_heads=2, intermediate_size=16, ext_pw_out_channel=16,
    depthwise_separable_out_channel=16, nemo_conv_channels=16,
)  # fmt: skip
PE = dict(**SIZES, dac_config=dict(encoder_hidden_size=4, downsampling_ratios=(2, 8, 10, 12), hidden_size=16))
HEADS = dict(encoder_num_attention_heads=2, decoder_num_attention_heads=2, decoder_num_hidden_layers=1)

# model: (sizes, feature extractor and its options, the encoder's place in the model, frames of each layer of 0.795 s)
MODELS = {
    "MoonshineForConditionalGeneration": (
        dict(hidden_size=16, intermediate_size=16, encoder_num_hidden_layers=3, **HEADS, **IDS), ("Wav2Vec2", {}),
        "model.encoder", [31] * 3,
    ),
    "SpeechT5ForSpeechToText": (
        {**SIZES, **PAIRS, **DECODER, **CONVOLUTIONS, **IDS}, ("SpeechT5", {}), "speecht5.encoder", [39] * 3,
    ),
    "SeamlessM4Tv2ForSpeechToText": (SEAMLESS, ("SeamlessM4T", {}), "speech_encoder", [39, 39, 39, 5]),
    "SEWForCTC": (
        {**SIZES, **CONVOLUTIONS, "conv_dim": (16,) * 13, "vocab_size": 9}, ("Wav2Vec2", {}), "sew",
        [19, 19, 19, 39],
    ),
    "Wav2Vec2ForPreTraining": ({**SIZES, **CONVOLUTIONS}, ("Wav2Vec2", {}), "wav2vec2", [39] * 3),
    "Wav2Vec2BertModel": (dict(**SIZES, add_adapter=True), ("SeamlessM4T", {}), "", [39, 39, 39, 20]),
    "Speech2TextForConditionalGeneration": (
        dict(**PAIRS, **DECODER, conv_channels=16, vocab_size=9), ("Speech2Text", {}), "model.encoder", [20] * 3,
    ),
    "ParakeetForCTC": (dict(**SUBSAMPLED, vocab_size=9), ("Parakeet", {}), "encoder", [10] * 3),
    "WhisperForConditionalGeneration": (
        dict(**PAIRS, **DECODER, **IDS), ("Whisper", {}), "model.encoder", [40] * 3,
    ),
    "Qwen2AudioEncoder": (
        dict(**PAIRS), ("Whisper", dict(feature_size=128, return_attention_mask=True)), "", [40, 40, 40, 20],
    ),
    "VoxtralEncoder": (dict(**SIZES, num_mel_bins=128), ("Whisper", dict(feature_size=128)), "", [40] * 3),
    "Qwen3ASREncoder": (
        dict(**PAIRS, output_dim=16, downsample_hidden_size=8), ("Qwen3ASR", {}), "", [10] * 3,
    ),
    "FunAsrNanoEncoder": (SIZES, ("FunAsrNano", {}), "", [13] * 3),
    "GraniteSpeech5Encoder": (SIZES, ("GraniteSpeech5", {}), "", [20, 10, 10]),
    "NemotronAsrStreamingEncoder": (
        dict(**SIZES, subsampling_conv_channels=8), ("NemotronAsrStreaming", {}), "", [11] * 3,
    ),
    "CohereAsrModel": (
        dict(**SUBSAMPLED, **IDS, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
        | dict(num_key_value_heads=2), ("CohereAsr", {}), "encoder", [10] * 3,
    ),
    "Gemma4AudioModel": (
        dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, output_proj_dims=16), ("Gemma4Audio", {}), "",
        [20] * 3,
    ),
    "MoonshineStreamingModel": (
        dict(encoder_config=dict(**SIZES, num_key_value_heads=2), hidden_size=16, intermediate_size=16, **IDS)
        | dict(num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2),
        ("Wav2Vec2", dict(return_attention_mask=True)), "encoder",
        [40] * 3,
    ),
    "VoxtralRealtimeEncoder": (dict(**SIZES, head_dim=8), ("VoxtralRealtime", {}), "", [39] * 3),
    "Gemma3nAudioEncoder": (
        dict(hidden_size=16, conf_num_hidden_layers=3, conf_num_attention_heads=2, sscp_conv_channel_size=(8, 4)),
        ("Gemma3nAudio", {}), "", [20, 20, 20, 5],
    ),
    "GraniteSpeechCTCEncoder": (GRANITE, ("GraniteSpeech", {}), "", [40] * 3),
    "Dots3NoteAudioModel": (
        dict(**SIZES, head_dim=8, downsample_hidden_size=8, adapter_input_size=16, adapter_out_dim=16),
        ("Dots3Note", {}), "", [10] * 3,
    ),
    "Phi4MultimodalAudioModel": (PHI, ("Phi4Multimodal", {}), "", [10] * 3),
    "MuseSparkAudioModel": (
        dict(patch_sizes=(16, 30, 4), hidden_sizes=(16,) * 3, depths=(1,) * 3, num_hidden_layers=3, out_hidden_size=16),
        ("MuseSpark", {}), "", [795, 27, 7],
    ),
    "PeAudioEncoder": (PE, ("PeAudio", {}), "", [7] * 3),
    "PeAudioVideoEncoder": (
        dict(**SIZES, audio_config=PE, video_config=dict(PE, model_type="pe_audio_encoder")), ("PeAudio", {}),
        "embedder.audio_encoder", [7] * 3,
    ),
    "Nemotron3DiarizationAudioModel": (SIZES, ("NemotronAsrStreaming", dict(feature_size=128)), "", [10] * 3),
}  # fmt: skip


AT_MOST_30_S = [name for name, (_, extractor, *_) in MODELS.items() if extractor[0] in ("Whisper", "CohereAsr")]
AT_MOST_30_S += ["Gemma4AudioModel", "Gemma3nAudioEncoder"]
LONGER = (30.2, 44.71, 59.93)
CLASS_TOKEN = ("PeAudioEncoder", "PeAudioVideoEncoder")  # comes before the frames


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_the_encoder_is_found(name, build, samples, block_outputs, tmp_path):
    sizes, extractor, place, frames = MODELS[name]
    model, audio = build(tmp_path, name, sizes, extractor), samples(0.795)
    encoder = open_hugging_face(tmp_path)
    part = model.get_submodule(place)
    assert type(encoder.encoder) is type(part)
    torch.testing.assert_close(encoder.encoder.state_dict(), part.state_dict())
    lists = (module for module in part.modules() if isinstance(module, torch.nn.ModuleList) and len(module) == 3)
    largest = max(lists, key=lambda blocks: sum(p.numel() for p in blocks.parameters()))
    layers, (blocks, found) = encoder(audio).layers, block_outputs(largest, part, **encoder._inputs(audio).named)
    assert [tuple(layer.shape) for layer in layers] == [(length, 16) for length in frames]
    assert len(blocks) in (len(layers), len(layers) - 1)
    for layer, block in zip(layers[:-1], blocks):
        assert layer.isfinite().all()
        block = block if block.dim() == 2 else block[0]
        torch.testing.assert_close(layer, block[name in CLASS_TOKEN :][: len(layer)])
    last = found if isinstance(found, torch.Tensor) else found.last_hidden_state
    torch.testing.assert_close(layers[-1], (last if last.dim() == 2 else last[0])[: frames[-1]])
    for seconds in (0.5621, 13.29, *range(3, 30, 2), 15.7, 29.93, *LONGER * (name not in AT_MOST_30_S)):
        encoder._inputs(samples(seconds))  # raises if something is cut or filled up


@pytest.mark.parametrize(
    "name, seconds, message",
    [
        ("Qwen3ASREncoder", 0.44, r"makes 0.\d\d s of 0.44 s of audio: leave longer or shorter ones out"),
        ("Gemma4AudioModel", 30.06, r"makes 30.0\d s of 30.06 s of audio"),
        ("CohereAsrModel", 36, r"s of 36.00 s of audio in 2 pieces"),
        ("WhisperForConditionalGeneration", 30.5, "30.5 s of audio, this encoder takes 30 s"),
    ],
)
def test_extractors_that_cut_or_pad(name, build, seconds, message, samples, tmp_path):
    sizes, extractor, _, _ = MODELS[name]
    build(tmp_path, name, sizes, extractor)
    encoder = open_hugging_face(tmp_path)
    with pytest.raises(ValueError, match=message):
        encoder(samples(seconds))


def test_an_adapter_of_another_width_is_one_layer_more(build, samples, tmp_path):
    adapter = dict(add_adapter=True, num_adapter_layers=1, adapter_stride=1, output_hidden_size=24)
    build(tmp_path, "Wav2Vec2Model", {**SIZES, **CONVOLUTIONS, **adapter}, ("Wav2Vec2", {}))
    layers = open_hugging_face(tmp_path)(samples(0.795)).layers
    assert [layer.shape[1] for layer in layers] == [16, 16, 16, 24]


def refused(folder):
    with pytest.raises(ValueError) as caught:
        open_hugging_face(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_models_without_a_speech_encoder(build, tmp_path):
    for name, sizes, extractor, message in (
        ("ASTForAudioClassification", SIZES, ("AST", {}), "ASTModel: the feature extractor makes as much of one"),
        ("EncodecModel", dict(num_filters=4, hidden_size=16), ("Encodec", {}), "none takes input_values alone"),
        ("WhisperForCausalLM", dict(**PAIRS, **DECODER, **IDS), ("Whisper", {}), "none takes input_features alone"),
    ):
        build(tmp_path / name, name, sizes, extractor)
        found = refused(tmp_path / name)
        assert re.search(message, found), found
        assert f"no part of {name} makes frames from the features of preprocessor_config.json" in found


def test_padding_without_a_length_is_refused_at_once(build, tmp_path, monkeypatch):
    build(tmp_path, "Wav2Vec2Model", {**SIZES, **CONVOLUTIONS}, ("Wav2Vec2", {}))
    call = Extractor.__call__
    monkeypatch.setattr(Extractor, "__call__", lambda *call_of: call(*call_of)._replace(mask=torch.tensor([[1, 0]])))
    assert "pads the last frames, and the encoder does not tell which" in refused(tmp_path)


def test_only_the_encoder_needs_its_weights(build, samples, tmp_path, capfd):
    """A missing head does no harm, a missing layer does; transformers' own table of them is not printed."""
    sizes, extractor, _, _ = MODELS["ParakeetForCTC"]
    for part in ("ctc_head", "encoder.layers.1"):
        folder = tmp_path / part
        model = build(folder, "ParakeetForCTC", sizes, extractor)
        kept = {key: value for key, value in model.state_dict().items() if not key.startswith(f"{part}.")}
        assert len(kept) < len(model.state_dict())
        model.save_pretrained(folder, state_dict=kept)
    capfd.readouterr()
    assert len(open_hugging_face(tmp_path / "ctc_head")(samples(0.5)).layers) == 3
    assert "lack encoder.layers.1." in refused(tmp_path / "encoder.layers.1")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("named", [None, ["pipeline"], ["Wav2Vec2Config"], [None], ["AutoModelForSpeechSeq2Seq"]])
def test_an_architecture_that_is_no_model(named, build, samples, tmp_path):
    """Then AutoModel's is taken."""
    build(tmp_path, "Wav2Vec2Model", {**SIZES, **CONVOLUTIONS}, ("Wav2Vec2", {}))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": named}))
    assert [len(layer) for layer in open_hugging_face(tmp_path)(samples(0.795)).layers] == [39] * 3


def test_code_in_the_folder_is_not_asked_for(build, tmp_path, capfd):
    build(tmp_path, "Wav2Vec2Model", {**SIZES, **CONVOLUTIONS}, ("Wav2Vec2", {}))
    config = json.loads((tmp_path / "config.json").read_text())
    own = {"model_type": "of_somebody", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "config.json").write_text(json.dumps({**config, **own}))
    (tmp_path / "code.py").write_text("raise SystemExit")
    capfd.readouterr()
    assert "contains custom code" in refused(tmp_path)
    assert capfd.readouterr().out == ""
