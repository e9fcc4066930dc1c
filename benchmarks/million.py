"""A million utterances: time and memory of preparing and phonemising them, and of starting a training on them.

    python benchmarks/million.py [UTTERANCES]    (prints the tables of million.md)

One JSON line for each utterance (half English of 10 words, half Mandarin of 20 characters, a short wav for every
1000) is prepared (stage 1) and labelled (stage 2) in one process, without opening audio (`--audio_check utt2dur`). Then
`espnet_llmasr`'s own batches and tables are loaded as a training loads them, without and with split lists, each in a
fresh process, up to the first batch.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from common import machine, table, vocabularies, zipf

SPLITS, PER_RECORDING = 20, 1000
PREPARE = """
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from espnet_llmasr.asr.frontends import read_framing
from espnet_llmasr.data.checks import Limits
from espnet_llmasr.data.labels import Labels, format_data
from espnet_llmasr.data.prepare import Canonical, prepare
src, data, dump = (Path("{folder}", name) for name in ("src", "data", "dump"))
imported = getrusage(RUSAGE_SELF).ru_maxrss / 1024
began = time.monotonic()
prepare("msr_86k", src, "en", data, Canonical("msr_86k", "plain"), ["duration=duration"])
middle = time.monotonic()
limits = Limits(16000, 0.1, 30.0, *(windows.count for windows in read_framing(None, 16000)))
format_data(data, dump / "train", Labels(dump / "phones.txt", "phone", "zh_en"), limits, "utt2dur")
end = time.monotonic()
used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
seconds = middle - began, end - middle, end - began, *(part.ru_utime + part.ru_stime for part in used)
print("RESULT", *seconds, imported, used[0].ru_maxrss / 1024)
"""
START = """
import resource, time
from espnet2.train.distributed_utils import DistributedOption
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
loaded = time.monotonic()
args = PhonemeCTCTask.get_parser().parse_args({options!r})
build = PhonemeCTCTask.build_multiple_iter_factory if args.multiple_iterator else PhonemeCTCTask.build_iter_factory
factory = build(args=args, distributed_option=DistributedOption(), mode="train")
uids, batch = next(iter(factory.build_iter(1)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("RESULT", time.monotonic() - loaded, imported / 1024, peak / 1024, (peak - imported) / 1024)
"""


def write_corpus(src: Path, count: int) -> None:
    """A manifest of `count` lines, and the recordings that it names."""
    draw = random.Random(0)
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, 32000)
    (src / "wav").mkdir(parents=True)
    for number in range(count // PER_RECORDING):
        soundfile.write(src / "wav" / f"{number:06}.wav", samples, 16000)
    words, han = vocabularies(draw)
    with open(src / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for number in range(count):
            text = "".join(zipf(draw, han, 20)) if number % 2 else " ".join(zipf(draw, words, 10))
            uid, wav = f"utt{draw.getrandbits(40):011x}{number:07}", f"wav/{number // PER_RECORDING:06}.wav"
            line = dict(id=uid, audio=wav, text=text, duration=4 + 8 * draw.random())
            manifest.write(json.dumps(line, ensure_ascii=False) + "\n")


def measure(code: str, digits: int):
    """The numbers that the code prints after RESULT, `digits` of them with a decimal."""
    printed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("RESULT")]
    return [f"{float(value):.{int(number < digits)}f}" for number, value in enumerate(line.split()[1:])]


def training_options(dump: Path, splits: int) -> list:
    """The command line of a pretraining, as llmasr.sh gives it."""
    train = dump / "train" / f"splits{splits}" if splits > 1 else dump / "train"
    options = ["--output_dir", f"{dump}/exp", "--token_list", f"{dump}/phones.txt", "--ngpu", "0", "--num_workers", "0"]
    options += ["--num_iters_per_epoch", "40000", "--train_shape_file", f"{train}/utt2num_frames"]
    for name in ("wav.scp,speech,audio_16000", "phones,phones,text"):
        options += ["--train_data_path_and_name_and_type", f"{train}/{name}"]
    return [*options, "--multiple_iterator", "true" if splits > 1 else "false"]


def prepared(folder: Path, count: int):
    """The row of a corpus that is written, prepared and labelled in `folder`."""
    write_corpus(folder / "src", count)
    numbers = measure(PREPARE.format(folder=folder), 5)
    return f"{count:,}", f"{json.loads((folder / 'dump/train/stats.json').read_text())['utts']:,}", *numbers


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    print(f"{machine()}; load average at the start {os.getloadavg()[0]:.1f}.")
    with tempfile.TemporaryDirectory() as name:
        columns = ["prepare, s", "stage 2, s", "together, s", "CPU time, s", "and of `sort`, s"]
        columns += ["memory before, MB", "peak memory, MB"]
        rows = (prepared(Path(name, str(size)), size) for size in (count // 4, count))
        table(["utterances", "kept", *columns], rows)
        dump = Path(name, str(count), "dump")
        split = ["-m", "espnet_llmasr.bin.split_data", "--data_dir", dump / "train", "--num_splits", SPLITS]
        subprocess.run([sys.executable, *map(str, split)], check=True)
        print(f"\nStart of a training on {count:,} utterances, up to its first batch:")
        rows = ([str(size), *measure(START.format(options=training_options(dump, size)), 1)] for size in (1, SPLITS))
        table(("lists", "first batch after, s", "memory before, MB", "peak memory, MB", "of which data, MB"), rows)


if __name__ == "__main__":
    main()
