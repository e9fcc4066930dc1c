"""Encoders that other installed packages offer by entry points, and the one line for each fault of such a package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import espnet_llmasr
from espnet_llmasr.asr.encoders import REGISTRY, encoder_class
from espnet_llmasr.asr.frontends import frontend_class, read_framing
from espnet_llmasr.audio import Windows
from espnet_llmasr.bin import phoneme_ctc_train

EXAMPLE = Path(espnet_llmasr.__file__).parents[1] / "egs2/TEMPLATE/llmasr1/local/my_encoder"


@pytest.fixture()
def install(monkeypatch, tmp_path):
    """(name, "module:object", code, group): puts an installed package with this entry point on the path."""

    def put(name, value, code="", group="espnet_llmasr.encoders"):
        info = tmp_path / "their_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
        (tmp_path / f"{value.partition(':')[0]}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)

    return put


def test_the_example_of_the_recipes_is_found_after_pip_install(phone_options, monkeypatch, tmp_path):
    """It is built and installed as pip does it, without network."""
    shutil.copytree(EXAMPLE, tmp_path / "my_encoder")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    pip += ["--target", tmp_path / "site", tmp_path / "my_encoder"]
    done = subprocess.run([*map(str, pip)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert REGISTRY.names() == (*REGISTRY.own, "my_encoder")
    config = tmp_path / "encoder.yaml"
    config.write_text(yaml.safe_dump(dict(encoder="my_encoder", encoder_conf=dict(output_size=8, num_blocks=2))))
    assert read_framing(config, 16000).encoder == Windows(3, 2)
    encoder = encoder_class("my_encoder")(input_size=20, output_size=8, num_blocks=2).eval()
    torch.manual_seed(0)
    feats, lengths = torch.randn(2, 31, 20), torch.tensor([31, 12])
    frames, olens, _ = encoder(feats, lengths)
    alone, _, _ = encoder(feats[1:, :12], lengths[1:])
    assert olens.tolist() == [15, 5] and not frames[1, 5:].any()
    torch.testing.assert_close(frames[1, :5], alone[0])
    layers = encoder.forward_layers(feats, lengths)
    assert len(layers) == encoder.num_layers == 2 and torch.equal(layers[-1], frames)


def test_a_class_of_espnet_gets_the_adapter(install):
    install("theirs", "their_conformer:Theirs", "from espnet2.asr.encoder.transformer_encoder import *\n"
            "class Theirs(TransformerEncoder): pass\n")  # fmt: skip
    conf = dict(output_size=16, num_blocks=2, attention_heads=2, linear_units=32)
    assert encoder_class("theirs")(input_size=20, **conf).windows == Windows(7, 4)


@pytest.mark.parametrize(
    "name, value, code, message",
    [
        ("theirs_1", "their_1:Theirs", "import a_library_that_is_not_there", "the encoder 'theirs_1' of their-package "
         "cannot be loaded (ModuleNotFoundError: No module named 'a_library_that_is_not_there'): repair or uninstall"),
        ("theirs_2", "their_2:Theirs", "", "cannot be loaded (AttributeError: "),
        ("theirs_3", "their_3:Theirs", "1 / 0", "cannot be loaded (ZeroDivisionError: division by zero)"),
        ("theirs_4", "their_4:Theirs", "Theirs = 3", "is no class but their_4:Theirs: correct the entry point"),
        ("theirs_5", "their_5:Theirs", "class Theirs: pass", "(their_5.Theirs) is neither an Encoder"),
        ("conformer", "their_6:Theirs", "class Theirs: pass", "has the name of one of ours: rename it"),
    ],
)  # fmt: skip
def test_faults_of_a_package(name, value, code, message, install, phone_options, command, tmp_path):
    install(name, value, code)
    encoder_class.cache_clear()
    done = command(phoneme_ctc_train, *phone_options(tmp_path / "out", encoder=name))
    assert done.code == 1 and "Traceback" not in done.err and message in done.err.strip().splitlines()[-1]


def test_a_frontend_of_a_package(install):
    code = "from espnet_llmasr.asr.frontend import Waveform\nclass Theirs(Waveform): pass\nclass Other: pass\n"
    install("theirs", "their_frontend:Theirs", code, "espnet_llmasr.frontends")
    assert frontend_class("theirs")(8000).windows == Windows(80, 80)
    with pytest.raises(ValueError, match="there is no frontend 'other', allowed are kaldi_fbank, .*theirs"):
        frontend_class("other")


def test_a_frontend_of_another_kind(install):
    install("other", "their_other:Other", "class Other: pass\n", "espnet_llmasr.frontends")
    with pytest.raises(ValueError, match="'other' .their_other.Other. is no Frontend .* derive it from that class"):
        frontend_class("other")


def test_a_broken_package_harms_nobody_else(install):
    install("theirs_7", "their_7:Theirs", "1 / 0")
    assert "theirs_7" in REGISTRY.names() and encoder_class("firered_conformer")
    with pytest.raises(ValueError, match="there is no encoder 'elsewhere', allowed are firered_conformer, .*theirs_7"):
        encoder_class("elsewhere")
