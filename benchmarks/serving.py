"""The server under load: nothing lost or mixed up, memory, throughput beside batches of files, time to first words.

    python benchmarks/serving.py --model exp/pack dump/test_zh dump/test_en dump/test_cs  (prints serving.md)

The server is a process of its own. Clients send wav files and wait; the batches beside them are `Speech2Text.transcribe`
of the same files in this process. Both take turns, each with all threads of the machine.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx2
import numpy as np
import soundfile
from common import machine, resident_mb, table

from espnet_llmasr import Speech2Text, audio
from espnet_llmasr.inference.transcribe import find_sources

CLIENTS = (1, 4, 16)
FIRST_S = 5.0


@contextmanager
def server(model, folder):
    """(process, address) of a server of the model with the defaults."""
    log = folder / "log"
    with open(log, "w") as file:
        words = [sys.executable, "-m", "espnet_llmasr.bin.serve", model, "--port", "0"]
        process = subprocess.Popen(words, stderr=file)
    try:
        while not (found := re.search(r"listening on (\S+)[\s\S]*startup complete", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield process, found[1]
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def ask(client, path, **data):
    answer = client.post("/v1/audio/transcriptions", files={"file": path.read_bytes()}, data=data)
    return answer.json()["text"] if answer.status_code == 200 else answer.status_code


def together(client, paths, number):
    """The answers to all files by so many clients, each of which waits for its answer; (seconds, answers)."""
    with ThreadPoolExecutor(number) as pool:
        start = time.perf_counter()
        found = list(pool.map(lambda path: ask(client, path), paths))
    return time.perf_counter() - start, found


def load(client, process, paths, single, number, rounds):
    """A line for each round of so many requests at the same time."""
    for one in range(rounds + 1):
        given = [paths[(one * number + place) % len(paths)] for place in range(number)]
        seconds, found = together(client, given, number)
        right = sum(text == single[path] for path, text in zip(given, found))
        lost = sum(isinstance(text, int) for text in found)
        yield one, number, right, lost, f"{seconds:.1f}", f"{resident_mb(process.pid):.0f}"


def decoded(client):
    """Pieces and batches so far, (2,)."""
    text = client.get("/metrics").text
    return np.array([float(re.search(rf"\nllmasr_{name}_total (\S+)", text)[1]) for name in ("pieces", "batches")])


def throughput(client, model, paths, rounds):
    """A line for the batches of files and for each number of clients; a round before the others warms up."""
    seconds, batches = {name: [] for name in ("files", *CLIENTS)}, dict.fromkeys(("files", *CLIENTS), "")
    for _ in range(rounds + 1):
        start = time.perf_counter()
        list(model.transcribe(paths))
        seconds["files"].append(time.perf_counter() - start)
        for number in CLIENTS:
            before = decoded(client)
            seconds[number].append(together(client, paths, number)[0])
            pieces, number_of_batches = decoded(client) - before
            batches[number] = f"{pieces / number_of_batches:.1f}"
    speech = sum(soundfile.info(path).duration for path in paths)
    for name, times in seconds.items():
        size = batches[name]
        name = name if name == "files" else f"{name} client{'s' * (name > 1)}"
        ratios = [files / each for files, each in zip(seconds["files"], times)][1:]
        shown = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        yield name, f"{median(times[1:]):.2f}", f"{speech / median(times[1:]):.1f}", size, shown


def first_words(client, model, path, rounds):
    """Seconds until the first part of a stream, beside the decoding of the same file in this process, in turns."""
    times = {"decoding": [], "first words": []}
    for _ in range(rounds + 1):
        start = time.perf_counter()
        model(path)
        times["decoding"].append(time.perf_counter() - start)
        start = time.perf_counter()
        data, files = dict(stream="true"), {"file": path.read_bytes()}
        with client.stream("POST", "/v1/audio/transcriptions", files=files, data=data) as answer:
            next(line for line in answer.iter_lines() if line)
            times["first words"].append(time.perf_counter() - start)
    ratios = [first / alone for alone, first in zip(*times.values())][1:]
    shown = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    yield FIRST_S, *(f"{median(each[1:]):.3f}" for each in times.values()), shown


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="as of bin.transcribe")
    parser.add_argument("--model", required=True, help="a pack")
    parser.add_argument("--requests", type=int, default=200, help="at the same time")
    parser.add_argument("--utterances", type=int, default=128, help="of the measurement of throughput")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = Path(scratch), Speech2Text.from_pretrained(args.model)
        paths = []
        with find_sources(args.files) as sources:
            for number, source in enumerate(sources[:: max(1, len(sources) // args.utterances)][: args.utterances]):
                paths.append(folder / f"{number}.wav")
                soundfile.write(paths[-1], audio.read(source.speech, model.sample_rate), model.sample_rate)
        single = {path: model(path)[0][0] for path in paths}
        first = np.concatenate([soundfile.read(path)[0] for path in paths])[: int(FIRST_S * model.sample_rate)]
        soundfile.write(folder / "first.wav", first, model.sample_rate)
        print(machine("torch", "fastapi", "uvicorn"))
        with server(args.model, folder) as (process, url), httpx2.Client(
            base_url=url, timeout=600, limits=httpx2.Limits(max_connections=None)
        ) as client:  # fmt: skip
            table(("first words of a recording of s", "decoding, s", "first words, s", "ratio"),
                  first_words(client, model, folder / "first.wav", args.rounds))  # fmt: skip
            table(("throughput", "s", "seconds of speech per s", "pieces in a batch", "of that of files"),
                  throughput(client, model, paths, args.rounds))  # fmt: skip
            table(("round", "requests at the same time", "answers equal to single ones", "lost", "s", "MiB of the server"),
                  load(client, process, paths, single, args.requests, args.rounds))  # fmt: skip


if __name__ == "__main__":
    main()
