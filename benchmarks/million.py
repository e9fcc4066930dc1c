"""A million utterances: time and memory of preparing and phonemising them, and of starting a training on them.

    python benchmarks/million.py > benchmarks/million.md

One JSON line for each utterance (half English of 10 words, half Mandarin of 20 characters, a short wav for every
1000) is prepared (stage 1) and labelled (stage 2) in one process. The memory is that of the process and of the
`sort` processes beside it together, looked at every 20 ms. Then `espnet_llmasr`'s own batches and tables are loaded as
a training loads them, without and with split lists, each in a fresh process, up to the first batch.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from common import head, machine, row

COUNT, SPLITS, PER_RECORDING = 1_000_000, 20, 1000
WORDS = (
    "time people water music answer little between country never always running because together winter school".split()
)
RARE = "serendipity onomatopoeia gubernatorial kaleidoscope mnemonic zephyr quixotic labyrinthine sovereign".split()
HAN = (
    "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后"
    "小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长"
)
PREPARE = """
import resource, time
from pathlib import Path
from espnet_llmasr.asr.encoders import read_windows
from espnet_llmasr.audio import Windows
from espnet_llmasr.data.checks import Limits
from espnet_llmasr.data.labels import Labels, format_data
from espnet_llmasr.data.prepare import Canonical, prepare
src, data, dump = (Path("{folder}", name) for name in ("src", "data", "dump"))
imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began = time.monotonic()
prepare("msr_86k", src, "en", data, Canonical("msr_86k", "plain"), ["duration=duration"])
middle = time.monotonic()
limits = Limits(16000, 0.1, 30.0, Windows.of_features(16000).count, read_windows(None).count)
format_data(data, dump / "train", Labels(dump / "phones.txt", "phone", "zh_en"), limits, "utt2dur")
end = time.monotonic()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print("RESULT", middle - began, end - middle, end - began, *(part.ru_utime + part.ru_stime for part in used), imported)
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
    vocabulary = WORDS * 20 + RARE
    with open(src / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for number in range(count):
            text = "".join(draw.choices(HAN, k=20)) if number % 2 else " ".join(draw.choices(vocabulary, k=10))
            uid, wav = f"utt{draw.getrandbits(40):011x}{number:07}", f"wav/{number // PER_RECORDING:06}.wav"
            line = dict(id=uid, audio=wav, text=text, duration=4 + 8 * draw.random())
            manifest.write(json.dumps(line, ensure_ascii=False) + "\n")


def tree_rss_mb(pid: int) -> float:
    """Resident memory of a process and all that it has started."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0.0  # it has ended
    return pages * 4096 / 2**20 + sum(tree_rss_mb(int(child)) for child in children)


def measure(code: str):
    """(the numbers that the code prints after RESULT, peak memory of its process tree in MB)."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, tree_rss_mb(process.pid))
        time.sleep(0.02)
    (line,) = [line for line in process.stdout.read().splitlines() if line.startswith("RESULT")]
    return [float(value) for value in line.split()[1:]], peak


def training_options(dump: Path, splits: int) -> list:
    """The command line of a pretraining, as llmasr.sh gives it."""
    train = dump / "train" / f"splits{splits}" if splits > 1 else dump / "train"
    options = ["--output_dir", f"{dump}/exp", "--token_list", f"{dump}/phones.txt", "--ngpu", "0", "--num_workers", "0"]
    options += ["--num_iters_per_epoch", "40000", "--train_shape_file", f"{train}/utt2num_frames"]
    for table in ("wav.scp,speech,audio_16000", "phones,phones,text"):
        options += ["--train_data_path_and_name_and_type", f"{train}/{table}"]
    return [*options, "--multiple_iterator", "true" if splits > 1 else "false"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT, help="utterances")
    count = parser.parse_args().count
    print(
        f"# {count:,} utterances\n\n    python benchmarks/million.py > benchmarks/million.md\n\nPrepare and stage 2 in"
    )
    print("one process. No audio is opened (`--audio_check utt2dur`); the lines are made of few different words.")
    print(f"{machine()}; load average at the start {os.getloadavg()[0]:.1f}.")
    with tempfile.TemporaryDirectory() as name:
        columns = ["prepare, s", "stage 2, s", "together, s", "CPU time, s", "and of `sort`, s"]
        head("utterances", "kept", *columns, "memory before, MB", "peak memory with `sort`, MB")
        for size in (count // 4, count):
            folder = Path(name, str(size))
            write_corpus(folder / "src", size)
            (*seconds, imported), peak = measure(PREPARE.format(folder=folder))
            kept = json.loads((folder / "dump/train/stats.json").read_text())["utts"]
            row(f"{size:,}", f"{kept:,}", *(f"{value:.1f}" for value in seconds), f"{imported:.0f}", f"{peak:.0f}")
        dump = folder / "dump"
        split = ["-m", "espnet_llmasr.bin.split_data", "--data_dir", dump / "train", "--num_splits", SPLITS]
        subprocess.run([sys.executable, *map(str, split)], check=True)
        print(
            f"\nStart of a training on {count:,} utterances, up to its first batch (two lists are in memory while one"
        )
        print("follows another):")
        head("lists", "first batch after, s", "memory before, MB", "peak memory, MB", "of which data, MB")
        for splits in (1, SPLITS):
            (seconds, *memory), _ = measure(START.format(options=training_options(dump, splits)))
            row(splits, f"{seconds:.1f}", *(f"{value:.0f}" for value in memory))


if __name__ == "__main__":
    main()
