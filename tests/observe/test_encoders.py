"""The frames of every kind of encoder against the model called by hand, and how a kind is found out."""

import shutil

import pytest
import torch
import yaml
from torch import nn

from espnet_llmasr.observe.encoders import find_encoder
from espnet_llmasr.tasks.llm_asr import LLMASRTask, adaptor_choices


def frames(spec, audio):
    return find_encoder(str(spec)).open()(audio)


def same(found, expected, **tolerance):
    assert len(found) == len(expected)
    for layer, other in zip(found, expected):
        torch.testing.assert_close(layer, other, **tolerance)


@torch.no_grad()
def by_hand(model, audio):
    """All layers and the padded output of one of our models."""
    feats, lengths = model.frontend(audio[None], torch.tensor([len(audio)]))
    feats, lengths = model.normalize(feats, lengths)
    return [layer[0] for layer in model.encoder.forward_layers(feats, lengths)]


@torch.no_grad()
def test_fine_tuning_has_an_adaptor(own, samples):
    exp, _, llm = own
    audio = samples(0.8)
    found = frames(f"{exp}/joint_sft:1epoch.pth", audio)
    same(found.layers, by_hand(llm, audio))
    tokens, lengths = llm.embed_speech(audio[None], torch.tensor([len(audio)]))
    same([found.adaptor], [tokens[0, : lengths[0]]])
    assert found.adaptor.shape == (5, 64)


class Plain(nn.Module):
    """A speech token for every frame."""

    def __init__(self, input_size, output_size, bias=True):
        super().__init__()
        self.layer = nn.Linear(input_size, output_size, bias)

    def forward(self, frames, lengths):
        return self.layer(frames), lengths

    def output_lengths(self, lengths):
        return lengths


def test_another_adaptor_is_trained_and_found(llm_options, samples, monkeypatch, tmp_path):
    monkeypatch.setitem(adaptor_choices.classes, "plain", Plain)
    options = dict(adaptor="plain", adaptor_conf=dict(bias=False), max_epoch=1)
    LLMASRTask.main(cmd=llm_options(tmp_path / "out", **options))
    weights = torch.load(tmp_path / "out/latest.pth", weights_only=True)
    assert [name for name in weights if name.startswith("adaptor.")] == ["adaptor.layer.weight"]
    found = frames(tmp_path / "out", samples(0.8))
    same([found.adaptor], [found.layers[-1] @ weights["adaptor.layer.weight"].T])


def test_a_configuration_without_the_name_of_its_adaptor(own, samples, tmp_path):
    """Those of earlier versions."""
    shutil.copytree(own[0] / "joint_sft", tmp_path / "old")
    conf = yaml.safe_load((tmp_path / "old/config.yaml").read_text())
    assert conf.pop("adaptor") == "concat"
    (tmp_path / "old/config.yaml").write_text(yaml.safe_dump(conf))
    same([frames(tmp_path / "old", samples(0.8)).adaptor], [frames(own[0] / "joint_sft", samples(0.8)).adaptor])
    LLMASRTask.load(tmp_path / "old/config.yaml", tmp_path / "old/latest.pth")


ENCODER = "encoder.000000002.pth"


@pytest.mark.parametrize("spec", ["pretrain", "encoders", f"encoders:{ENCODER}", f"encoders/{ENCODER}"])
def test_pretraining_and_published_encoder(own, samples, spec):
    exp, phone, _ = own
    found = frames(f"{exp}/{spec}", samples(0.8))
    same(found.layers, by_hand(phone, samples(0.8)))
    assert found.adaptor is None and found.layers[0].shape == (18, 64)


@torch.no_grad()
def test_espnet_conformer(stock, samples):
    folder, model = stock
    audio = samples(0.8)
    found = frames(folder, audio)
    output, _ = model.encode(audio[None], torch.tensor([len(audio)]))
    same(found.layers[-1:], [output[0]])
    feats, lengths = model._extract_feats(audio[None], torch.tensor([len(audio)]))
    (_, inner), _, _ = model.encoder(*model.normalize(feats, lengths), return_all_hs=True)
    same(found.layers[:-1], [layer[0] for layer in inner[:-1]])
    assert len(found.layers) == 3 and found.adaptor is None
    assert len(find_encoder(str(folder)).open()(audio).layers) == 3  # hooks do not pile up


@torch.no_grad()
def test_whisper_shows_only_frames_of_the_audio(whisper, samples):
    from transformers import WhisperFeatureExtractor

    folder, model = whisper
    audio = samples(0.795)  # 12,720 samples: 39.75 frames of 320
    found = frames(folder, audio)
    feats = WhisperFeatureExtractor(chunk_length=2)(audio.numpy(), sampling_rate=16000, return_tensors="pt")
    expected = model.encoder(feats.input_features, output_hidden_states=True)
    assert [tuple(layer.shape) for layer in found.layers] == [(40, 16)] * 3
    same(found.layers, [layer[0, :40] for layer in (*expected.hidden_states[1:3], expected.last_hidden_state)])
    with pytest.raises(ValueError, match=r"2\.5 s of audio, this encoder takes 2 s"):
        frames(folder, samples(2.5))


@torch.no_grad()
def test_wav2vec(wav2vec, samples):
    folder, model = wav2vec
    audio = samples(0.8)
    found = frames(folder, audio)
    standard = (audio - audio.mean()) / (audio.var(correction=0) + 1e-7).sqrt()
    expected = model(standard[None], output_hidden_states=True)
    same(found.layers[-1:], [expected.last_hidden_state[0]], atol=1e-5, rtol=1e-4)
    same(found.layers[:-1], [layer[0] for layer in expected.hidden_states[1:-1]], atol=1e-5, rtol=1e-4)
    assert found.layers[0].shape == (39, 16)
    with pytest.raises(ValueError, match="1500 samples are less than the 0.1 s that this encoder needs"):
        frames(folder, audio[:1500])


@torch.no_grad()
@pytest.mark.parametrize("seconds", [1.0, 1.005, 1.04, 0.1])  # 98, 98 + 1, 102, 8 frames: odd and even
def test_w2v_bert_shows_no_frame_that_was_filled_up(w2v_bert, samples, seconds):
    from transformers import SeamlessM4TFeatureExtractor

    (folder, model), audio = w2v_bert, samples(seconds)
    inputs = SeamlessM4TFeatureExtractor()(audio.numpy(), sampling_rate=16000, return_tensors="pt")
    expected = model(**inputs, output_hidden_states=True)
    whole = (1 + (len(audio) - 400) // 160) // 2
    found = frames(folder, audio).layers
    assert [layer.shape for layer in found] == [(whole, 16)] * 3
    same(found, [layer[0, :whole] for layer in (*expected.hidden_states[1:-1], expected.last_hidden_state)])


def test_what_is_no_encoder(own, tiny_llm, tmp_path, stock):
    exp = own[0]
    (tmp_path / "config.yaml").write_text("tts: vits\n")
    for name, source in (("broken", exp / "pretrain"), ("other", exp / "pretrain"), ("stock", stock[0])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text((source / "config.yaml").read_text())
    (tmp_path / "broken" / "latest.pth").write_bytes(b"torn")
    for path in ("other/latest.pth", "stock/valid.acc.ave.pth"):
        torch.save({"encoder.x": torch.ones(1)}, tmp_path / path)
    for spec, message in (
        (tmp_path / "absent", "no encoder at .*absent"),
        (tmp_path, "is of another task: expected that of phoneme_ctc_train"),
        (exp, "holds no encoder: expected config.yaml"),
        (tiny_llm, "holds no speech encoder that can be opened"),
        (f"{exp}/joint_sft:9epoch.pth", "has no 9epoch.pth: append one of its weights, :1epoch.pth :latest.pth"),
        (f"{exp}/encoders:encoder.000000009.pth", "has no encoder.000000009.pth: it has encoder.000000002.pth"),
        (tmp_path / "broken", "latest.pth is broken"),
        (tmp_path / "other", "does not fit .*config.yaml"),
        (tmp_path / "stock", "does not fit .*config.yaml"),
    ):
        with pytest.raises(ValueError, match=message):
            find_encoder(str(spec)).open()
