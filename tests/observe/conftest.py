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
PAIRS = {
    f"{part}_{name}": size
    for part in ("encoder", "decoder")
    for name, size in (("layers", 3), ("ffn_dim", 16), ("attention_heads", 2))
}


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
    options = {name: value for name, value in vars(args).items() if name != "config"} | {"distributed": False}
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
    args = ASRTask.get_parser().parse_args(["--token_list", "a"])
    vars(args).update(config)
    torch.manual_seed(1)
    model = ASRTask.build_model(args).eval()
    (folder / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(vars(args), default=str))))
    torch.save(model.state_dict(), folder / "valid.acc.ave.pth")
    return folder, model


@pytest.fixture(scope="session")
def whisper(build, tmp_path_factory):
    """A Whisper of three encoder layers that takes 2 s: 100 frames."""
    ids = dict(vocab_size=9, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    sizes = dict(d_model=16, num_mel_bins=80, max_source_positions=100, **PAIRS, **ids)
    folder = tmp_path_factory.mktemp("whisper")
    return folder, build(folder, "WhisperModel", sizes, ("Whisper", dict(chunk_length=2)))


@pytest.fixture(scope="session", params=["group", "layer"])
def wav2vec(request, build, tmp_path_factory):
    """wav2vec 2.0 in both forms: a group norm over the whole (padded) waveform, or layer norms."""
    norms = dict(feat_extract_norm=request.param, do_stable_layer_norm=request.param == "layer")
    sizes = dict(conv_dim=(16,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, **SIZES, **norms)
    folder = tmp_path_factory.mktemp("wav2vec")
    return folder, build(folder, "Wav2Vec2Model", sizes, ("Wav2Vec2", dict(do_normalize=True)))


@pytest.fixture(scope="session")
def w2v_bert(build, tmp_path_factory):
    """w2v-BERT 2.0: its feature extractor joins frames by twos and masks what it fills up."""
    folder = tmp_path_factory.mktemp("w2v_bert")
    return folder, build(folder, "Wav2Vec2BertModel", SIZES, ("SeamlessM4T", {}))


@pytest.fixture(scope="session")
def speech2text(build, tmp_path_factory):
    """Speech2Text: four frames become one, and nothing is masked in a single utterance."""
    folder = tmp_path_factory.mktemp("speech2text")
    sizes = dict(d_model=16, conv_channels=16, vocab_size=9, **PAIRS)
    return folder, build(folder, "Speech2TextModel", sizes, ("Speech2Text", {}))


@pytest.fixture(scope="session")
def samples():
    """(seconds) -> noise (N,) at 16 kHz."""
    return lambda seconds: 0.1 * torch.randn(int(16000 * seconds), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def build():
    """(folder, name, sizes, extractor) -> a random model, saved with its feature extractor."""

    def build(folder, name, sizes, extractor):
        kind, extractor_kind = _find(name), getattr(transformers, f"{extractor[0]}FeatureExtractor", None)
        if kind is None or extractor_kind is None:
            pytest.skip(f"transformers {transformers.__version__} has no {name}")
        torch.manual_seed(7)
        model = kind(kind.config_class(**sizes)).eval()
        model.save_pretrained(folder)
        extractor_kind(**extractor[1]).save_pretrained(folder)
        return model

    return build


@pytest.fixture(scope="session")
def block_outputs():
    """(blocks, model, **inputs) -> what the blocks put out while the model runs, and what the model does."""

    def run(blocks, model, *inputs, **named):
        caught = []
        hooks = [block.register_forward_hook(lambda *call: caught.append(call[-1])) for block in blocks]
        result = model(*inputs, **named)
        for hook in hooks:
            hook.remove()
        return [output[0] if isinstance(output, tuple) else output for output in caught], result

    return run
