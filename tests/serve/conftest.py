"""A packed tiny model, and the server as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import numpy as np
import openai
import pytest
import soundfile
import torch
from scipy.signal import lfilter

from espnet_llmasr.inference.hypothesis import Hypothesis

START_S = 180
FORMANTS = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480))  # Hz, of four vowels


@dataclass
class Server:
    """`folder` is its TMPDIR, `log` its standard error."""

    process: subprocess.Popen
    url: str
    folder: Path
    log: Path

    def client(self, key="none") -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=120)

    def post(self, files=None, data=None, timeout=120, **more) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/audio/transcriptions", files=files, data=data, timeout=timeout, **more)

    @property
    def left(self) -> list:
        """Files in its TMPDIR, but torch's own."""
        return [path for path in self.folder.iterdir() if not path.name.startswith("torchinductor")]

    def end(self, number=signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def voice(seconds, pitch, rate=16000):
    """Vowels, one every 0.2 s, (N,): Silero VAD takes them for speech."""
    time_s = np.arange(int(seconds * rate)) / rate
    phase = np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 2.3 * time_s))) / rate
    pulses = np.diff(np.floor(phase), prepend=0) + 0.01 * np.random.default_rng(0).standard_normal(len(time_s))
    parts = []
    for number, part in enumerate(np.split(pulses, range(rate // 5, len(pulses), rate // 5))):
        for formant in FORMANTS[number % len(FORMANTS)]:
            radius = np.exp(-np.pi * 100 / rate)
            part = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant / rate), radius**2], part)
        parts.append(part * np.hanning(len(part)) ** 0.5 / np.abs(part).max())
    return 0.3 * np.concatenate(parts)


@pytest.fixture(scope="session")
def long_file(tmp_path_factory):
    """Seven phrases with pauses of 1.5 s, 19 s in all."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    phrases = [voice(1 + 0.1 * number, 100 + 15 * number) for number in range(7)]
    soundfile.write(path, np.concatenate([part for one in phrases for part in (one, np.zeros(24000))]), 16000)
    return path


@pytest.fixture(scope="session")
def pack(llm_model, ctc_head, tmp_path_factory):
    """A tiny model of random weights with its CTC head. Its LLM is sharpened: no two words are nearly as probable."""
    from espnet_llmasr.asr.weights import read_state
    from espnet_llmasr.bin import pack as command

    out = tmp_path_factory.mktemp("pack") / "tiny"
    weights, state = out.with_name("sharp.pth"), read_state(llm_model / "latest.pth")
    torch.save({**state, "llm.model.norm.weight": 10 * state["llm.model.norm.weight"]}, weights)
    model = ["--llm_asr_train_config", f"{llm_model}/config.yaml", "--llm_asr_model_file", str(weights)]
    head = ["--ctc_train_config", f"{ctc_head}/config.yaml", "--ctc_model_file", f"{ctc_head}/latest.pth"]
    command.main([*model, *head, "--out", str(out)])
    return out


@pytest.fixture(scope="session")
def launch(pack, tmp_path_factory):
    """(*options, **environment) -> a context of a Server of the tiny model."""

    @contextmanager
    def run(*options, **environment):
        folder = tmp_path_factory.mktemp("server")
        log = folder / "log"
        (folder / "tmp").mkdir()
        words = [sys.executable, "-m", "espnet_llmasr.bin.serve", str(pack), "--port", "0", *options]
        with open(log, "w") as file, open(folder / "out", "w") as out:
            environment = {**os.environ, "TMPDIR": str(folder / "tmp"), **environment}
            process = subprocess.Popen(words, stdout=out, stderr=file, env=environment)
        try:
            yield Server(process, listening(process, log), folder / "tmp", log)
            assert not (folder / "out").read_text()
        finally:
            process.kill()
            process.wait()

    return run


def listening(process, log) -> str:
    """The address, as soon as it is in the log."""
    for _ in range(START_S * 10):
        found = re.search(r"listening on (\S+)", log.read_text())
        if found and "startup complete" in log.read_text():
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def server(launch):
    """A server with small limits that all tests share."""
    with launch("--max_bytes", "3000000", "--max_seconds", "60", "--longest_s", "4") as found:
        yield found


class StandIn:
    """Instead of a Speech2Text: writes the length of each piece, waits for `go` before each batch, keeps batches."""

    sample_rate, guard = 8000, None

    def __init__(self):
        import threading

        self.batches, self.go = [], threading.Event()
        self.go.set()

    def decode(self, speech, languages, hotwords=None):
        self.go.wait(30)
        self.batches.append([len(samples) for samples in speech])
        if any(np.max(np.abs(samples), initial=0) > 0.9 for samples in speech):
            raise RuntimeError("too loud")
        mark = f" {' '.join(hotwords)}" if hotwords else ""
        return [Hypothesis(f"{len(samples)}{mark}", -0.1) for samples in speech]

    def hotwords(self, words, language):
        if "bad" in words:
            raise ValueError("bad hotwords")
        return words


@pytest.fixture
def stand_in():
    return StandIn()
