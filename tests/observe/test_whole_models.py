"""Encoders inside audio LLMs give the frames that they give where the whole model calls them."""

import json

import pytest
import torch
import transformers

from espnet_llmasr.observe.hugging_face import open_hugging_face

SIZES = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
PAIRS = dict(d_model=16, encoder_layers=3, encoder_ffn_dim=16, encoder_attention_heads=2)
OMNI = dict(feature_size=128, chunk_length=300)
SOUND = 40  # the token in whose place the frames come
TEXT = {**SIZES, "num_hidden_layers": 1, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 50}
VISION = dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=16)
ASKED = dict(sampling_rate=16000, return_tensors="pt", return_attention_mask=True)
QWEN = dict(text_config=dict(**TEXT, model_type="qwen3"), audio_token_id=SOUND)

# model: (sizes, feature extractor and its options, how the processor calls it, what the model calls its mask)
WHOLE = {
    "Qwen2AudioForConditionalGeneration": (
        dict(audio_config=dict(**PAIRS, model_type="qwen2_audio_encoder"), audio_token_index=SOUND)
        | dict(text_config=dict(**TEXT, model_type="qwen2")), ("Whisper", dict(feature_size=128)), {}, "",
    ),
    "AudioFlamingo3ForConditionalGeneration": (
        dict(audio_config=dict(**PAIRS), **QWEN), ("Whisper", dict(feature_size=128)), {}, "input_features_mask",
    ),
    "Qwen2_5OmniThinkerForConditionalGeneration": (
        dict(audio_config=dict(**PAIRS, output_dim=16), vision_config=VISION, text_config=TEXT), ("Whisper", OMNI), {},
        "feature_attention_mask",
    ),
    "Qwen3OmniMoeThinkerForConditionalGeneration": (
        dict(audio_config=dict(**PAIRS, output_dim=16, downsample_hidden_size=8))
        | dict(vision_config=dict(**VISION, deepstack_visual_indexes=[0]))
        | dict(text_config=dict(**TEXT, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8)),
        ("Whisper", dict(feature_size=128)), dict(padding=True, truncation=False), "feature_attention_mask",
    ),
    "Qwen3ASRForConditionalGeneration": (
        dict(audio_config=dict(**PAIRS, output_dim=16, downsample_hidden_size=8), **QWEN), ("Qwen3ASR", {}),
        dict(padding=True), "input_features_mask",
    ),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("name", WHOLE)
def test_the_frames_are_those_of_the_whole_model(name, build, samples, tmp_path):
    """Where an audio LLM prepares the inputs itself, the same frames come out, and as many."""
    sizes, extractor, options, mask = WHOLE[name]
    model, caught = build(tmp_path, name, sizes, extractor), []
    encoder, processor = open_hugging_face(tmp_path), transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    part = next(part for part in model.modules() if type(part) is type(encoder.encoder))
    part.register_forward_hook(lambda *call: caught.append(call[-1].last_hidden_state))
    for seconds in (0.1, 0.3331, 0.795, 0.80625, 2.5, 15.7, 29.9)[2 * (extractor[0] == "Qwen3ASR") :]:
        audio = samples(seconds)
        made = processor([audio.numpy()], **ASKED, **options)
        mel = int(made.attention_mask.sum())
        if mask:
            model.get_audio_features(made.input_features, **{mask: made.attention_mask})
        else:
            tokens = torch.full((1, (mel + 1) // 2 // 2), SOUND)
            model(tokens, made.input_features, feature_attention_mask=made.attention_mask)
        frames = caught.pop()
        if frames.dim() == 3:
            frames = frames[0, : (mel + 1) // 2 // 2]
        torch.testing.assert_close(encoder(audio).layers[-1], frames)


@torch.no_grad()
def test_an_encoder_that_takes_whole_groups_of_frames(build, samples, tmp_path):
    """Nemotron 3.5 Transcribe: its processor fills up to multiples of 8, and it splits over 40 s into pieces."""
    stream = dict(**SIZES, num_key_value_heads=2)
    speakers = dict(audio_config={**stream, "num_hidden_layers": 1}, head_config=dict(audio_hidden_size=16))
    speakers.update(chunk_length=500, chunk_left_context=50, chunk_right_context=50)
    sizes = dict(audio_config=dict(asr_config=stream, diarization_config=speakers), word_timestamp_config=stream)
    sizes["text_config"] = dict(**TEXT, model_type="llama")
    name = "Nemotron3_5TranscribeForConditionalGeneration"
    model = build(tmp_path, name, sizes, ("NemotronAsrStreaming", dict(feature_size=128)))
    encoder, extractor = open_hugging_face(tmp_path), transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    for seconds in (0.1, 0.3331, 0.795, 0.80625, 2.5, 15.7, 39.9):
        audio = samples(seconds)
        made = extractor([audio.numpy()], **ASKED)
        more = -made.input_features.size(1) % 8
        features = torch.nn.functional.pad(made.input_features, (0, 0, 0, more))
        mask = torch.nn.functional.pad(made.attention_mask, (0, more))
        frames = model.get_audio_features(features, mask).last_hidden_state[0]
        torch.testing.assert_close(encoder(audio).layers[-1], frames[: -(-int(mask.sum()) // 8)])
    with pytest.raises(ValueError, match="processes it in pieces: leave longer ones out"):
        encoder(samples(40.1))


def test_an_architecture_that_transformers_does_not_know(build, samples, tmp_path):
    """The Qwen2.5-Omni released calls itself a Qwen2_5OmniModel; its own loader wants a file with voices."""
    thinker = WHOLE["Qwen2_5OmniThinkerForConditionalGeneration"][0]
    sizes = dict(thinker_config=thinker, enable_audio_output=False)
    model = build(tmp_path, "Qwen2_5OmniForConditionalGeneration", sizes, ("Whisper", OMNI))
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("Qwen2_5OmniForConditionalGeneration", "Qwen2_5OmniModel"):
        (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": [name]}))
        found = open_hugging_face(tmp_path)
        part = next(part for part in model.modules() if type(part) is type(found.encoder))
        torch.testing.assert_close(found.encoder.state_dict(), part.state_dict())
        assert [len(layer) for layer in found(samples(0.795)).layers] == [40, 40, 40, 20]
