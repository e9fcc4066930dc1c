"""The server as a process, used by OpenAI's own client: formats, streams, many at a time, ends."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2 as httpx
import openai
import pytest

from espnet_llmasr import Speech2Text
from espnet_llmasr.bin import serve, transcribe
from espnet_llmasr.inference.formats import evenly
from espnet_llmasr.inference.transcribe import Segment

WORDS = dict(response_format="verbose_json", timestamp_granularities=["word", "segment"])


@pytest.fixture(scope="module")
def speech2text(pack):
    return Speech2Text.from_pretrained(str(pack))


@pytest.fixture(scope="module")
def files(corpus):
    return [corpus / "train" / f"{number}.wav" for number in range(8)]


def ask(server, file, **more):
    with open(file, "rb") as content:
        return server.client().audio.transcriptions.create(model="tiny", file=content, **more)


def test_openai_client(server, files, speech2text):
    """The text of json, and the words of verbose_json, as the same model gives them in this process."""
    ((text, *_, hypothesis),) = speech2text(files[1])
    assert ask(server, files[1]).text == text and text
    found = ask(server, files[1], **WORDS)
    assert (found.text, found.duration, found.task) == (text, pytest.approx(2.1), "transcribe")
    words = hypothesis.words or evenly(Segment(0.0, 2.1, hypothesis))
    assert [(word.word, word.start, word.end) for word in found.words] == [word[:3] for word in words]
    (segment,) = found.segments
    assert (segment.start, segment.end, segment.text, segment.flags) == (0.0, 2.1, text, list(hypothesis.flags))
    assert segment.avg_logprob == pytest.approx(hypothesis.score, abs=1e-3)
    assert (
        segment.confidence
        == pytest.approx(1 - segment.no_speech_prob)
        == pytest.approx(hypothesis.confidence, abs=1e-4)
    )
    assert ask(server, files[1], response_format="verbose_json").words is None


@pytest.mark.parametrize(
    "language", ["en", "EN", "en-US", "english", "English", "zh-CN", "zh_TW", "Chinese", "mandarin"]
)
def test_languages_as_people_write_them(language, server, files):
    expected = "zh" if language[0] in "zCm" else "en"
    found = ask(server, files[1], language=language, response_format="verbose_json")
    assert found.language.partition("-")[0] == expected and found.text


@pytest.mark.parametrize("language", ["fr", "French", "yue", "zh-yue", "de-DE"])
def test_a_language_that_the_model_does_not_know(language, server, files):
    with pytest.raises(openai.UnprocessableEntityError, match="language.* en, zh"):
        ask(server, files[1], language=language)


def test_a_prompt_of_openai(server, files):
    """A text in any style is taken; its phrases are hotwords, and what has no phones is left out."""
    plain = ask(server, files[1]).text
    assert ask(server, files[1], prompt="!? 1 ひ").text == plain
    assert ask(server, files[1], prompt="Some style text, with punctuation.").text
    assert (
        ask(server, files[1], prompt="Talk of a green dog. More: red cat!").text
        == ask(server, files[1], extra_body={"hotwords": "Talk of a green dog,More,red cat"}).text
    )
    assert ask(server, files[1], prompt="green dog. " * 2000).text
    with pytest.raises(openai.UnprocessableEntityError, match="hotword"):
        ask(server, files[1], extra_body={"hotwords": "!?"})


def test_other_parameters_of_openai(server, files):
    """Each works, or is refused in one line."""
    taken = dict(temperature=0, chunking_strategy="auto", stream=False)
    assert ask(server, files[1], **taken).text == ask(server, files[1]).text
    for refused in (dict(include=["logprobs"]), dict(chunking_strategy={"type": "server_vad"}), dict(temperature=2)):
        with pytest.raises(openai.UnprocessableEntityError) as error:
            ask(server, files[1], **refused)
        assert "\n" not in error.value.body["message"] and [*refused][0] in error.value.body["message"]
    with pytest.raises(openai.NotFoundError, match="the model is 'tiny'"):
        server.client().audio.transcriptions.create(model="whisper-1", file=b"RIFF")


@pytest.mark.parametrize("form", ["srt", "vtt", "text"])
def test_subtitles_and_text_are_those_of_the_command(form, server, files, pack, capsys):
    transcribe.main([str(files[1]), "--model", str(pack), "--format", form])
    assert ask(server, files[1], response_format=form) == capsys.readouterr().out


def test_stream(server, long_file):
    """The parts come one by one, and make the text of the answer without a stream."""
    whole = ask(server, long_file, **WORDS)
    assert len(whole.segments) > 4
    *deltas, done = ask(server, long_file, stream=True)
    assert {one.type for one in deltas} == {"transcript.text.delta"} and done.type == "transcript.text.done"
    assert "".join(one.delta for one in deltas) == done.text == whole.text and len(deltas) > 2
    *deltas, done = ask(server, long_file, stream=True, **WORDS)
    assert [one.segment["text"] for one in deltas] == [one.text for one in whole.segments]
    words = [word for one in deltas for word in one.segment["words"]]
    assert words == done.words
    for word, expected in zip(words, json.loads(whole.model_dump_json())["words"], strict=True):
        assert word == pytest.approx(expected, abs=2e-3)  # other batches
    assert done.srt == ask(server, long_file, response_format="srt")


def test_models_health_and_metrics(server, files):
    ask(server, files[0])
    assert [one.id for one in server.client().models.list()] == ["tiny"]
    assert server.client().models.retrieve("tiny").object == "model"
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok", "waiting": 0}
    metrics = httpx.get(f"{server.url}/metrics").text
    for name in ('requests_total{status="200"}', "pieces_total", "speech_seconds_total", "busy_seconds_total"):
        (value,) = [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(f"llmasr_{name}")]
        assert value > 0
    schema = httpx.get(f"{server.url}/openapi.json").json()["paths"]["/v1/audio/transcriptions"]["post"]
    assert "hotwords" in str(schema) and "access-control-allow-origin" not in httpx.get(f"{server.url}/health").headers


def test_many_at_a_time_get_the_answers_of_one_at_a_time(server, files, long_file, speech2text):
    """60 requests of 20 clients: short and long ones, with and without a stream, with and without hotwords."""
    expected = {file: ask(server, file).text for file in [*files, long_file]}
    assert [expected[file] for file in files] == [speech2text(file)[0][0] for file in files]
    hot = {file: ask(server, file, prompt="red cat, green dog").text for file in files[:3]}

    def one(number):
        file = [*files, long_file][number % 9]
        if number % 5 == 0:
            return list(ask(server, file, stream=True))[-1].text == expected[file]
        if number % 7 == 0 and file in hot:
            return ask(server, file, prompt="red cat, green dog").text == hot[file]
        return ask(server, file).text == expected[file]

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(one, range(60)))


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_client_that_goes_away_leaves_nothing(server, long_file, stream):
    gone = lambda: sum(
        float(line.split()[-1])
        for line in httpx.get(f"{server.url}/metrics").text.splitlines()
        if 'status="499"' in line
    )
    before, data = gone(), long_file.read_bytes()
    for number in range(3):
        with pytest.raises(httpx.TimeoutException):
            server.post(files={"file": data}, data={"prompt": f"red cat {number}", "stream": stream}, timeout=0.05)
    assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
    deadline = time.monotonic() + 60
    while waiting(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert waiting(server) == 0 and gone() > before


def waiting(server) -> int:
    return httpx.get(f"{server.url}/health", timeout=60).json()["waiting"]


@contextmanager
def half_upload(server):
    """A connection of a client that has sent the beginning of a form, and waits."""
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
        yield connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_all_is_answered(number, launch, long_file):
    """An upload that is not complete does not hold it back."""
    with launch("--longest_s", "4") as own, ThreadPoolExecutor(4) as pool, half_upload(own) as upload:
        answers = [pool.submit(ask, own, long_file) for _ in range(3)]
        while waiting(own) < 4 and not any(answer.done() for answer in answers):  # the upload, too
            time.sleep(0.01)
        events = iter(ask(own, long_file, stream=True))
        next(events)  # what is not answered yet is in flight
        own.process.send_signal(number)
        texts = {answer.result().text for answer in answers} | {list(events)[-1].text}
        assert len(texts) == 1 and own.process.wait(60) == 0
        assert upload.recv(1 << 16).startswith(b"HTTP/1.1 503") and not own.left
        with pytest.raises(openai.APIConnectionError):
            ask(own, long_file)
        assert "everything is answered" in own.log.read_text()


def test_killed_in_flight_and_started_again(launch, long_file, files):
    with launch("--longest_s", "4", "--batch_size", "1") as own:
        port = own.url.rpartition(":")[2]
        events = iter(ask(own, long_file, stream=True))
        next(events)
        assert own.end(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(openai.APIConnectionError):
            list(events)
        assert not own.left
    with launch("--port", port) as again:
        assert ask(again, files[1]).text


def test_mistakes_of_the_command(command, pack, server, monkeypatch):
    port = server.url.rpartition(":")[2]
    done = command(serve, pack, "--port", port)
    assert done.code == 1 and f"cannot listen on 127.0.0.1, port {port}" in done.err
    monkeypatch.setenv("LLMASR_API_KEYS", " , ")
    done = command(serve, pack, "--port", "0")
    assert done.code == 1 and "LLMASR_API_KEYS is set, but holds no key" in done.err
    assert command(serve, pack / "none", "--port", "0").code == 1
    monkeypatch.delenv("LLMASR_API_KEYS")
    assert "is no packed model" in command(serve, pack / "llm", "--port", "0").err
