#!/usr/bin/env python3
"""Speed, memory, hits and false alarms of the search for overlaps (local/check_overlap.py), on strings of real spoken digits.

    python benchmarks/overlap.py FSDD/recordings    (2 minutes on one core; prints what stands in overlap.md)

Strings are joined from single digits (https://github.com/Jakobovski/free-spoken-digit-dataset). For false alarms one
half of the recordings makes the test strings and the other half the training strings, so that voices and words are the
same and no recording is.
"""

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from espnet_llmasr import audio  # noqa: E402
from espnet_llmasr.data.overlap.audio_index import AudioIndex  # noqa: E402
from espnet_llmasr.data.overlap.fingerprint import LAG, RATE, STEP, Fingerprint, fingerprint  # noqa: E402
from espnet_llmasr.data.overlap.text_index import TextIndex  # noqa: E402

DIGITS_HZ = 8000
FORMATS = {
    "wav 16 kHz": (16000, "wav", {}),
    "flac 16 kHz": (16000, "flac", {}),
    "mp3 24 kHz": (24000, "mp3", {}),
    "mp3 44.1 kHz": (44100, "mp3", {}),
    "opus 16 kHz": (16000, "opus", dict(format="OGG", subtype="OPUS")),
}


def digits(folder):
    """{(speaker, digit): [samples, ...]} at 8 kHz"""
    out = defaultdict(list)
    for path in sorted(Path(folder).glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        out[speaker, digit].append(soundfile.read(path, dtype="float32")[0])
    return out


def shuffled(recordings, seed, length=10):
    """All recordings in strings of `length`."""
    order = np.random.default_rng(seed).permutation(len(recordings))
    for at in range(0, len(order) - length + 1, length):
        yield np.concatenate([recordings[i] for i in order[at : at + length]])


def counted(table, seed, half, strings):
    """Each speaker says 0 to 9: the same words by the same voice."""
    rng = np.random.default_rng(seed)
    for speaker in sorted({speaker for speaker, _ in table}):
        for _ in range(strings):
            takes = [table[speaker, str(digit)][half::2] for digit in range(10)]
            yield np.concatenate([take[rng.integers(len(take))] for take in takes])


def false_alarms(name, tests, train):
    tests, train = list(tests), list(train)
    start = time.process_time()
    index = AudioIndex(fingerprint(samples, DIGITS_HZ, STEP) for samples in tests)
    middle = time.process_time()
    found = sum(len(list(index.find(fingerprint(samples, DIGITS_HZ, LAG)))) for samples in train)
    end = time.process_time()
    hours = [sum(map(len, side)) / DIGITS_HZ / 3600 for side in (tests, train)]
    print(f"| {name} | {len(tests)} x {len(train)} | {found} |")
    return hours[0] * 3600 / (middle - start), hours[1] * 3600 / (end - middle), index.nbytes / hours[0] / 1e6


def with_noise(samples, snr_db):
    noise = np.random.default_rng(0).standard_normal(len(samples))
    return (samples + noise * np.sqrt(np.mean(samples**2) / 10 ** (snr_db / 10))).astype(np.float32)


def copies(samples, folder):
    """(name, samples, rate) of distorted copies, all cut 0.737 s after the beginning and 0.45 s before the end."""
    cut = samples[int(0.737 * DIGITS_HZ) : -int(0.45 * DIGITS_HZ)]
    for name, (rate, suffix, how) in FORMATS.items():
        path = folder / f"copy.{suffix}"
        soundfile.write(path, audio.resample(cut, DIGITS_HZ, rate), rate, **how)
        yield (name, *soundfile.read(path, dtype="float32"))
    yield "-12 dB", cut * 0.25, DIGITS_HZ
    for snr_db in (30, 20, 10):
        yield f"white noise, {snr_db} dB SNR", with_noise(cut, snr_db), DIGITS_HZ


def hits(strings, folder):
    index = AudioIndex(fingerprint(samples, DIGITS_HZ, STEP) for samples in strings)
    found, agreement, wrong = defaultdict(int), defaultdict(list), 0
    for number, samples in enumerate(strings):
        for name, copy, rate in copies(samples, folder):
            matches = {match.test: match.agreement for match in index.find(fingerprint(copy, rate, LAG))}
            found[name] += number in matches
            agreement[name] += [matches[number]] if number in matches else []
            wrong += len(matches.keys() - {number})
    for name in found:
        print(f"| {name} | {found[name]} of {len(strings)} | {np.mean(agreement[name]):.3f} |")
    print(f"\nMatches with another string: {wrong}.\n")


def speed(strings, index, folder):
    """Hours of audio per core hour, decoding included; utterances of about 5 s in files, and pieces of a long file."""
    print("| audio | decode | decode, fingerprint, look up |\n|---|---|---|")
    for name, (rate, suffix, how) in FORMATS.items():
        entries = []
        for number, samples in enumerate(strings):
            entries.append(str(folder / f"{number}.{suffix}"))
            soundfile.write(entries[-1], audio.resample(samples, DIGITS_HZ, rate), rate, **how)
        report_speed(name, entries, index)
    long = np.concatenate(list(strings) * 5)[: 1800 * DIGITS_HZ]
    for suffix in ("opus", "flac"):
        path, how = folder / f"long.{suffix}", FORMATS[f"{suffix} 16 kHz"][2]
        soundfile.write(path, audio.resample(long, DIGITS_HZ, 16000), 16000, **how)
        minutes = len(long) / DIGITS_HZ / 60
        pieces = [f"{path}#t={at:.3f},{at + 5:.3f}" for at in range(0, int(60 * minutes) - 5, 15)]
        report_speed(f"pieces of 5 s of {minutes:.0f} minutes of {suffix}", pieces, index)


def report_speed(name, entries, index):
    start = time.process_time()
    seconds = sum(len(samples) / rate for samples, rate in map(audio.read_at_own_rate, entries))
    middle = time.process_time()
    for entry in entries:
        list(index.find(fingerprint(*audio.read_at_own_rate(entry), LAG)))
    print(f"| {name} | {seconds / (middle - start):.0f} | {seconds / (time.process_time() - middle):.0f} |")


def text_speed(sentences=60000, lines=100000):
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(30000)])
    texts = TextIndex()
    for _ in range(sentences):
        texts.add(" ".join(rng.choice(words, 20)))
    train = [" ".join(rng.choice(words, 15)) for _ in range(lines)]
    start = time.process_time()
    found = sum(1 for line in train for _ in texts.find(line))
    seconds = time.process_time() - start
    print(f"\nText: {lines / seconds:.0f} lines of 15 words a second against {sentences} sentences ({found} found).")


def main(folder):
    table = digits(folder)
    if not table:
        sys.exit(f"{folder} holds no recordings such as 7_george_12.wav")
    every = [samples for samples_of in table.values() for samples in samples_of]
    print("| false alarms | strings, test x train | found |\n|---|---|---|")
    parts = [[samples for group in table.values() for samples in group[half::2]] for half in (0, 1)]
    tests, train = (
        [s for seed in seeds for s in shuffled(part, seed)] for part, seeds in zip(parts, ((0, 1), range(2, 8)))
    )
    false_alarms("any digits, any order, all speakers", tests, train)
    same = (counted(table, 1, 0, 40), counted(table, 2, 1, 40))
    index_speed, find_speed, size = false_alarms("0 to 9, the same speakers", *same)
    print("\n| copy | found | equal bits |\n|---|---|---|")
    strings = list(shuffled(every, 9))
    with tempfile.TemporaryDirectory() as name:
        hits(strings[:100], Path(name))
        index = AudioIndex(fingerprint(samples, DIGITS_HZ, STEP) for samples in strings)
        speed(strings[:100], index, Path(name))
        big = np.random.default_rng(0).integers(0, 1 << 32, 100 * 3600 * RATE // STEP, dtype=np.uint32)
        filled = AudioIndex([index_of(big)])
        print(f"\nThe same against an index of 100 h ({filled.nbytes / 1e6:.0f} MB):")
        print("| audio | decode | decode, fingerprint, look up |\n|---|---|---|")
        report_speed("flac 16 kHz", [str(Path(name, f"{number}.flac")) for number in range(100)], filled)
    print(f"\nWithout decoding: index x{index_speed:.0f}, look up x{find_speed:.0f}; {size:.1f} MB per hour of tests.")
    text_speed()


def index_of(words):
    return Fingerprint(words, np.ones(len(words), bool), np.zeros((0, 4), np.uint32))


if __name__ == "__main__":
    main(*sys.argv[1:])
