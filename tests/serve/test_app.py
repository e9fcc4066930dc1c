"""Keys, limits of waiting, CORS, pauses in a body and metrics, in this process with a stand-in for the model."""

import asyncio
import io
import os
import signal
import threading
from types import SimpleNamespace

import httpx2 as httpx
import numpy as np
import pytest
import soundfile

from espnet_llmasr.serve import app as module
from espnet_llmasr.serve import form
from espnet_llmasr.serve.app import Options, build_app
from espnet_llmasr.serve.batcher import Batcher
from espnet_llmasr.serve.gate import read_keys
from espnet_llmasr.serve.server import bind
from espnet_llmasr.serve.server import serve as run_server

FILE = io.BytesIO()
soundfile.write(FILE, np.zeros(800), 8000, format="WAV")
ROUTE = "/v1/audio/transcriptions"


@pytest.fixture
def serve(stand_in):
    """(use, **options): runs use(client) against the application."""

    def run(use, **options):
        async def main():
            with Batcher(stand_in) as batcher:
                transport = httpx.ASGITransport(build_app(batcher, Options("tiny", **options), form.Uploads()))
                async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                    await use(client)

        asyncio.run(main())

    return run


def post(client, **more):
    return client.post(ROUTE, files={"file": ("a.wav", FILE.getvalue())}, **more)


def test_keys(serve, monkeypatch):
    monkeypatch.setenv("LLMASR_API_KEYS", "first, sécond")

    async def use(client):
        for header in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer firs"},
            {"Authorization": "Basic first"},
        ):
            for answer in (await post(client, headers=header), await client.get("/v1/models", headers=header)):
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["error"]["type"] == "authentication_error"
        assert (await post(client, headers={"Authorization": "Bearer first"})).json()["text"] == "800"
        header = {"Authorization": "Bearer sécond".encode()}
        assert (await client.get("/v1/models", headers=header)).status_code == 200
        assert (await client.get("/health")).status_code == (await client.get("/metrics")).status_code == 200
        assert [(await client.get(path)).status_code for path in ("/openapi.json", "/docs", "/redoc")] == [404] * 3

    serve(use, keys=read_keys())


def test_more_than_may_wait_are_told_to_come_later(serve, stand_in):
    async def use(client):
        stand_in.go.clear()
        waiting = [asyncio.create_task(post(client)) for _ in range(2)]
        await asyncio.sleep(0.3)
        late = await post(client)
        assert late.status_code == 429 and int(late.headers["retry-after"]) >= 1
        assert late.json()["error"]["type"] == "rate_limit_error"
        assert (await client.get("/health")).json()["waiting"] == 2
        stand_in.go.set()
        assert [(await task).json()["text"] for task in waiting] == ["800", "800"]
        assert (await post(client)).status_code == 200
        assert 'llmasr_requests_total{status="429"} 1.0' in (await client.get("/metrics")).text

    serve(use, max_waiting=2)


def test_cors_only_for_the_site_that_is_named(serve):
    origin = {"Origin": "https://a.example"}
    ask = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    async def off(client):
        assert "access-control-allow-origin" not in (await post(client, headers=origin)).headers
        assert (await client.options(ROUTE, headers=ask)).status_code == 405

    async def on(client):
        for answer in (await post(client, headers=origin), await client.options(ROUTE, headers=ask)):
            assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://a.example"
        other = await client.options(ROUTE, headers={**ask, "Origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers

    serve(off)
    serve(on, cors_origin="https://a.example")


@pytest.mark.parametrize("pause_s", [5, 0.02])
def test_an_upload_that_pauses_or_drips_is_given_up(pause_s, serve, monkeypatch):
    """One byte at a time comes within the idle time, but never ends."""
    monkeypatch.setattr(form, "IDLE_S", 0.1)

    async def body():
        yield b"--b\r\n"
        for _ in range(500):
            await asyncio.sleep(pause_s)
            yield b"x"

    async def use(client):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await asyncio.wait_for(client.post(ROUTE, content=body(), headers=headers), 4)
        assert answer.status_code == 408 and "nothing came for 0.1 s" in answer.json()["error"]["message"]
        assert (await client.get("/health")).json()["waiting"] == 0

    serve(use)


def test_what_needs_a_ctc_head_is_refused_without_one(serve):
    async def use(client):
        words = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
        assert (await post(client, data={"prompt": "bad"})).json()["text"] == "800"
        for data in ({"hotwords": "red cat"}, words):
            answer = await post(client, data=data)
            assert answer.status_code == 422 and "need a CTC head" in answer.json()["error"]["message"]
        found = (await post(client, data={"response_format": "verbose_json", "language": "fr"})).json()
        assert found["language"] == "fr" and found["segments"][0]["no_speech_prob"] == 0.0

    serve(use)


def test_an_error_of_the_server_is_one(serve, stand_in, monkeypatch):
    async def use(client):
        monkeypatch.setattr(stand_in, "decode", None)
        answer = await post(client)
        assert answer.status_code == 500 and answer.json()["error"]["message"] == "decoding failed; the log says why"
        answer = await post(client, data={"stream": "true"})
        assert answer.status_code == 500

    serve(use)


def test_a_fault_within_a_stream_is_its_last_event(serve, monkeypatch):
    monkeypatch.setattr(module.Recording, "settled", property(lambda self: len(self.segments)))

    async def use(client):
        answer = await post(client, data={"stream": "true"})
        assert answer.status_code == 200 and answer.text.count("data: ") == 2

    serve(use)


def test_the_page_allows_nothing_from_elsewhere(serve):
    async def use(client):
        for path in ("/", "/page.css", "/page.js", "/recorder.js"):
            answer = await client.get(path)
            assert answer.status_code == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
            assert "audio/*" not in answer.text  # would offer m4a and webm, which are refused
            assert "http://" not in answer.text.replace("http://www.w3.org", "") and "https://" not in answer.text

    serve(use)


def test_a_signal_before_it_answers_ends_it(stand_in, monkeypatch):
    """During the first decoding, which loads what is loaded late."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    late = threading.Timer(20, os.kill, (os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(stand_in, "decode", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        late.start()
        run_server(bind("127.0.0.1", 0), Batcher(stand_in), Options("tiny"))
        assert late.is_alive()
    finally:
        late.cancel()
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("answer", [module._whole, module._stream])
def test_a_client_that_leaves_before_its_first_segment_is_not_waited_for(answer):
    async def receive():
        return {"type": "http.disconnect"}

    job = SimpleNamespace(is_done=False, recording=SimpleNamespace(settled=0))

    async def ask():
        given = SimpleNamespace(receive=receive), job, asyncio.Event(), None, None
        return await asyncio.wait_for(answer(*given), 5)

    assert asyncio.run(ask()).status_code == 499
