"""Decoding by a trained recipe: batches of 16 against single utterances, Whisper-tiny beside it, an hour, bad files.

    python benchmarks/decoding.py --recipe egs2/mini_zh_en/llmasr1    (after stage 15; 30 minutes; prints decoding.md)

It takes the pack of stage 15 and the test sets (fsdd: --sets dump/test). By another Python than that of stage 11,
--only equality compares the two. All ratios are of times that were measured in turns in one run.
The long recordings are made of the test utterances, in any order, with pauses of faint noise.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch
from common import machine, resident_mb, table

from espnet_llmasr import Speech2Text, audio
from espnet_llmasr.files import read_scp
from espnet_llmasr.inference.long_audio import PAUSE_S
from espnet_llmasr.inference.transcribe import Source, transcribe
from espnet_llmasr.metrics.error_rate import count_errors
from espnet_llmasr.text.normalize import score_tokens

SETS = [f"dump/{name}" for name in ("test_zh", "test_en", "test_cs")]
SIZES = (1, 16)
COMMAND = [sys.executable, "-m", "espnet_llmasr.bin.transcribe"]
RECORDINGS = (  # part of --hours, pauses in it in seconds, --pause_s; the first must not find its memory used already
    (1.0, (0.3, 2.0), PAUSE_S),
    (0.1, (0.3, 2.0), 0.8),
    (0.1, (1.0, 2.5), PAUSE_S),
)
LONG = "pauses, length; pause_s; utterances, pieces; mean and longest piece in s; real-time factor; most MiB in each \
quarter, then at the end; error rate %; of its utterances alone"
SPEED = "system, beam 3; batch; utterances; tokens; s; CPU s; real-time factor; ratio to 1; in CPU time"
SPECIALS = "<|endoftext|> <|startoftranscript|> <|en|> <|transcribe|> <|nospeech|> <|notimestamps|>".split()


def test_sets(sets, rate, most=None):
    """id -> (samples, transcript) of all test sets, or of the first utterances of each."""
    found = {}
    for name in sets:
        texts, wavs = (read_scp(Path(name) / table) for table in ("text", "wav.scp"))
        found |= {uid: (audio.read(wavs[uid], rate), texts[uid]) for uid in list(wavs)[:most]}
    return found


def in_turns(jobs, rounds):
    """{name: [(seconds, seconds of CPU time) of each round]} of functions; a round before the others warms up."""
    times = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, function in jobs.items():
            start, cpu = time.perf_counter(), time.process_time()
            function()
            times[name] += [(time.perf_counter() - start, time.process_time() - cpu)] * (number > 0)
    return times


def ours(model, utterances, size):
    sources = [Source(uid, samples) for uid, (samples, _) in utterances.items()]
    return {one.id: one.text for one in transcribe(sources, model.decode, model.sample_rate, size)}


def whisper():
    """transformers' pipeline of a Whisper-tiny with random weights; its tokenizer has made words."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
        pipeline,
    )

    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig()).eval()  # the defaults are the sizes of tiny
    words = {f"w{number}": number for number in range(model.config.vocab_size - len(SPECIALS))}
    tokenizer = WhisperTokenizer(vocab=words, merges=[], pad_token=SPECIALS[0])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIALS})
    return pipeline("automatic-speech-recognition", model, tokenizer=tokenizer,
                    feature_extractor=WhisperFeatureExtractor(), device="cpu")  # fmt: skip


def theirs(pipe, utterances, size, tokens):
    given = dict(min_new_tokens=tokens, max_new_tokens=tokens, num_beams=3)
    speech = [dict(raw=samples, sampling_rate=16000) for samples, _ in utterances.values()]
    return pipe(speech, batch_size=size, generate_kwargs=given)


def speed(model, unguarded, utterances, rounds):
    """A line for each system and batch size; the systems take turns. Whisper writes our mean number of tokens."""
    written = [len(unguarded.prompt.target(text)) for text in ours(unguarded, utterances, 16).values()]
    tokens, pipe = round(sum(written) / len(written)), whisper()
    fewer = dict(list(utterances.items())[::4])  # Whisper pads each of them to 30 s
    systems = {
        "ours": (partial(ours, unguarded), utterances),
        "ours, guard": (partial(ours, model), utterances),
        "Whisper-tiny": (lambda given, size: theirs(pipe, given, size, tokens), fewer),
    }
    jobs = {(name, size): partial(run, given, size) for name, (run, given) in systems.items() for size in SIZES}
    times = in_turns(jobs, rounds)
    for name, size in jobs:
        wall, cpu = zip(*times[name, size])
        ratios = [[one[way] / many[way] for one, many in zip(times[name, 1], times[name, size])] for way in (0, 1)]
        shown = [f"{median(each):.2f} ({min(each):.2f}-{max(each):.2f})" for each in ratios]
        given = systems[name][1]
        rtf = median(wall) / sum(len(samples) / model.sample_rate for samples, _ in given.values())
        yield name, size, len(given), tokens, f"{median(wall):.2f}", f"{median(cpu):.2f}", f"{rtf:.4f}", *shown


def equality(model, utterances, pack, sets):
    """Utterances whose transcripts are those of single decoding: in batches, by the command, by stage 11."""
    alone = ours(model, utterances, 1)
    done = subprocess.run([*COMMAND, *sets, "--model", pack, "--format", "kaldi"], capture_output=True, text=True)
    others = {"batches of 16": ours(model, utterances, 16), "the command": lines(done.stdout)}
    others["the zip, command, batches of 5"] = lines(
        subprocess.run([*COMMAND, *sets, "--model", f"{pack}.zip", "--format", "kaldi", "--batch_size", "5"],
                       capture_output=True, text=True).stdout)  # fmt: skip
    folder = Path("exp/joint_sft/decode")
    others["stage 11"] = {}
    for name in sets:
        others["stage 11"] |= read_scp(folder / Path(name).name / "text") if folder.exists() else {}
    for name, found in others.items():
        yield name, sum(found.get(uid) == text for uid, text in alone.items()), len(alone)


def lines(text):
    return {uid: transcript for uid, _, transcript in (line.partition(" ") for line in text.splitlines())}


def rate_of(pairs):
    """Error rate in percent of (reference, hypothesis) pairs."""
    counts = [count_errors(*map(score_tokens, pair)) for pair in pairs]
    return 100 * sum(each.errors for each in counts) / sum(each.reference_length for each in counts)


def make_recording(path, utterances, rate, hours, pauses):
    """Writes the recording; returns the ids of its utterances."""
    rng, used, left = np.random.default_rng(0), [], int(hours * 3600 * rate)
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        while left > 0:
            for uid in rng.permutation(list(utterances)).tolist():
                pause = 1e-3 * rng.standard_normal(int(rng.uniform(*pauses) * rate))
                for samples in (pause, utterances[uid][0]):
                    file.write(samples)
                    left -= len(samples)
                used.append(uid)
                if left <= 0:
                    break
    return used


def long_recording(model, utterances, folder, hours, pauses, pause_s):
    """The figures of one recording, in which pauses of so many seconds stand between utterances."""
    path = Path(folder, "long.flac")
    used = make_recording(path, utterances, model.sample_rate, hours, pauses)
    resident = []

    def decode(speech, langs):
        found = model.decode(speech, langs)
        resident.append(resident_mb())
        return found

    start = time.perf_counter()
    (found,) = transcribe([Source("long", str(path))], decode, model.sample_rate, pause_s=pause_s)
    seconds = time.perf_counter() - start
    alone = ours(model, utterances, 16)
    reference = " ".join(utterances[uid][1] for uid in used)
    lengths = [one.end_s - one.start_s for one in found.segments]
    yield f"{pauses[0]}-{pauses[1]} s, {found.seconds:.0f} s"
    yield pause_s
    yield f"{len(used)}, {len(lengths)}"
    yield f"{np.mean(lengths):.2f}, {max(lengths):.2f}"
    yield f"{seconds / found.seconds:.4f}"
    yield ", ".join(f"{max(quarter):.0f}" for quarter in np.array_split(resident, 4)) + f"; {resident_mb():.0f}"
    yield f"{rate_of([(reference, found.text)]):.2f}"
    yield f"{rate_of([(utterances[uid][1], alone[uid]) for uid in used]):.2f}"


def bad_files(utterances, folder, pack, rate):
    """180 recordings in several containers and rates, and 20 broken ones, given to the command."""
    whole, out = list(utterances.items())[:180], Path(folder, "out")
    for number, (uid, (samples, _)) in enumerate(whole):
        suffix, new = ("wav", "flac", "ogg", "mp3")[number % 4], (rate, 44100, 8000)[number % 3]
        samples = audio.resample(samples, rate, new)
        soundfile.write(
            Path(folder, f"{uid}.{suffix}"), np.stack([samples, samples], 1) if number % 2 else samples, new
        )
    good = Path(folder, f"{whole[0][0]}.wav").read_bytes()
    contents = (b"", b"no audio", good[:30], good[:-15000], os.urandom(5000))
    for number in range(20):
        Path(folder, f"bad{number}.{('wav', 'flac', 'mp3', 'ogg')[number % 4]}").write_bytes(contents[number % 5])
    done = subprocess.run([*COMMAND, folder, "--model", pack, "--output_dir", out], capture_output=True, text=True)
    named = [line for line in done.stderr.splitlines() if ": not transcribed: " in line]
    alone, files = ours(Speech2Text.from_pretrained(pack), dict(whole[::12]), 1), list(out.iterdir())
    equal = sum((out / f"{uid}.txt").read_text().rstrip("\n") == text for uid, text in alone.items())
    yield "transcripts, named files, exit code", f"{len(files)}, {len(named)}, {done.returncode}"
    yield "equal to single decoding (wav of the model's rate)", f"{equal} of {len(alone)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--pack", type=Path, help="default: exp/pack of the recipe")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--utterances", type=int, help="of each test set, for a trial (default: all)")
    parser.add_argument("--only", nargs="*", default=["long", "equality", "speed", "files"])
    args = parser.parse_args()
    pack = str((args.pack or args.recipe / "exp/pack").resolve())
    os.chdir(args.recipe)
    torch.set_num_threads(2)
    model = Speech2Text.from_pretrained(pack)
    utterances = test_sets(args.sets, model.sample_rate, args.utterances)
    print(machine("torch", "transformers"), f"; {torch.get_num_threads()} threads.\n", flush=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        for name in args.only:
            if name == "long":
                made = ((share * args.hours, *settings) for share, *settings in RECORDINGS)
                table(LONG.split("; "), (long_recording(model, utterances, other, *one) for one in made))
            elif name == "equality":
                head = ("transcripts equal to single decoding", "equal", "utterances")
                table(head, equality(model, utterances, pack, args.sets))
            elif name == "speed":
                unguarded = Speech2Text.from_pretrained(pack, guard="off")
                table(SPEED.split("; "), speed(model, unguarded, utterances, args.rounds))
            else:
                table(("200 files, 20 of them broken", ""), bad_files(utterances, folder, pack, model.sample_rate))
            print(flush=True)


if __name__ == "__main__":
    main()
