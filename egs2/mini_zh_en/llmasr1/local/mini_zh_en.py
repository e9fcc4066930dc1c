"""Speaks the miniature bilingual corpus with espeak-ng: python3 mini_zh_en.py --train_hours 5

Writes <data_dir>/{train,valid,cka,test_zh,test_en,test_cs}. The voices and the texts of the test sets, and the texts of
valid, do not occur in train; cka is the beginning of valid. A second run with the same options does nothing.
"""

import random
import sys
from pathlib import Path

import espeak
import mini_words
import numpy as np
from espnet_llmasr.data.synthetic import AudioWriter, Parser, Progress, in_fresh_processes, is_made, publish, run, stamp_of
from espeak import SAMPLE_RATE_HZ, Espeak, load_library
from mini_words import KINDS, draw_held_out, draw_training_line, language_of, language_runs, spoken, text_of

SETS = ("train", "valid", "cka", "test_zh", "test_en", "test_cs")
TRAIN_VOICES = "m1 m2 m3 m4 m5 m7 m8 adam edward max michel quincy robert f1 Annie belinda shelby steph".split()
TEST_VOICES = "m6 john f4 grandma".split()  # as in training no voice with breath: its noise differs from run to run
ESPEAK_LANGUAGE = {"zh": "cmn-latn-pinyin", "en": "en-us"}
RATE_WPM = {"zh": 165, "en": 120}  # together about 8 phones a second
SPEED = (0.9, 1.1)
PITCH = (35, 65)
PITCH_RANGE = (35, 65)
PAUSE_S = (0.03, 0.1)  # where the languages meet
EDGE_S = (0.1, 0.25)
PEAK = (0.25, 0.9)
NOISE_LEVEL = (0.0002, 0.002)
MEAN_S = 1.78  # a training utterance, measured
CHUNK = 250  # utterances a process; part of the result, since espeak-ng's noise depends on what it said before


def get_parser():
    parser = Parser(__doc__, "downloads/mini_zh_en")
    parser.add_argument("--train_hours", type=float, default=5.0)
    parser.add_argument("--num_valid", type=int, default=120)
    parser.add_argument("--num_cka", type=int, default=40, help="the first utterances of valid, for CKA")
    parser.add_argument("--num_test", type=int, default=100, help="utterances in each of the three test sets")
    return parser


def make_corpus(args):
    check(args)
    options = stamp_of(args, [__file__, espeak.__file__, mini_words.__file__])
    if is_made(args.audio_dir, options, [Path(args.data_dir, name) for name in SETS]):
        print(f"{args.audio_dir} is there already, made with the same options", file=sys.stderr)
        return
    AudioWriter(args.audio_dir).start()
    progress = Progress("mini_zh_en")
    made = {name: speak_lines(args, name, lines, progress) for name, lines in draw_sets(args).items()}
    made["cka"] = made["valid"][: args.num_cka]
    progress.show()
    publish(args.audio_dir, args.data_dir, made, options)


def check(args):
    """Before anything is touched."""
    load_library()
    if args.train_hours <= 0 or args.nj < 1 or not 0 < args.num_cka <= args.num_valid or args.num_test < 1:
        raise ValueError("need train_hours > 0, nj >= 1, num_test >= 1 and 0 < num_cka <= num_valid")


def draw_sets(args):
    """Returns {set: lines}; a line is a list of words."""
    sizes = {f"test_{kind}": (kind, args.num_test) for kind in KINDS}
    sets = draw_held_out(args.seed, {"valid": (None, args.num_valid), **sizes})
    held_out = {text_of(words) for lines in sets.values() for words in lines}
    rng = random.Random(f"{args.seed}-train")
    num_train = round(args.train_hours * 3600 / MEAN_S)
    return {**sets, "train": [draw_training_line(rng, held_out) for _ in range(num_train)]}


def speak_lines(args, name, lines, progress):
    starts = range(0, len(lines), CHUNK)
    chunks = [(args.audio_dir, name, args.seed, start, lines[start : start + CHUNK]) for start in starts]
    utterances = []
    for chunk in in_fresh_processes(speak_chunk, chunks, args.nj):
        progress.add(chunk)
        utterances += chunk
    return utterances


def speak_chunk(task):
    """Speaks one chunk of lines in a process of its own; returns its utterances (see corpus_files.write_data_dir)."""
    audio_dir, name, seed, start, lines = task
    writer, synthesiser, utterances = AudioWriter(audio_dir), Espeak(), []
    for number, words in enumerate(lines, start):
        rng = random.Random(f"{seed}-{name}-{number}")
        voice = rng.choice(TEST_VOICES if name.startswith("test") else TRAIN_VOICES)
        samples = speak_line(synthesiser, words, voice, rng)
        utterance = {"id": f"{voice}-{name}-{number:06d}", "speaker": voice, "text": text_of(words)}
        utterance["wav"] = writer.write(name, utterance["id"], samples, SAMPLE_RATE_HZ)
        utterances.append({**utterance, "language": language_of(words), "duration_s": len(samples) / SAMPLE_RATE_HZ})
    return utterances


def speak_line(synthesiser, words, voice, rng):
    """Each language's part by its own voice of the same speaker, joined; float32, (num_samples,)."""
    speed, pitch, pitch_range = rng.uniform(*SPEED), rng.randint(*PITCH), rng.randint(*PITCH_RANGE)
    pieces = []
    for language, run in language_runs(words):
        pieces.append(silence(rng.uniform(*(PAUSE_S if pieces else EDGE_S))))
        voice_name = f"{ESPEAK_LANGUAGE[language]}+{voice}"
        rate_wpm = round(RATE_WPM[language] * speed)
        samples = synthesiser.speak(spoken(language, run), voice_name, rate_wpm, pitch, pitch_range)
        pieces.append(samples / np.abs(samples).max())
    samples = np.concatenate([*pieces, silence(rng.uniform(*EDGE_S))]) * rng.uniform(*PEAK)
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(samples), dtype=np.float32)
    return samples + np.float32(rng.uniform(*NOISE_LEVEL)) * noise


def silence(seconds):
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


if __name__ == "__main__":
    run(make_corpus, get_parser())
