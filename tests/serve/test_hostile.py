"""Hostile and broken requests: each has its status and one line, and the server goes on with nothing left behind."""

import gzip
import io
import os
import re
import socket
import struct
import time
import zipfile
from functools import partial

import httpx2 as httpx
import numpy as np
import pytest
import soundfile

HOST = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n"
MULTIPART = b"Content-Type: multipart/form-data; boundary=b\r\n"
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def noise(seconds=0.5, rate=16000):
    return np.random.default_rng(0).uniform(-0.3, 0.3, int(seconds * rate))


def encoded(samples, form="WAV", rate=16000, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def with_rate(rate):
    wav = bytearray(encoded(noise()))
    wav[24:28] = struct.pack("<I", rate)
    return bytes(wav)


def with_data_size(size):
    wav = encoded(noise())
    return wav[:4] + struct.pack("<I", min(size + 36, 2**32 - 1)) + wav[8:40] + struct.pack("<I", size) + wav[44:]


def bomb():
    """Ten minutes of silence as a FLAC of some kB."""
    return encoded(np.zeros(600 * 8000, np.int16), "FLAC", 8000)


def bad_samples(value):
    samples = noise().astype(np.float32)
    samples[100] = value
    return encoded(samples, subtype="FLOAT")


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", encoded(np.zeros(10**6)))
    return file.getvalue()


def damaged(form, at=12):
    """A file of this form with random bytes from a place on, to its end or (by a fraction) over a quarter of it."""
    data = encoded(noise(2), form)
    noisy = np.random.default_rng(1).bytes(len(data))
    begin, end = (at, len(data)) if isinstance(at, int) else (int(at * len(data)), int((at + 0.25) * len(data)))
    return data[:begin] + noisy[begin:end] + data[end:]


CONTENTS = {  # name -> the bytes of a file, the status: 422 where a known container begins it, 415 for others
    "empty": (lambda: b"", 422),
    "text as wav": (lambda: b"this is a text, not a recording\n" * 100, 415),
    "html": (lambda: b"<!DOCTYPE html><script>alert(1)</script>", 415),
    "zeros": (lambda: bytes(5000), 415),
    "random bytes": (lambda: np.random.default_rng(1).bytes(5000), 415),
    "a head without samples": (lambda: encoded(np.zeros(0)), 422),
    "a head alone": (lambda: encoded(noise())[:44], 422),
    "half a head": (lambda: encoded(noise())[:20], 422),
    "a head of 2 GB": (lambda: with_data_size(2 * 10**9), 422),
    "a head of twice as much": (lambda: with_data_size(32000), 422),
    "0 Hz": (lambda: with_rate(0), 422),
    "1 Hz": (lambda: with_rate(1), 422),
    "4 GHz": (lambda: with_rate(2**32 - 1), 422),
    "NaN": (lambda: bad_samples(np.nan), 422),
    "infinite": (lambda: bad_samples(np.inf), 422),
    "half a wav": (lambda: encoded(noise())[:8000], 422),
    "half a flac": (lambda: (data := encoded(noise(2), "FLAC"))[: len(data) // 2], 422),
    "half an mp3": (lambda: (data := encoded(noise(2), "MP3"))[: len(data) // 2], 422),
    "half an ogg": (lambda: (data := encoded(noise(2), "OGG"))[: len(data) // 2], 422),
    **{
        f"a damaged {form}": (partial(damaged, form), 422)
        for form in ("WAV", "FLAC", "MP3", "OGG", "AIFF", "CAF", "W64")
    },
    **{f"{form} with a damaged middle": (partial(damaged, form, 0.5), 422) for form in ("FLAC", "MP3", "OGG")},
    "two flac": (lambda: encoded(noise(), "FLAC") * 2, 422),
    "a flac bomb": (bomb, 413),
    "more bytes than allowed": (lambda: encoded(noise(100)), 413),
    "zip": (zipped, 415),
    "gzip of a wav": (lambda: gzip.compress(encoded(noise())), 415),
    "png": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(500), 415),
    "webm": (lambda: b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01webm" + bytes(500), 415),
    "m4a": (lambda: b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(500), 415),
    "avi": (lambda: b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(500), 415),
}
NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "a.wav; rm -rf x",
    "talk.wav#t=0,0.1",
    "x.tar:512",
    "http://a.example/x",
    "x" * 3000,
]
FIELDS = {  # name -> fields of a form with a good file, the status
    "unknown field": (dict(nonsense="1"), 422),
    "unknown format": (dict(response_format="doc"), 422),
    "no number": (dict(temperature="nan"), 422),
    "no truth": (dict(stream="maybe"), 422),
    "a stream of subtitles": (dict(stream="true", response_format="srt"), 422),
    "times without verbose": ({"timestamp_granularities[]": "word"}, 422),
    "unknown times": ({"timestamp_granularities[]": "letter", "response_format": "verbose_json"}, 422),
    "unknown language": (dict(language="fr"), 422),
    "a long language": (dict(language="x" * 5000), 422),
    "unknown model": (dict(model="whisper-1\r\nx: y"), 404),
    "hotwords without phones": (dict(hotwords="!, ?"), 422),
    "many hotwords": (dict(hotwords=",".join(f"word{number}" for number in range(1001))), 422),
    "100 kB in a field": (dict(prompt="x" * 100_000), 400),
    "100 fields": ({f"field{number}": "1" for number in range(100)}, 400),
    "two of one field": (dict(language=["en", "zh"]), 422),
}


@pytest.fixture(autouse=True)
def unharmed(server):
    """After each request the server answers, and its folder is empty."""
    yield
    assert httpx.get(f"{server.url}/health", timeout=60).json()["status"] == "ok"
    assert not server.left


def refused(response, status):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["message"] and "\n" not in error["message"] and error["code"] == str(status)
    assert len(error["message"]) < 400 and "/dev/fd" not in error["message"] and error["type"]
    return error


@pytest.mark.parametrize("name", CONTENTS)
def test_contents(name, server):
    content, status = CONTENTS[name]
    refused(server.post(files={"file": ("a.wav", content())}), status)
    if status != 413 or name == "a flac bomb":
        refused(server.post(files={"file": ("a.wav", content())}, data={"stream": "true"}), status)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3", "OGG", "AIFF", "AU", "CAF"])
def test_good_files_of_any_container_and_name(form, server):
    """The container is seen by the content."""
    assert server.post(files={"file": ("x", encoded(noise(), form))}).status_code == 200


def test_good_files_of_many_channels_and_from_a_pipe(server):
    channels = np.stack([noise()] * 8, 1)
    assert server.post(files={"file": ("a.wav", encoded(channels, rate=48000))}).status_code == 200
    assert server.post(files={"file": ("a.wav", with_data_size(2**32 - 1))}).status_code == 200
    large = server.post(files={"file": encoded(noise(59))}, data={"response_format": "verbose_json"})
    assert large.json()["duration"] == 59  # it has gone to the disk


def test_file_names_are_not_paths(server):
    content = encoded(noise())
    found = {server.post(files={"file": (name, content)}, data={"response_format": "text"}).text for name in NAMES}
    assert len(found) == 1 and "error" not in found.pop()
    response = server.post(files={"file": (None, "/etc/passwd")})
    assert refused(response, 422)["param"] == "file"


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name, server):
    fields, status = FIELDS[name]
    refused(server.post(files={"file": ("a.wav", encoded(noise()))}, data=fields), status)


def test_forms(server):
    file = ("a.wav", encoded(noise()))
    refused(server.post(data={"model": "tiny"}, files={"other": file}), 422)
    refused(server.post(files=[("file", file), ("file", file)]), 400)
    refused(server.post(data={"file": "x"}), 415)
    refused(server.post(json={"file": "/etc/passwd"}), 415)
    headers = {"Content-Type": "multipart/form-data"}
    refused(server.post(content=b"x", headers=headers), 400)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"", b"--b", b"--b\r\n\r\n", HEAD + b"no end", b"--b--\r\n", b"--c\r\n" + HEAD, HEAD[:30] * 9):
        response = server.post(content=body, headers=headers)
        refused(response, response.status_code if response.status_code in (400, 422) else 400)
    refused(server.post(content=b"--b\r\nX: " + b"x" * 10**6, headers=headers), 400)
    refused(httpx.get(f"{server.url}/v1/audio/transcriptions"), 405)
    refused(httpx.get(f"{server.url}/v1/../../etc/passwd"), 404)


def connect(server):
    host, port = re.fullmatch(r"http://(.+):(\d+)", server.url).groups()
    return socket.create_connection((host, int(port)), timeout=20)


def raw(server, *parts, endless=b""):
    """Sends bytes, `endless` again and again for at most 20 s; the status of the answer, 0 without one."""
    with connect(server) as connection:
        end = time.monotonic() + 20
        try:
            connection.sendall(b"".join(parts))
            while endless and time.monotonic() < end:
                connection.sendall(endless)
        except OSError:
            pass  # it has closed
        try:
            answer = connection.recv(1 << 16)
        except OSError:
            return 0
    return int(answer.split()[1]) if answer else 0


def test_endless_bodies_are_cut(server):
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    head = HOST + MULTIPART + b"Transfer-Encoding: chunked\r\n\r\n"
    first = b"%x\r\n" % len(HEAD) + HEAD + b"\r\n"
    assert raw(server, head, first, endless=chunk) in (413, 0)
    assert raw(server, head, first, chunk * 50) == 413  # as much as is read


def test_who_writes_all_before_reading_can_do_so_and_sees_that_it_is_too_much(server):
    size = 160 * 65536  # three times what the server takes
    chunks = (b"10000\r\n" + bytes(65536) + b"\r\n") * 160
    first = b"%x\r\n" % len(HEAD) + HEAD + b"\r\n"
    for rest in (
        b"Content-Length: %d\r\n\r\n" % size + bytes(size),
        b"Transfer-Encoding: chunked\r\n\r\n" + first + chunks + b"0\r\n\r\n",
    ):
        with connect(server) as connection:
            connection.sendall(HOST + MULTIPART + rest)  # a client ends with the error of this, if it has one
            assert connection.recv(1 << 16).split()[1] == b"413"
    begin = time.monotonic()  # the body is not asked for
    assert raw(server, HOST, MULTIPART, b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size) == 413
    assert time.monotonic() - begin < 10


def test_heads_that_lie(server):
    body = HEAD + encoded(noise()) + b"\r\n--b--\r\n"
    for length, status in {b"99999999999999": 413, b"-1": 400, b"x": 400, b"10": 422, b"%d" % len(body): 200}.items():
        assert (
            raw(server, HOST, MULTIPART, b"Content-Length: ", length, b"\r\nConnection: close\r\n\r\n", body) == status
        )
    assert raw(server, HOST, MULTIPART, b"Transfer-Encoding: gzip\r\n\r\n", body) in (400, 501)
    assert raw(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", bytes(100)) == 400
    assert raw(server, b"GET / HTTP/1.1\r\nX: ", b"x" * 10**6) in (400, 0)


def test_clients_that_hang_up(server):
    """In the head, in the file, before the answer."""
    host, port = re.fullmatch(r"http://(.+):(\d+)", server.url).groups()
    body = HEAD + encoded(noise()) + b"\r\n--b--\r\n"
    whole = HOST + MULTIPART + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for end in (10, 100, 200, 5000, len(whole)):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(whole[:end])
    for _ in range(100):
        if httpx.get(f"{server.url}/health", timeout=60).json()["waiting"] == 0:
            return
        time.sleep(0.1)
    raise AssertionError("requests of clients that hung up still wait")


def test_nothing_is_left_open(server):
    """Files and memory of the process, before and after 40 broken requests."""

    def opened():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    before = opened()
    for number in range(40):
        content, _ = [*CONTENTS.values()][number % 20]
        server.post(files={"file": ("a.wav", content())})
    deadline = time.monotonic() + 10
    while opened() > before + 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert opened() <= before + 2
    assert "Traceback" not in server.log.read_text()
