"""Tiny random encoders of every kind that can be measured."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch
import transformers
import yaml

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

SIZES = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)


def _find(name):
    """A model's class; encoders are not among what transformers exports."""
    if hasattr(transformers, name):
        return getattr(transformers, name)
    for models in (Path(transformers.__file__).parent / "models").glob("*/modeling_*.py"):
        if f"class {name}(" in models.read_text(encoding="utf-8"):
            return getattr(import_module(f"transformers.models.{models.parent.name}.{models.stem}"), name)
    return None


def _save(task, model, args, folder):
    """A folder as a training leaves it: config.yaml, 1epoch.pth, latest.pth."""
    folder.mkdir(parents=True)
    options = {name: value for name, value in vars(args).items() if name != "config"}
    (folder / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(options, default=str))))
    torch.save(model.state_dict(), folder / "1epoch.pth")
    (folder / "latest.pth").symlink_to("1epoch.pth")


@pytest.fixture(scope="session")
def own(build_model, phone_options, llm_options, tmp_path_factory):
    """exp / {pretrain, ia_sft, joint_sft, encoders}, and the models in memory: (exp, phone model, llm model)."""
    exp, scratch = tmp_path_factory.mktemp("own") / "exp", tmp_path_factory.mktemp("scratch")
    phone, phone_args = build_model(PhonemeCTCTask, phone_options(scratch / "p"))
    llm, llm_args = build_model(LLMASRTask, llm_options(scratch / "l"))
    _save(PhonemeCTCTask, phone, phone_args, exp / "pretrain")
    for stage, start in (("ia_sft", "align"), ("joint_sft", "ia_sft")):
        llm_args.init_param = [f"exp/{start}/latest.pth"]
        _save(LLMASRTask, llm, llm_args, exp / stage)
    (exp / "encoders").mkdir()
    torch.save(phone.encoder.state_dict(), exp / "encoders" / "encoder.000000002.pth")
    return exp, phone.eval(), llm.eval()


@pytest.fixture(scope="session")
def stock(tmp_path_factory):
    """The folder of an ESPnet ASR model with a Conformer of three blocks, and the model."""
    from espnet2.tasks.asr import ASRTask

    folder = tmp_path_factory.mktemp("stock")
    config = dict(
        token_list=["<blank>", "<unk>", "a", "<sos/eos>"],
        frontend_conf=dict(fs="16k", n_fft=400, hop_length=160),
        encoder="conformer",
        encoder_conf=dict(output_size=16, attention_heads=2, linear_units=16, num_blocks=3, cnn_module_kernel=5),
        decoder="transformer",
        decoder_conf=dict(attention_heads=2, linear_units=16, num_blocks=1),
        normalize="utterance_mvn",
    )
    options = [part for name, value in config.items() for part in (f"--{name}", _text(value))]
    args = ASRTask.get_parser().parse_args([*options[2:], "--token_list", "a"])
    args.token_list = config["token_list"]
    torch.manual_seed(1)
    model = ASRTask.build_model(args).eval()
    saved = json.loads(json.dumps(vars(args), default=str))
    (folder / "config.yaml").write_text(yaml.safe_dump(saved))
    torch.save(model.state_dict(), folder / "valid.acc.ave.pth")
    return folder, model


def _text(value) -> str:
    return json.dumps(value) if isinstance(value, dict) else value


@pytest.fixture(scope="session")
def whisper(tmp_path_factory):
    """A Whisper of three encoder layers that takes 2 s: 100 frames."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    folder = tmp_path_factory.mktemp("whisper")
    sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in (("layers", 3), ("ffn_dim", 16))}
    heads = dict(encoder_attention_heads=2, decoder_attention_heads=2)
    ids = dict(vocab_size=9, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    torch.manual_seed(2)
    config = WhisperConfig(d_model=16, num_mel_bins=80, max_source_positions=100, **sizes, **heads, **ids)
    model = WhisperModel(config).eval()
    model.save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="session", params=["group", "layer"])
def wav2vec(request, tmp_path_factory):
    """wav2vec 2.0 in both forms: a group norm over the whole (padded) waveform, or layer norms."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    folder, stable = tmp_path_factory.mktemp("wav2vec"), request.param == "layer"
    config = Wav2Vec2Config(
        **SIZES, conv_dim=(16,) * 7, feat_extract_norm=request.param, do_stable_layer_norm=stable,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    torch.manual_seed(3)
    model = Wav2Vec2Model(config).eval()
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="session")
def w2v_bert(tmp_path_factory):
    """w2v-BERT 2.0: its feature extractor joins frames by twos and masks what it fills up."""
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    torch.manual_seed(4)
    folder, model = tmp_path_factory.mktemp("w2v_bert"), Wav2Vec2BertModel(Wav2Vec2BertConfig(**SIZES)).eval()
    return _saved(folder, model, SeamlessM4TFeatureExtractor())


@pytest.fixture(scope="session")
def parakeet(tmp_path_factory):
    """Parakeet's encoder: 8 frames become one, and it returns the mask of these."""
    from transformers import ParakeetEncoder, ParakeetEncoderConfig, ParakeetFeatureExtractor

    torch.manual_seed(5)
    config = ParakeetEncoderConfig(**SIZES, subsampling_conv_channels=8)
    return _saved(tmp_path_factory.mktemp("parakeet"), ParakeetEncoder(config).eval(), ParakeetFeatureExtractor())


@pytest.fixture(scope="session")
def speech2text(tmp_path_factory):
    """Speech2Text: four frames become one, and nothing is masked in a single utterance."""
    from transformers import Speech2TextConfig, Speech2TextFeatureExtractor, Speech2TextModel

    sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in (("layers", 3), ("ffn_dim", 16))}
    heads = dict(encoder_attention_heads=2, decoder_attention_heads=2)
    torch.manual_seed(6)
    model = Speech2TextModel(Speech2TextConfig(d_model=16, conv_channels=16, vocab_size=9, **sizes, **heads)).eval()
    return _saved(tmp_path_factory.mktemp("speech2text"), model, Speech2TextFeatureExtractor())


def _saved(folder, model, extractor):
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="session")
def samples():
    """(seconds) -> noise (N,) at 16 kHz."""
    return lambda seconds: 0.1 * torch.randn(int(16000 * seconds), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def build():
    """Saves a model of Hugging Face at random, with its feature extractor."""

    def build(folder, name, sizes, extractor):
        """The model, saved at random in the folder with its feature extractor. Skips what this version has not."""
        kind, made = _find(name), getattr(transformers, f"{extractor[0]}FeatureExtractor", None)
        if kind is None or made is None:
            pytest.skip(f"transformers {transformers.__version__} has no {name}")
        torch.manual_seed(7)
        model = kind(kind.config_class(**sizes)).eval()
        model.save_pretrained(folder)
        made(**extractor[1]).save_pretrained(folder)
        return model

    return build
