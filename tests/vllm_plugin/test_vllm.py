"""In vLLM's environment (make vllm-test): its greedy transcripts of the packs of reference.py are our own.

$VLLM_PACKS is the folder that reference.py has written. Skipped where there is no vLLM.
"""

import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

vllm = pytest.importorskip("vllm")

PACKS = Path(os.environ.get("VLLM_PACKS", ""))
FAMILIES = ("qwen3", "qwen3_tied", "llama")
SMALL = dict(VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind", VLLM_NO_USAGE_STATS="1")
os.environ.update(SMALL)
PORT = 8931
FS = 16000


@pytest.fixture(scope="module")
def clips():
    with np.load(PACKS / "clips.npz") as arrays:
        return [arrays[name] for name in arrays.files]


def expected(family: str) -> dict:
    return json.loads((PACKS / family / "greedy.json").read_text())


def engine_of(pack: Path, **options):
    options = dict(dtype="float32", enforce_eager=True, max_model_len=512, seed=0, **options)
    return vllm.LLM(model=str(pack), tokenizer=f"{pack}/llm", **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_token_ids_are_ours(family, clips):
    """All clips in one call, so that vLLM batches them as it likes."""
    from espnet_llmasr.vllm_plugin.speech import open_pack

    pack, ours = PACKS / family / "pack", expected(family)
    prompts = [open_pack(str(pack)).prompt_of(one) for one in clips]
    end_id = json.loads((pack / "config.json").read_text())["eos_token_id"]
    sampling = [vllm.SamplingParams(temperature=0.0, max_tokens=limit - 1) for limit in ours["limits"]]
    found = [out.outputs[0].token_ids for out in engine_of(pack).generate(prompts, sampling)]
    assert [[token for token in ids if token != end_id] for ids in found] == ours["ids"]
    assert len({tuple(ids) for ids in ours["ids"]}) > len(clips) / 2  # the speech decides


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_of_speech_tokens_are_those_of_training(family):
    """1 to 400 encoder input frames; 0 is a clip that our encoder refuses."""
    from espnet_llmasr.vllm_plugin.speech import open_pack

    pack, found = open_pack(str(PACKS / family / "pack")), []
    for frames in range(1, len(expected(family)["counts"]) + 1):
        try:
            found.append(pack.speech_tokens(400 + 160 * (frames - 1)))
        except ValueError:
            found.append(0)
    assert found == expected(family)["counts"] and len(found) == 400


def test_espnet_is_not_needed():
    assert find_spec("espnet2") is None and find_spec("espnet") is None


@pytest.fixture(scope="module")
def server():
    """vLLM's own server with the first pack; its log is shown if it does not start."""
    pack = PACKS / FAMILIES[0] / "pack"
    options = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--port", str(PORT)]
    module = "vllm.entrypoints.openai.api_server"  # `vllm serve`, which asks for the version of the package "vllm"
    command = [sys.executable, "-m", module, "--model", pack, "--tokenizer", pack / "llm", *options]
    log = open(PACKS / "server.log", "w+")
    process = subprocess.Popen([*map(str, command), "--served-model-name", "ours"], stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert process.poll() is None, (PACKS / "server.log").read_text()[-3000:]
            try:
                urllib.request.urlopen(f"http://localhost:{PORT}/health", timeout=2)
                break
            except OSError:
                time.sleep(1)
        yield f"http://localhost:{PORT}/v1"
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, FS, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def test_two_clients_of_the_server(server, clips):
    """Each sends all clips, one after the other, and gets our texts. Half of them come from vLLM's cache.

    vLLM itself has no limit by the duration.
    """
    import openai

    ours = expected(FAMILIES[0])

    def client(order: list) -> dict:
        api = openai.OpenAI(base_url=server, api_key="none")
        create = api.audio.transcriptions.create
        options = [dict(extra_body={"max_completion_tokens": limit - 1}) for limit in ours["limits"]]
        return {n: create(model="ours", file=("a.wav", wav(clips[n])), temperature=0.0, **options[n]) for n in order}

    numbers = list(range(len(clips)))
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(client, [numbers, numbers[::-1]]))
    for answer in answers:
        # vLLM keeps back the bytes of a last character that is not whole, as the limit leaves some in these models
        assert [answer[n].text.rstrip("� ") for n in numbers] == [text.rstrip("� ") for text in ours["texts"]]


def test_refusals_of_the_server(server, clips):
    """A clip that is too short, what is no audio, and a translation: status 400, and the server goes on."""
    import openai

    api = openai.OpenAI(base_url=server, api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="the encoder needs 1360"):
        api.audio.transcriptions.create(model="ours", file=("a.wav", wav(clips[0][:1000])))
    with pytest.raises(openai.BadRequestError):
        api.audio.transcriptions.create(model="ours", file=("a.wav", b"no audio"))
    with pytest.raises(openai.BadRequestError, match="cannot translate"):
        api.audio.translations.create(model="ours", file=("a.wav", wav(clips[5])))
    assert api.audio.transcriptions.create(model="ours", file=("a.wav", wav(clips[5]))).text
