"""Retrieval of hotwords from a list of a million: time of an utterance, build time, memory; and what is retrieved.

    python benchmarks/hotwords.py --recipe egs2/mini_zh_en/llmasr1    (after stage 10; some minutes; prints hotwords.md)

The list is made of two or three words, or two to four Han characters, of the dictionaries. "Said" are units of the
transcripts of the test sets; decoys are entries of the made list.
"""

import argparse
import os
import random
import re
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from common import machine, peak_mb, resident_mb, table, vocabularies

from espnet_llmasr.data.sounds import KINDS
from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.inference.hotwords import HotwordDecoder, readings
from espnet_llmasr.text.hotwords import Hotwords
from espnet_llmasr.text.normalize import HAN
from espnet_llmasr.train.speech_batches import SpeechSet

SETS = ("test_zh", "test_en", "test_cs")
SIZES = (1_000, 10_000, 100_000, 1_000_000)
UNIT = re.compile(rf"[{HAN}]{{2,4}}|[a-z']+(?: [a-z']+)?")
NOISES = 100  # clips without speech of each kind, of 3 s


def made_entries(number):
    """So many different entries, half of them Latin and half Han."""
    rng = random.Random(0)
    words, characters = vocabularies(rng)
    entries = {}
    while len(entries) < number:
        entries[" ".join(rng.choices(words, k=rng.randint(2, 3)))] = None
        entries["".join(rng.choices(characters, k=rng.randint(2, 4)))] = None
    return list(entries)[:number]


def outputs(verifier, name):
    """id -> (log-probabilities (S, V), transcript) of a test set."""
    folder = Path("dump") / name
    texts, found = read_scp(folder / "text"), {}
    for uids, speech, lengths in SpeechSet(folder).batches(5000, verifier.sample_rate):
        for uid, log_probs in zip(uids, verifier.log_probs(speech, lengths)):
            found[uid] = log_probs, texts[uid]
    return found


def noise_clips(rate):
    """(kind, clips (B, N) without speech): digital silence and each kind of made noise."""
    size = 3 * rate
    clips = {"silence": [np.zeros(size)]}
    clips |= {name: [kind(size, np.random.default_rng(n), rate) for n in range(NOISES)] for name, kind in KINDS.items()}
    for kind, samples in clips.items():
        scaled = [0.1 * each / max(1e-9, np.abs(each).max()) for each in samples]
        yield kind, torch.tensor(np.array(scaled), dtype=torch.float32)


def noises(verifier):
    """(kind, log-probabilities) of the clips without speech."""
    for kind, speech in noise_clips(verifier.sample_rate):
        yield kind, verifier.log_probs(speech, torch.full((len(speech),), speech.size(1)))


def timed(decoder, log_probs):
    """Milliseconds of the readings, of the search in the list, and of both, of each utterance, and its hints."""
    rows = []
    for each in log_probs:
        start = time.perf_counter()
        read = readings(each)
        middle = time.perf_counter()
        for reading in read:
            decoder.hotwords.find(reading)
        end = time.perf_counter()
        times = middle - start, end - middle, end - start
        rows.append((*(1e3 * seconds for seconds in times), decoder.hints(each)))
    return rows


def speed(verifier, entries, log_probs, largest):
    """A line for each size of the list; the last decoder is left in the list `largest`."""
    for size in SIZES:
        before, start = resident_mb(), time.process_time()
        hotwords = Hotwords(entries[:size], verifier.labelize)
        seconds, memory = time.process_time() - start, resident_mb() - before
        largest[:] = [HotwordDecoder(hotwords, verifier)]
        rows = timed(largest[0], log_probs)
        times = [[f"{median(c):.3f}", f"{sorted(c)[int(0.99 * len(c))]:.3f}"] for c in list(zip(*rows))[:3]]
        greedy = [time_of(hotwords, verifier, each) for each in log_probs]
        hints = sum(len(row[-1]) for row in rows) / len(rows)
        yield (
            f"{size:,}",
            f"{seconds:.1f}",
            f"{memory:.0f}",
            f"{median(greedy):.3f}",
            *(value for pair in times for value in pair),
            f"{hints:.2f}",
        )


def time_of(hotwords, verifier, log_probs):
    """Milliseconds of one scan of the greedy output."""
    first = readings(log_probs)[0]
    start = time.perf_counter()
    hotwords.find(first)
    return 1e3 * (time.perf_counter() - start)


def retrieval(verifier, found, decoys):
    """A line for each number of decoys in the list beside the units of the test sets."""
    said = {uid: set(UNIT.findall(text.lower())) for uid, (_, text) in found.items()}
    units = sorted(set().union(*said.values()))
    for size in (0, 1_000, 100_000):
        decoder = HotwordDecoder(Hotwords([*units, *decoys[:size]], verifier.labelize), verifier)
        can = {
            word
            for word in units
            if any(word in match.words for match in decoder.hotwords.find(verifier.labelize(word).ids))
        }
        hints = {uid: set(decoder.hints(log_probs)) for uid, (log_probs, _) in found.items()}
        due = [(uid, word) for uid in found for word in said[uid] & can]
        hits = sum(word in hints[uid] for uid, word in due)
        first = {uid: greedy_hints(decoder, log_probs) for uid, (log_probs, _) in found.items()}
        greedy = sum(word in first[uid] for uid, word in due)
        false = sum(bool({w for w in hints[uid] if w.lower() not in found[uid][1].lower()}) for uid in found)
        yield (
            f"{len(units):,} + {size:,}",
            len(due),
            f"{greedy / len(due):.1%}",
            f"{hits / len(due):.1%}",
            f"{false} of {len(found)}",
        )


def greedy_hints(decoder, log_probs):
    return {word for match in decoder.hotwords.find(readings(log_probs)[0]) for word in match.words}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="a recipe's folder with exp/ctc_head and dump/")
    os.chdir(parser.parse_args().recipe)
    torch.set_num_threads(1)
    verifier = CTCVerifier("exp/ctc_head/config.yaml", "exp/ctc_head/latest.pth")
    found = {uid: row for name in SETS for uid, row in outputs(verifier, name).items()}
    entries, log_probs = made_entries(max(SIZES)), [row[0] for row in found.values()]
    labels = median(len(readings(each)[0]) for each in log_probs)
    print(machine("pyahocorasick", "torch"), f"{len(found)} utterances, median of {labels:.0f} phones.", sep="; ")
    head = "entries|build s|MiB|greedy scan ms|readings ms: median|99 %|all scans ms: median|99 %|sum ms: median|99 %|hints"
    table(head.split("|"), speed(verifier, entries, log_probs, largest := []))
    print(f"\nPeak memory {peak_mb():.0f} MiB.")
    head = "list: said + decoys|said|hints, greedy|hints, all readings|utterances with a hint that nobody said"
    table(head.split("|"), retrieval(verifier, found, entries))
    counted = ((kind, sum(bool(largest[0].hints(row)) for row in rows), len(rows)) for kind, rows in noises(verifier))
    table(("clips without speech", "with a hint of a million", "clips"), counted)


if __name__ == "__main__":
    main()
