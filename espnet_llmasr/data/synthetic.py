"""What the synthesised corpora (egs2/fsdd, mini_zh_en, misheard) share: options, a stamp that makes a second run do
nothing, chunks in processes of their own, wavs and data directories.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
import soundfile

from espnet_llmasr.cli import Parser
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import DataWriter
from espnet_llmasr.files import progress, read_json, write_atomically

STAMP = "made_with.json"


def corpus_parser(description: str, audio_dir: str) -> Parser:
    """A parser with the options of every synthesised corpus."""
    parser = Parser(description=description)
    parser.add_argument("--data_dir", default="data", help="where the Kaldi directories go")
    parser.add_argument("--audio_dir", default=audio_dir, help="where the wavs go; the cache")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nj", type=int, default=2, help="processes; does not change the result")
    return parser


def silence(seconds: float, rate_hz: int) -> np.ndarray:
    return np.zeros(round(seconds * rate_hz), np.float32)


def make_once(
    args: Namespace, sources: Sequence[str], sets: Sequence[str], make: Callable[[], Dict[str, List[Utterance]]]
) -> None:
    """Makes the corpus, unless a finished run with the same options (but --nj) and programs left its stamp.

    Args:
        sources: the files of the programs that make it.
        sets: the names of all data directories.
        make: writes the wavs and returns {set: utterances} without the set cka, the beginning of valid.
    """
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()
    options = {**{key: value for key, value in vars(args).items() if key != "nj"}, "sources": digest}
    stamp, wavs = Path(args.audio_dir, STAMP), AudioWriter(args.audio_dir)
    complete = all(Path(args.data_dir, name, "wav.scp").exists() for name in sets)
    if complete and stamp.exists() and read_json(stamp) == options:
        logging.info("%s is there already, made with the same options", args.audio_dir)
        return
    wavs.start()
    by_set = make()
    by_set["cka"] = by_set["valid"][: args.num_cka]
    wavs.publish()
    for name, utterances in by_set.items():
        write_data_dir(Path(args.data_dir, name), utterances)
    # The stamp comes last, so that a run killed at any moment is done again.
    write_atomically(stamp, json.dumps(options, indent=1, sort_keys=True) + "\n")
    hours = sum(utterance.duration for utterances in by_set.values() for utterance in utterances) / 3600
    logging.info("%s: %d utterances, %.2f h", args.audio_dir, sum(map(len, by_set.values())), hours)


class AudioWriter:
    """Writes wavs into <audio_dir>.partial; publish() renames it to audio_dir. Paths it returns are the final ones."""

    def __init__(self, audio_dir: str):
        self.final, self.partial = Path(audio_dir), Path(f"{audio_dir}.partial")

    def start(self) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)

    def write(self, folder: str, utterance_id: str, samples: np.ndarray, rate_hz: int) -> str:
        """Float samples (N,) -> 16-bit wav; returns its final path."""
        (self.partial / folder).mkdir(exist_ok=True)
        soundfile.write(self.partial / folder / f"{utterance_id}.wav", samples, rate_hz, subtype="PCM_16")
        return str(self.final / folder / f"{utterance_id}.wav")

    def publish(self) -> None:
        shutil.rmtree(self.final, ignore_errors=True)
        os.replace(self.partial, self.final)


def write_data_dir(directory: Path, utterances: Sequence[Utterance]) -> None:
    """Writes a data directory of utterances in any order."""
    directory.mkdir(parents=True, exist_ok=True)
    with DataWriter(directory, cut=False) as writer:
        for utterance in sorted(utterances, key=lambda utterance: utterance.id):
            writer.add(utterance)


def make_in_chunks(
    make_chunk: Callable[[tuple], List[Utterance]], args: Namespace, name: str, items: Sequence, size: int
) -> List[Utterance]:
    """The utterances of one set: make_chunk((audio_dir, name, seed, number of the first item, items)) for each chunk.

    Each chunk comes from a process of its own, so the result does not depend on --nj. Raises ValueError if a process
    was killed.
    """
    starts = range(0, len(items), size)
    tasks = [(args.audio_dir, name, args.seed, start, items[start : start + size]) for start in starts]
    with ThreadPoolExecutor(args.nj) as threads:
        chunks = threads.map(partial(in_fresh_process, make_chunk), tasks)
        return sum(progress(chunks, f"of {len(tasks)} chunks of {name}", 5.0), [])


def in_fresh_process(function: Callable, task):
    """function(task) from a new process. Raises ValueError if that was killed."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, task).result()
        except BrokenProcessPool as error:
            raise ValueError("a process was killed, perhaps for want of memory: lower --nj") from error
