"""Speed, memory, hits and false alarms of the search of bin.check_overlap, on strings of real spoken digits.

    python benchmarks/overlap.py FSDD/recordings    (2 minutes on one core; prints the tables of overlap.md)

Strings are joined from single digits (https://github.com/Jakobovski/free-spoken-digit-dataset). For false alarms one
half of the recordings makes the test strings and the other half the training strings, so that voices and words are the
same and no recording is.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
from common import cpu_s, table

from espnet_llmasr import audio
from espnet_llmasr.data.overlap.audio_index import AudioIndex
from espnet_llmasr.data.overlap.fingerprint import LAG, RATE, STEP, Fingerprint, fingerprint
from espnet_llmasr.data.overlap.text_index import TextIndex

DIGITS_HZ = 8000
FORMATS = ((16000, "wav"), (16000, "flac"), (24000, "mp3"), (44100, "mp3"), (16000, "opus"))


def shuffled(recordings, *seeds):
    """All recordings in strings of ten, once for each seed."""
    for order in (np.random.default_rng(seed).permutation(len(recordings)) for seed in seeds):
        for at in range(0, len(order) - 9, 10):
            yield np.concatenate([recordings[i] for i in order[at : at + 10]])


def counted(takes, seed, half):
    """Each speaker says 0 to 9, 40 times: the same words by the same voice."""
    rng = np.random.default_rng(seed)
    for speaker in sorted({speaker for speaker, _ in takes}):
        for _ in range(40):
            digits = [takes[speaker, str(digit)][half::2] for digit in range(10)]
            yield np.concatenate([digit[rng.integers(len(digit))] for digit in digits])


def index_of(strings):
    return AudioIndex(fingerprint(samples, DIGITS_HZ, STEP) for samples in strings)


def false_alarms(name, tests, train):
    """A row, and speeds of index and look-up in times of real time, and MB of index per hour."""
    tests, train = list(tests), list(train)
    index_s, index = cpu_s(index_of, tests)
    find_s, found = cpu_s(lambda: sum(len(list(index.find(fingerprint(samples, DIGITS_HZ, LAG)))) for samples in train))
    test_s, train_s = (sum(map(len, side)) / DIGITS_HZ for side in (tests, train))
    row = name, f"{len(tests)} x {len(train)}", found
    return row, (test_s / index_s, train_s / find_s, index.nbytes / test_s * 3600 / 1e6)


def write(path, samples, rate):
    how = dict(format="OGG", subtype="OPUS") if path.suffix == ".opus" else {}
    soundfile.write(path, audio.resample(samples, DIGITS_HZ, rate), rate, **how)
    return str(path)


def copies(samples, folder):
    """(name, samples, rate) of distorted copies, all cut 0.737 s after the beginning and 0.45 s before the end."""
    cut = samples[int(0.737 * DIGITS_HZ) : -int(0.45 * DIGITS_HZ)]
    for rate, suffix in FORMATS:
        path = write(folder / f"copy.{suffix}", cut, rate)
        yield f"{suffix} {rate / 1000:g} kHz", *soundfile.read(path, dtype="float32")
    yield "-12 dB", cut * 0.25, DIGITS_HZ
    for snr_db in (30, 20, 10):
        noise = np.random.default_rng(0).standard_normal(len(cut)) * np.sqrt(np.mean(cut**2) / 10 ** (snr_db / 10))
        yield f"white noise, {snr_db} dB SNR", (cut + noise).astype(np.float32), DIGITS_HZ


def hits(strings, folder):
    index, agreement, wrong = index_of(strings), defaultdict(list), 0
    for number, samples in enumerate(strings):
        for name, copy, rate in copies(samples, folder):
            matches = {match.test: match.agreement for match in index.find(fingerprint(copy, rate, LAG))}
            agreement[name] += [matches[number]] if number in matches else []
            wrong += len(matches.keys() - {number})
    rows = ((name, f"{len(found)} of {len(strings)}", f"{np.mean(found):.3f}") for name, found in agreement.items())
    table(("copy", "found", "equal bits"), rows)
    print(f"\nMatches with another string: {wrong}.")


def speed(strings, index, folder):
    """Hours of audio per core hour, decoding included; utterances of about 5 s in files, and pieces of a long file."""
    jobs = {}
    for rate, suffix in FORMATS:
        entries = [write(folder / f"{i}.{suffix}", samples, rate) for i, samples in enumerate(strings)]
        jobs[f"{suffix} {rate / 1000:g} kHz"] = index, entries
    hours = np.random.default_rng(0).integers(0, 1 << 32, 100 * 3600 * RATE // STEP, dtype=np.uint32)
    filled = AudioIndex([Fingerprint(hours, np.ones(len(hours), bool), np.zeros((0, 4), np.uint32))])
    name = f"flac 16 kHz, index of 100 h of tests ({filled.nbytes / 1e6:.0f} MB)"
    jobs[name] = filled, jobs["flac 16 kHz"][1]
    long = np.concatenate(list(strings) * 5)[: 1800 * DIGITS_HZ]
    seconds = len(long) // DIGITS_HZ
    for suffix in ("opus", "flac"):
        path = write(folder / f"long.{suffix}", long, 16000)
        pieces = [f"{path}#t={at:.3f},{at + 5:.3f}" for at in range(0, seconds - 5, 15)]
        jobs[f"pieces of 5 s of {seconds / 60:.0f} minutes of {suffix}"] = index, pieces
    for name, (searched, entries) in jobs.items():
        decode_s, decoded = cpu_s(lambda: [len(pcm) / rate for pcm, rate in map(audio.read_at_own_rate, entries)])
        found = (searched.find(fingerprint(*audio.read_at_own_rate(entry), LAG)) for entry in entries)
        all_s, _ = cpu_s(lambda: list(map(list, found)))
        yield name, *(f"{sum(decoded) / value:.0f}" for value in (decode_s, all_s))


def text_speed(sentences=60000, lines=100000):
    rng, texts = np.random.default_rng(0), TextIndex()
    for _ in range(sentences):
        texts.add(" ".join(map(str, rng.integers(30000, size=20))))
    train = [" ".join(map(str, rng.integers(30000, size=15))) for _ in range(lines)]
    seconds, found = cpu_s(lambda: sum(1 for line in train for _ in texts.find(line)))
    print(f"\nText: {lines / seconds:.0f} lines of 15 words a second against {sentences} sentences ({found} found).")


def main(folder):
    takes = defaultdict(list)  # {(speaker, digit): [samples, ...]} at 8 kHz
    for path in sorted(Path(folder).glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        takes[speaker, digit].append(soundfile.read(path, dtype="float32")[0])
    if not takes:
        sys.exit(f"{folder} holds no recordings such as 7_george_12.wav")
    tests, train = ([samples for group in takes.values() for samples in group[half::2]] for half in (0, 1))
    any_order = false_alarms(
        "any digits, any order, all speakers", shuffled(tests, 0, 1), shuffled(train, *range(2, 8))
    )
    same_words = false_alarms("0 to 9, the same speakers", counted(takes, 1, 0), counted(takes, 2, 1))
    table(("false alarms", "strings, test x train", "found"), (row for row, _ in (any_order, same_words)))
    strings = list(shuffled([samples for group in takes.values() for samples in group], 9))
    with tempfile.TemporaryDirectory() as name:
        hits(strings[:100], Path(name))
        rows = speed(strings[:100], index_of(strings), Path(name))
        table(("audio", "decode", "decode, fingerprint, look up"), rows)
    print("\nWithout decoding: index x{:.0f}, look up x{:.0f}; {:.1f} MB per hour of tests.".format(*same_words[1]))
    text_speed()


if __name__ == "__main__":
    main(*sys.argv[1:])
