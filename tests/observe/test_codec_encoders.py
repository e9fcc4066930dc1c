"""Encoders of codecs, which ASR models use as well: frames called latents, channels before frames."""

import pytest
import torch
import transformers

from espnet_llmasr.observe.hugging_face import open_hugging_face

TEXT = dict(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=8, vocab_size=50,
)  # fmt: skip
STAGES = dict(num_filters=4, hidden_size=8, downsampling_ratios=[2, 2, 4, 5, 5, 8], depths=[1] * 7)
TOKENIZER = dict(**STAGES, model_type="vibevoice_acoustic_tokenizer_encoder")
MIMI = dict(
    num_filters=4, upsample_groups=16, codebook_size=16, codebook_dim=8, vector_quantization_hidden_dimension=8,
    num_quantizers=4, num_semantic_quantizers=1, **{**TEXT, "num_hidden_layers": 3, "intermediate_size": 16},
)  # fmt: skip
WIDTHS = [8, 16, 32, 64, 128, 256, 8]

# model: (sizes, feature extractor and its options, the encoder's place, (frames, width) of each layer of 0.53 s)
CODECS = {
    "VibeVoiceAsrForConditionalGeneration": (
        dict(acoustic_tokenizer_encoder_config=TOKENIZER, semantic_tokenizer_encoder_config=TOKENIZER)
        | dict(text_config=dict(**TEXT, intermediate_size=16, model_type="qwen2")), ("VibeVoiceAcousticTokenizer", {}),
        "model.acoustic_tokenizer_encoder", list(zip([6360, 3180, 795, 159, 32, 4, 4], WIDTHS)),
    ),
    "MimiModel": (MIMI, ("Encodec", {}), "encoder", [(14, 16)] * 3 + [(7, 16)]),
    "KyutaiSpeechToTextForConditionalGeneration": (
        dict(**TEXT, codec_config=dict(**MIMI, model_type="mimi"), ffn_dim=32, codebook_vocab_size=17, num_codebooks=4)
        | dict(audio_bos_token_id=16, audio_pad_token_id=16, bos_token_id=1, pad_token_id=3),
        ("KyutaiSpeechToText", dict(audio_delay_seconds=0.5, audio_silence_prefix_seconds=1.0)), "codec_model.encoder",
        [(14, 16)] * 3 + [(7, 16)],
    ),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("name", CODECS)
def test_frames_and_layers(name, build, samples, block_outputs, tmp_path):
    """What the encoder makes of the utterance alone, without silence before or after it, and without noise."""
    sizes, extractor, place, shapes = CODECS[name]
    part = build(tmp_path, name, sizes, extractor).get_submodule(place)
    encoder, audio = open_hugging_face(tmp_path), samples(0.795)  # 0.53 s at 24 kHz
    assert type(encoder.encoder) is type(part)
    layers = encoder(audio).layers
    assert [tuple(layer.shape) for layer in layers] == shapes
    (waveform,) = (
        value for value in encoder._inputs(audio).named.values() if torch.is_tensor(value) and value.is_floating_point()
    )
    assert 0 <= waveform.size(-1) - len(audio) < encoder._extractor.unit
    if "VibeVoice" not in name:  # which changes the loudness
        assert torch.equal(waveform[0, 0], audio)
    channels_first = hasattr(part, "conv_layers")
    blocks, whole = block_outputs(
        part.conv_layers if channels_first else part.encoder_transformer.layers, part, waveform
    )
    inner = [block[0].T if channels_first else block[0] for block in blocks]
    for layer, frames in zip(layers, [*inner, whole.latents[0] if channels_first else whole.latents[0].T]):
        torch.testing.assert_close(layer, frames[: len(layer)])
    for layer, again in zip(layers, encoder(audio).layers):
        assert torch.equal(layer, again)


def test_no_pause_is_added(build, samples, tmp_path):
    """PocketTTS's extractor would add one, and cut the silence at the end."""
    sizes = dict(num_filters=4, hidden_size=32, num_attention_heads=2, num_key_value_heads=2, intermediate_size=16)
    build(tmp_path, "PocketTTSAudioTokenizerModel", dict(**sizes, upsample_groups=32), ("PocketTTS", {}))
    encoder = open_hugging_face(tmp_path)
    for sound in (samples(1.2), torch.cat([samples(1.5), torch.zeros(7200)])):
        assert [len(layer) for layer in encoder(sound).layers] == [-(-len(sound) // n) for n in (120, 120, 1920)]
        assert torch.equal(encoder._inputs(sound).named["input_values"][0, 0, : len(sound)], sound)


@torch.no_grad()
def test_vibevoice_has_the_frames_of_the_whole_model(build, samples, tmp_path):
    """Of two encoders side by side, the one whose frames get_audio_features hands over as the sound's."""
    name = "VibeVoiceAsrForConditionalGeneration"
    model = build(tmp_path, name, *CODECS[name][:2])
    encoder, extractor = open_hugging_face(tmp_path), transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    for seconds in (0.15, 0.3331, 0.8, 2.5, 95.3):
        audio = samples(seconds)
        inputs = extractor([audio.numpy()], sampling_rate=24000)
        frames = model.get_audio_features(inputs.input_values, inputs.padding_mask, sample=False).last_hidden_state
        torch.testing.assert_close(encoder(audio).layers[-1], frames[0])
