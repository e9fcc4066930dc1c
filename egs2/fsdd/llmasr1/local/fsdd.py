"""Connected digits from the Free Spoken Digit Dataset: FSDD=<dir> python3 fsdd.py --num_train 20000

FSDD names a copy of the data set; without it the data set (27 MB, CC BY-SA 4.0) is downloaded.

Joins recordings of one speaker into strings of digits, 8 kHz, and writes <data_dir>/{train,valid,cka,test}. Official
split: recordings with index 0-4 are test; 5-6 are valid here, the rest train. Every test recording is used. cka is the
beginning of valid. Only train is augmented (speed, gain, noise). A second run with the same options does nothing.
"""

import logging
import os
import random
import re
import shutil
import tempfile
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_llmasr.cli import run
from espnet_llmasr.data.synthetic import AudioWriter, corpus_parser, make_in_chunks, make_once, silence
from espnet_llmasr.data.utterance import Utterance

SETS = ("train", "valid", "cka", "test")
SAMPLE_RATE_HZ = 8000
DIGITS = "zero one two three four five six seven eight nine".split()
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
FIRST_INDEX = {"test": 0, "valid": 5, "train": 7}
LENGTHS = {"test": (2, 3, 4, 5, 6), "valid": (2, 3, 4, 5, 6), "train": (1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6)}
GAP_S = (0.0, 0.2)  # between digits
EDGE_S = (0.05, 0.2)
FADE_S = 0.005  # at both ends of a recording, against clicks
SPEED = (0.9, 1.1)
GAIN_DB = (-10, 5)
NOISE_LEVEL = (0.0, 0.003)
CHUNK = 2000  # strings a process
URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.zip"
TIMEOUT_S = 60


def get_parser():
    parser = corpus_parser(__doc__, "downloads/fsdd_strings")
    parser.add_argument("--src", default=os.environ.get("FSDD"), help="holds recordings/; downloaded if not given")
    parser.add_argument("--num_train", type=int, default=20000, help="strings; 20000 are about 10 hours")
    parser.add_argument("--num_valid", type=int, default=120)
    parser.add_argument("--num_cka", type=int, default=40, help="the first strings of valid, for CKA")
    parser.add_argument("--num_test", type=int, default=300)
    parser.add_argument("--max_digits", type=int, default=6, help="longest strings, for quick experiments")
    return parser


def main():
    args = get_parser().parse_args()
    if min(args.num_train, args.num_test, args.nj) < 1 or not 0 < args.num_cka <= args.num_valid:
        raise ValueError("need num_train, num_test and nj >= 1 and 0 < num_cka <= num_valid")
    if args.max_digits < 2:
        raise ValueError(f"--max_digits is {args.max_digits}, need at least 2: test strings begin there")
    make_once(args, [__file__], SETS, lambda: make_sets(args))


def make_sets(args):
    """Writes the wavs; returns {set: utterances}."""
    splits = split_recordings(find_recordings(args.src, Path(args.audio_dir).parent))
    sizes = {"test": args.num_test, "valid": args.num_valid, "train": args.num_train}
    made = {}
    for name, size in sizes.items():
        strings = draw_strings(args.seed, name, size, splits, args.max_digits)
        made[name] = make_in_chunks(join_chunk, args, name, strings, CHUNK)
    return made


def find_recordings(given, downloads):
    """The folder of wavs: in `given` if set, else downloaded below `downloads`."""
    target = Path(downloads, "fsdd")
    if not given and not (target / "recordings").is_dir():
        download(URL, target)
    return recordings_in(given or target)


def recordings_in(directory):
    for folder in (Path(directory, "recordings"), Path(directory)):
        if any(folder.glob("*.wav")):
            return folder
    raise ValueError(f"no wavs in {directory}/recordings: set FSDD to a copy of free-spoken-digit-dataset")


def download(url, target):
    """Unpacks the archive's recordings into target/recordings: beside it first, then renamed."""
    logging.info("downloading %s to %s", url, target)
    Path(target).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        archive, unpacked = Path(scratch, "archive.zip"), Path(scratch, "recordings")
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, open(archive, "wb") as file:
                shutil.copyfileobj(response, file)
            unpack_wavs(archive, unpacked)
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"could not download {url} ({error}): get a copy and set FSDD=<its folder>") from error
        os.replace(unpacked, Path(target, "recordings"))


def unpack_wavs(archive, folder):
    folder.mkdir()
    with zipfile.ZipFile(archive) as contents:
        for name in contents.namelist():
            if "/recordings/" in name and name.endswith(".wav"):
                (folder / Path(name).name).write_bytes(contents.read(name))


def split_recordings(folder):
    """Returns {set: {speaker: [path]}} by the recording's index."""
    splits = {name: {} for name in FIRST_INDEX}
    for path in sorted(Path(folder).glob("*.wav")):
        match = NAME.fullmatch(path.name)
        if not match:
            raise ValueError(f"{path} is not named <digit>_<speaker>_<index>.wav")
        splits[split_of(int(match[3]))].setdefault(match[2], []).append(str(path))
    for name, speakers in splits.items():
        if not speakers or set(speakers) != set(splits["test"]):
            raise ValueError(f"{folder} has no recordings for {name} of some speaker: fetch the whole data set again")
    return splits


def split_of(index):
    return max(FIRST_INDEX, key=lambda name: (FIRST_INDEX[name] <= index, FIRST_INDEX[name]))


def draw_strings(seed, name, size, splits, max_digits=6):
    """Returns (speaker, paths) per string. Paths come from shuffled decks: all come once before one comes again."""
    rng = random.Random(f"{seed}-{name}")
    lengths = [length for length in LENGTHS[name] if length <= max_digits]
    speakers, decks, strings = sorted(splits[name]), {}, []
    for number in range(size):
        speaker = speakers[number % len(speakers)]
        paths = []
        for _ in range(rng.choice(lengths)):
            if not decks.get(speaker):
                decks[speaker] = rng.sample(splits[name][speaker], len(splits[name][speaker]))
            paths.append(decks[speaker].pop())
        strings.append((speaker, paths))
    return strings


def join_chunk(task):
    """Writes one chunk of strings; returns its utterances. `task` as in make_in_chunks."""
    audio_dir, name, seed, start, strings = task
    writer, cache, utterances = AudioWriter(audio_dir), {}, []
    for number, (speaker, paths) in enumerate(strings, start):
        rng = random.Random(f"{seed}-{name}-{number}")
        cache.update({path: read(path) for path in paths if path not in cache})
        samples = join([cache[path] for path in paths], rng)
        samples = augment(samples, rng) if name == "train" else samples
        text = " ".join(DIGITS[int(Path(path).name[0])] for path in paths)
        key, duration_s = f"{speaker}-{name}-{number:06d}", len(samples) / SAMPLE_RATE_HZ
        wav = writer.write(name, key, samples, SAMPLE_RATE_HZ)
        utterances.append(Utterance(key, wav, text, speaker, "en", duration=duration_s))
    return utterances


def read(path):
    """Returns float32 samples, (num_samples,), faded in and out."""
    samples, rate_hz = soundfile.read(path, dtype="float32")
    if rate_hz != SAMPLE_RATE_HZ or samples.ndim != 1 or not len(samples):
        raise ValueError(f"{path} is not {SAMPLE_RATE_HZ} Hz mono ({rate_hz} Hz, shape {samples.shape})")
    ramp = np.linspace(0, 1, min(round(FADE_S * rate_hz), len(samples)), dtype=np.float32)
    samples[: len(ramp)] *= ramp
    samples[len(samples) - len(ramp) :] *= ramp[::-1]
    return samples


def join(recordings, rng):
    """[(num_samples,)] -> (more samples,), silence between and at both ends."""
    pieces = [silence(rng.uniform(*EDGE_S), SAMPLE_RATE_HZ)]
    for recording in recordings:
        pieces += [recording, silence(rng.uniform(*GAP_S), SAMPLE_RATE_HZ)]
    return np.concatenate([*pieces[:-1], silence(rng.uniform(*EDGE_S), SAMPLE_RATE_HZ)])


def augment(samples, rng):
    """Speed (with pitch), gain and noise, all slight."""
    samples = soxr.resample(samples, SAMPLE_RATE_HZ * rng.uniform(*SPEED), SAMPLE_RATE_HZ)
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(samples), dtype=np.float32)
    samples = samples * np.float32(10 ** (rng.uniform(*GAIN_DB) / 20)) + np.float32(rng.uniform(*NOISE_LEVEL)) * noise
    return samples / max(1.0, np.abs(samples).max())


if __name__ == "__main__":
    run(main)
