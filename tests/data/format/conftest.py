"""A data directory for bin.format_data."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from espnet_llmasr.bin import format_data
from espnet_llmasr.cli import run
from espnet_llmasr.files import read_scp

RATE = 16000


class Data:
    """A data directory that grows utterance by utterance."""

    def __init__(self, root: Path):
        self.root, self.dir, self.out = root, root / "data", root / "dump" / "train"
        self.tokens = root / "dump" / "phones.txt"
        self.dir.mkdir()
        self.wavs, self.texts = [], []

    def add(self, key, text="你好", samples=None, rate=RATE, **write):
        path = self.dir / f"{key}.wav"
        soundfile.write(path, self.noise(1.0, rate) if samples is None else samples, rate, **write)
        self.wavs.append(f"{key} {path}")
        if text is not None:
            self.texts.append(f"{key} {text}".strip())
        return path

    def run(self, *options):
        (self.dir / "wav.scp").write_text("\n".join(self.wavs) + "\n", encoding="utf-8")
        (self.dir / "text").write_text("\n".join(self.texts) + "\n", encoding="utf-8")
        argv = ["--data", str(self.dir), "--out", str(self.out), "--tokens", str(self.tokens), *options]
        format_data.main(argv)
        return json.loads((self.out / "stats.json").read_text())

    def exit_code(self, *options):
        with pytest.raises(SystemExit) as stopped:
            run(lambda: self.run(*options))
        return stopped.value.code

    def table(self, name):
        return read_scp(self.out / name)

    def snapshot(self):
        """{path: content} of everything that was written."""
        root = self.out.parent
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    @staticmethod
    def noise(seconds, rate=RATE, channels=1):
        """(N,), or (N, channels)."""
        draw = np.random.default_rng(0).uniform(-0.1, 0.1, (round(seconds * rate), channels))
        return draw[:, 0] if channels == 1 else draw


@pytest.fixture
def data(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    return Data(tmp_path)
