"""What mixes with what: each encoder and frontend is pretrained, watched, fine-tuned, guarded, packed and loaded.

The LLM families go through the same in tests/asr/test_llm_families.py.
"""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
import yaml

import espnet_llmasr
from espnet_llmasr import Speech2Text
from espnet_llmasr.bin import llm_asr_train, phoneme_ctc_train, plan_training, prepare_encoder
from espnet_llmasr.encoder_swap.probe import build_probe
from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.calibration import Calibration
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.text.inventories import read_tokens
from espnet_llmasr.train.speech_batches import read_audio
from espnet_llmasr.zoo.pack import Parts, pack

EXAMPLE = Path(espnet_llmasr.__file__).parents[1] / "egs2/TEMPLATE/llmasr1/local/my_encoder"
SMALL = dict(output_size=16, num_blocks=2, attention_heads=2)
UNITS = dict(linear_units=32)
BRANCH = dict(cgmlp_linear_units=32, cgmlp_conv_kernel=5)
CONVS = dict(rel_pos_type="latest", cnn_module_kernel=5)
MULTI = dict(rel_pos_type="latest", cgmlp_linear_units=32, multicgmlp_kernel_sizes="3,5")
DEFAULT = dict(frontend="default", frontend_conf=dict(hop_length=160))
OWN = dict(encoder="my_encoder", encoder_conf=dict(output_size=16, num_blocks=2))
HF = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
STACK = dict(conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
WHISPER = dict(d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, decoder_layers=1)
WHISPER |= dict(decoder_attention_heads=2, decoder_ffn_dim=24, max_source_positions=150, vocab_size=20)
WHISPER |= dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
CASES = {  # options of encoder.yaml; or a configuration of transformers and its feature extractor
    "conformer": dict(encoder="conformer", encoder_conf=SMALL | UNITS | CONVS),
    "transformer": dict(encoder="transformer", encoder_conf=SMALL | UNITS),
    "branchformer": dict(encoder="branchformer", encoder_conf=SMALL | BRANCH),
    "e_branchformer": dict(encoder="e_branchformer", encoder_conf=SMALL | UNITS | BRANCH),
    "multiconv_conformer": dict(encoder="multiconv_conformer", encoder_conf=SMALL | UNITS | MULTI),
    "default + firered_conformer": DEFAULT,
    "default + e_branchformer": DEFAULT | dict(encoder="e_branchformer", encoder_conf=SMALL | UNITS | BRANCH),
    "my_encoder": OWN,
    "whisper": (transformers.WhisperConfig(**WHISPER), transformers.WhisperFeatureExtractor()),
    "wav2vec2": (transformers.Wav2Vec2Config(**HF, **STACK), transformers.Wav2Vec2FeatureExtractor()),
    "hubert": (transformers.HubertConfig(**HF, **STACK), transformers.Wav2Vec2FeatureExtractor()),
    "w2v_bert": (
        transformers.Wav2Vec2BertConfig(**HF, feature_projection_input_dim=160),
        transformers.SeamlessM4TFeatureExtractor(),
    ),
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The example encoder as an installed package: its module, and the entry point that pip writes."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(EXAMPLE / "my_encoder.py", site)
    info = site / "my_encoder-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-encoder\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[espnet_llmasr.encoders]\nmy_encoder = my_encoder:MyEncoder\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield
    sys.modules.pop("my_encoder", None)


@pytest.fixture(params=CASES)
def mix(request, plugin, tmp_path):
    """Options that choose frontend and encoder, and --init_param with the released weights, if there are any."""
    chosen = CASES[request.param]
    if isinstance(chosen, dict):
        return SimpleNamespace(options=chosen, weights=[])
    config, extractor = chosen
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config, dtype=torch.float32).save_pretrained(tmp_path / "hub")
    extractor.save_pretrained(tmp_path / "hub")
    prepare_encoder.main(["--encoder", f"{tmp_path}/hub", "--output_dir", f"{tmp_path}/released"])
    options = yaml.safe_load((tmp_path / "released/encoder.yaml").read_text())
    return SimpleNamespace(options=options, weights=[f"{tmp_path}/released/encoder.pth::encoder"])


def test_train_watch_decode_pack_load(mix, phone_options, llm_options, corpus, tiny_llm, command, tmp_path):
    head, exp, tokens = tmp_path / "head", tmp_path / "exp", tmp_path / "phones.txt"
    tokens.write_text("".join(f"{token}\n" for token in read_tokens("zh_en")), encoding="utf-8")
    once = dict(mix.options, max_epoch=1, num_iters_per_epoch=1, augment_conf=dict(speed=[0.9, 1.1]))
    model_conf = dict(cr_warmup_batches=2, time_warp_factor=0 if mix.options.get("frontend") == "waveform" else 5)
    options = phone_options(head, **once, token_list=str(tokens), model_conf=model_conf, init_param=mix.weights)
    options += ["--gradient_checkpointing", "encoder"]
    done = command(phoneme_ctc_train, *options)
    assert done.code == 0, done.err
    model, _ = PhonemeCTCTask.load(head / "config.yaml", head / "latest.pth")
    probe = build_probe(model, corpus / "valid", max_frames=1000)
    measured = probe.measure(model.encoder.state_dict(), model.ctc_head.state_dict(), None)
    assert 0 <= measured.values["nse"] <= 1

    weights = [f"{head}/latest.pth:encoder:encoder", f"{tiny_llm}/llm.pth::llm"]
    done = command(llm_asr_train, *llm_options(exp, **once, init_param=weights, freeze_param=["encoder"]))
    assert done.code == 0, done.err
    plan = [f"{exp}.yaml", "--data_dir", corpus / "train", "--llm_dir", tiny_llm]
    done = command(plan_training, *plan)
    assert done.code == 0, done.err
    fingerprint = CTCVerifier(head / "config.yaml", head / "latest.pth").fingerprint()
    Calibration(0.5, 0.9, 12.0, 0.05, 4, fingerprint, "dump/valid").write(head / "guard.json")
    samples = read_audio("valid_0", read_scp(corpus / "valid" / "wav.scp")["valid_0"], 16000)
    files = dict(ctc_train_config=head / "config.yaml", ctc_model_file=head / "latest.pth")
    own = Speech2Text(exp / "config.yaml", exp / "latest.pth", guard="flag", **files)
    assert own.guard.shared
    expected = own(samples)
    archive = pack(Parts(exp / "config.yaml", exp / "latest.pth", *files.values()), tmp_path / "pack")
    for folder in (head, exp):
        shutil.rmtree(folder)
    found = Speech2Text.from_pretrained(archive, guard="flag")(samples)
    assert found == expected
