"""A folder of the form of a pack, without a model."""

import pytest
import yaml


@pytest.fixture
def pack(tmp_path, monkeypatch):
    """A folder of the form of a pack, without a model; the cache is a folder of the test."""
    monkeypatch.setenv("ESPNET_LLMASR_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pack"
    (folder / "llm").mkdir(parents=True)
    files = {"llm_asr_model_file": "model.safetensors"}
    meta = {"files": files, "yaml_files": {"llm_asr_train_config": "config.yaml"}, "requires": "espnet_llmasr>=0.1.0"}
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    for name in ("model.safetensors", "config.yaml"):
        (folder / name).write_text("{}")
    (folder / "llm/config.json").write_text("{}")
    return folder


@pytest.fixture
def changed(pack):
    """(**entries) -> the pack with other entries in its meta.yaml."""

    def change(**entries):
        meta = yaml.safe_load((pack / "meta.yaml").read_text())
        (pack / "meta.yaml").write_text(yaml.safe_dump({**meta, **entries}))
        return pack

    return change
