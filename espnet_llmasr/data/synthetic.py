"""What the made corpora share: Kaldi directories, a stamp that makes a second run do nothing, parallel chunks."""

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import soundfile

from espnet_llmasr.files import write_atomically, write_scp

STAMP = "made_with.json"
SECONDS_PER_LINE = 5  # of progress


class Parser(argparse.ArgumentParser):
    """Options of a corpus program; a wrong one gives one line and exit code 1."""

    def __init__(self, description, audio_dir):
        formatter = argparse.ArgumentDefaultsHelpFormatter
        super().__init__(description=description, formatter_class=formatter, allow_abbrev=False)
        self.add_argument("--data_dir", default="data", help="where the Kaldi directories go")
        self.add_argument("--audio_dir", default=audio_dir, help="where the wavs go; the cache")
        self.add_argument("--seed", type=int, default=0)
        self.add_argument("--nj", type=int, default=2, help="processes; does not change the result")

    def error(self, message):
        self.exit(1, f"{self.prog}: {message} (see --help)\n")


def run(make_corpus, parser):
    """Makes the corpus; a mistake of the user's or of the disk becomes one line on stderr and exit code 1."""
    args = parser.parse_args()
    try:
        make_corpus(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


def stamp_of(args, sources):
    """What the corpus depends on: the options (but not nj) and the programs that make it."""
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()
    return {**{key: value for key, value in vars(args).items() if key != "nj"}, "sources": digest}


def is_made(audio_dir, options, data_dirs):
    """True if a finished run with the same options left its stamp, and its data directories are still there."""
    stamp = Path(audio_dir, STAMP)
    if not stamp.exists() or json.loads(stamp.read_text()) != options:
        return False
    return all(Path(directory, "wav.scp").exists() for directory in data_dirs)


class AudioWriter:
    """Writes wavs into <audio_dir>.partial; publish() renames it to audio_dir. Paths it returns are the final ones."""

    def __init__(self, audio_dir):
        self.final = Path(audio_dir)
        self.partial = Path(f"{audio_dir}.partial")

    def start(self):
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)

    def write(self, folder, utterance_id, samples, rate_hz):
        """samples: float, (num_samples,), -> 16-bit wav; returns its final path."""
        (self.partial / folder).mkdir(exist_ok=True)
        soundfile.write(self.partial / folder / f"{utterance_id}.wav", samples, rate_hz, subtype="PCM_16")
        return str(self.final / folder / f"{utterance_id}.wav")

    def publish(self):
        shutil.rmtree(self.final, ignore_errors=True)
        os.replace(self.partial, self.final)


def publish(audio_dir, data_dir, made, options):
    """made: {set: utterances}. The stamp comes last, so that a run killed at any moment is done again."""
    AudioWriter(audio_dir).publish()
    for name, utterances in made.items():
        write_data_dir(Path(data_dir, name), utterances)
    write_atomically(Path(audio_dir, STAMP), json.dumps(options, indent=1, sort_keys=True) + "\n")


def write_data_dir(directory, utterances):
    """utterances: [{"id", "wav", "text", "speaker", "language"}] -> wav.scp, text, utt2spk, spk2utt, utt2lang."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    columns = {"text": "text", "utt2spk": "speaker", "utt2lang": "language", "wav.scp": "wav"}
    for name, key in columns.items():
        write_scp(directory / name, {utterance["id"]: utterance[key] for utterance in utterances})
    speakers = {}
    for utterance in sorted(utterances, key=lambda utterance: utterance["id"]):
        speakers.setdefault(utterance["speaker"], []).append(utterance["id"])
    write_scp(directory / "spk2utt", {speaker: " ".join(ids) for speaker, ids in speakers.items()})


def in_fresh_processes(function, tasks, nj):
    """Yields function(task) in the tasks' order, each from a process of its own: results do not depend on nj."""
    with ThreadPoolExecutor(nj) as threads:
        yield from threads.map(partial(in_fresh_process, function), tasks)


def in_fresh_process(function, task):
    """function(task) from a new process. Raises ValueError if that was killed."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, task).result()
        except BrokenProcessPool as error:
            raise ValueError("a process was killed, perhaps for want of memory: lower --nj") from error


class Progress:
    """A line on stderr every few seconds: what was made, how much audio, how long it took."""

    def __init__(self, what):
        self.what, self.start_s, self.shown_s, self.utterances, self.audio_s = what, time.time(), time.time(), 0, 0.0

    def add(self, utterances):
        self.utterances += len(utterances)
        self.audio_s += sum(utterance["duration_s"] for utterance in utterances)
        if time.time() - self.shown_s > SECONDS_PER_LINE:
            self.show()

    def show(self):
        self.shown_s = time.time()
        audio_h, spent_s = self.audio_s / 3600, time.time() - self.start_s
        print(f"{self.what}: {self.utterances} utterances, {audio_h:.2f} h of audio, {spent_s:.0f} s", file=sys.stderr)
