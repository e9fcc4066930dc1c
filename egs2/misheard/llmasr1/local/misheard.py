"""Speaks a corpus that can be misheard: FSDD=<dir> python3 misheard.py --train_hours 4

Writes <data_dir>/{train,valid,cka,test,start,start_valid} at 8 kHz and <data_dir>/lm/text. A second run with the same
options does nothing. An utterance's id says its kind:

    open    a sentence of sentences.py, spoken by espeak-ng
    half    the same, of which half or more is not spoken but silent or noise; the transcript has the spoken words only
    digits  a carrier phrase of espeak-ng, then real digits of the Free Spoken Digit Dataset (CC BY-SA 4.0)
    loose   one to three words in any order (not in test)

Most are spoken in noise; babble and music come in test alone. Voices: train, test and start (which is for the encoder
that pretraining starts from, without noise) share none, nor do train and test share FSDD's speakers. Rare words are
rare in train, rarer still in lm/text (of which the LLM learns its habits), and every other word of its kind in test.
No whole sentence of valid or test is in train, start or lm/text. cka is the beginning of valid.
"""

import os
import random
from pathlib import Path
from typing import List, NamedTuple, Sequence

import espeak
import fsdd
import numpy as np
import sentences
import soxr
from espeak import Espeak, load_library
from fsdd import DIGITS, SAMPLE_RATE_HZ

from espnet_llmasr.cli import run
from espnet_llmasr.data.noise import mix, power
from espnet_llmasr.data.sounds import KINDS
from espnet_llmasr.data.synthetic import AudioWriter, corpus_parser, make_in_chunks, make_once, silence
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.files import write_scp

TESTED = ("test", "valid", "start_valid")
SETS = ("train", "valid", "cka", "test", "start", "start_valid")
VOICES = {  # none with breath: its noise differs from run to run
    "train": "m1 m2 m3 m4 m5 m7 adam edward max f1 Annie belinda".split(),
    "test": "m6 john f4 grandma Andy linda".split(),
    "start": "m8 michel quincy robert norbert pedro ian Denis shelby steph".split(),
}
SHARES = {  # of the kinds of a set
    "train": {"open": 0.4, "half": 0.15, "digits": 0.15, "loose": 0.3},
    "valid": {"open": 0.5, "half": 0.25, "digits": 0.25},
    "test": {"open": 0.45, "half": 0.3, "digits": 0.25},
    "start": {"open": 0.5, "loose": 0.5},
    "start_valid": {"open": 1.0},
}
RARE = {"train": 0.15, "valid": 0.15, "test": 0.5, "start": 0.5, "start_valid": 0.5}
RARE_IN_LM = 0.02
NOISY = {"train": 0.4, "valid": 0.4, "test": 0.5, "start": 0.0, "start_valid": 0.0}  # share of utterances in noise
SNR_DB = (5.0, 10.0, 20.0)
TEST_NOISE = ("babble", "music")  # the other kinds come in all sets
TRAIN_NOISE = tuple(sorted(set(KINDS) - set(TEST_NOISE)))
BEGINNING_SAID = 0.7  # share of the half sentences whose beginning is said, not their end
HALF_NOISE = 0.5  # share of the unspoken parts that are noise, not silence
WORD_S = 0.35  # a word that is not spoken
RATE_WPM, PITCH, PITCH_RANGE = (140, 180), (35, 65), (35, 65)
EDGE_S = (0.1, 0.25)
PEAK = (0.25, 0.9)
HISS = (0.0002, 0.002)
MEAN_S = 2.1  # an utterance of train, measured
CHUNK = 500  # utterances a process; part of the result, since espeak-ng's noise depends on what it said before


def get_parser():
    parser = corpus_parser(__doc__, "downloads/misheard")
    parser.add_argument("--src", default=os.environ.get("FSDD"), help="FSDD, holds recordings/")
    parser.add_argument("--train_hours", type=float, default=4.0, help="of train, and of start")
    parser.add_argument("--num_valid", type=int, default=120, help="utterances of valid, and of start_valid")
    parser.add_argument("--num_cka", type=int, default=40, help="the first utterances of valid, for CKA")
    parser.add_argument("--num_test", type=int, default=300)
    parser.add_argument("--num_lm", type=int, default=20000, help="sentences of lm/text")
    return parser


def main():
    args = get_parser().parse_args()
    load_library()
    if not args.src:
        raise ValueError(
            "FSDD is not named: give FSDD=<dir>, a copy of free-spoken-digit-dataset (fsdd's recipe has it)"
        )
    if args.train_hours <= 0 or min(args.nj, args.num_test, args.num_lm) < 1 or not 0 < args.num_cka <= args.num_valid:
        raise ValueError("need train_hours > 0, nj, num_test and num_lm >= 1 and 0 < num_cka <= num_valid")
    sources = [__file__, espeak.__file__, fsdd.__file__, sentences.__file__]
    make_once(args, sources, SETS, lambda: make_sets(args))


def make_sets(args):
    """Writes the wavs and lm/text; returns {set: utterances}."""
    recordings = split_speakers(fsdd.split_recordings(fsdd.recordings_in(args.src)))
    number = round(args.train_hours * 3600 / MEAN_S)
    sizes = dict(test=args.num_test, valid=args.num_valid, start_valid=args.num_valid, train=number, start=number)
    lines, held_out = {}, set()
    for name, size in sizes.items():
        is_tested = name in TESTED
        lines[name] = draw_lines(args.seed, name, size, recordings.get(name), () if is_tested else held_out)
        held_out.update(" ".join(line.words) for line in lines[name] if is_tested and line.kind != "half")
    text = Path(args.data_dir, "lm", "text")
    text.parent.mkdir(parents=True, exist_ok=True)
    write_scp(text, draw_text(args.seed, args.num_lm, held_out))
    return {name: make_in_chunks(speak_chunk, args, name, lines[name], CHUNK) for name in lines}


def split_speakers(splits):
    """{set: {speaker: [path]}} with the last third of the speakers in test alone, the others in train and valid."""
    speakers = sorted(splits["test"])
    tested = speakers[-max(1, len(speakers) // 3) :]
    wanted = {name: tested if name == "test" else [one for one in speakers if one not in tested] for name in splits}
    return {name: {speaker: splits[name][speaker] for speaker in wanted[name]} for name in splits}


class Line(NamedTuple):
    """An utterance before it is spoken."""

    kind: str
    words: List[str]
    """All that is said."""
    digits: Sequence[str] = ()
    """Recordings of the last words, in their order."""
    before: int = 0
    """Words of the sentence that are not said before these, and after them."""
    after: int = 0


def draw_lines(seed, name, size, recordings, avoid):
    """The lines of a set; what is said is not among the texts `avoid`."""
    rng, lines = random.Random(f"{seed}-{name}"), []
    kinds, weights = zip(*SHARES[name].items())
    for kind in rng.choices(kinds, weights, k=size):
        lines.append(draw_line(rng, kind, RARE[name], recordings))
        while " ".join(lines[-1].words) in avoid:
            lines[-1] = draw_line(rng, kind, RARE[name], recordings)
    return lines


def draw_line(rng, kind, rare, recordings):
    """recordings: {speaker: paths}."""
    if kind == "loose":
        return Line(kind, sentences.draw_loose(rng))
    if kind == "digits":
        words, number = sentences.draw_carrier(rng)
        digits = rng.choices(recordings[rng.choice(sorted(recordings))], k=number)
        return Line(kind, words + [DIGITS[int(Path(path).name[0])] for path in digits], digits)
    words = sentences.draw_sentence(rng, rare)
    if kind == "open":
        return Line(kind, words)
    said = rng.randint(1, len(words) // 2)
    if rng.random() < BEGINNING_SAID:
        return Line(kind, words[:said], after=len(words) - said)
    return Line(kind, words[-said:], before=len(words) - said)


def draw_text(seed, size, held_out):
    """The text from which the LLM learns its habits: {id: sentence}; one in eight is a carrier with digits."""
    rng, texts = random.Random(f"{seed}-lm"), []
    while len(texts) < size:
        if rng.random() < 1 / 8:
            words, number = sentences.draw_carrier(rng)
            words = words + rng.choices(DIGITS, k=number)
        else:
            words = sentences.draw_sentence(rng, RARE_IN_LM)
        if " ".join(words) not in held_out:
            texts.append(" ".join(words))
    return {f"lm-{number:06d}": text for number, text in enumerate(texts)}


def speak_chunk(task):
    """Speaks one chunk of lines in a process of its own; returns its utterances. `task` as in make_in_chunks."""
    audio_dir, name, seed, start, lines = task
    writer, synthesiser, utterances = AudioWriter(audio_dir), Espeak(), []
    for number, line in enumerate(lines, start):
        rng = random.Random(f"{seed}-{name}-{number}")
        noise = np.random.default_rng([seed, *f"{name}-{number}".encode()])
        voice = rng.choice(VOICES["train" if name == "valid" else name.split("_")[0]])
        samples = in_noise(speak_line(synthesiser, line, voice, rng, noise), name, rng, noise)
        speaker = f"{voice}_{Path(line.digits[0]).name.split('_')[1]}" if line.digits else voice
        key, duration_s = f"{speaker}-{name}-{line.kind}-{number:06d}", len(samples) / SAMPLE_RATE_HZ
        wav = writer.write(name, key, samples, SAMPLE_RATE_HZ)
        utterances.append(Utterance(key, wav, " ".join(line.words), speaker, "en", duration=duration_s))
    return utterances


def speak_line(synthesiser, line, voice, rng, noise):
    """Float32, (num_samples,), before noise; `noise`: random numbers of what is in the place of words not said."""
    options = rng.randint(*RATE_WPM), rng.randint(*PITCH), rng.randint(*PITCH_RANGE)
    words = line.words[: len(line.words) - len(line.digits)]
    spoken = synthesiser.speak(" ".join(words), f"en-us+{voice}", *options)
    pieces = [soxr.resample(spoken, espeak.SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)]
    if line.digits:
        pieces.append(fsdd.join([fsdd.read(path) for path in line.digits], rng))
    pieces = [piece / np.abs(piece).max() for piece in pieces]
    pieces = [unspoken(line.before, rng, noise), *pieces, unspoken(line.after, rng, noise)]
    edges = [silence(rng.uniform(*EDGE_S), SAMPLE_RATE_HZ) for _ in range(2)]
    return np.concatenate([edges[0], *pieces, edges[1]]) * np.float32(rng.uniform(*PEAK))


def unspoken(num_words, rng, noise):
    """Silence, or noise that is quieter than speech, in the place of so many words."""
    samples = silence(num_words * WORD_S, SAMPLE_RATE_HZ)
    if num_words and rng.random() < HALF_NOISE:
        sound = KINDS[rng.choice(TRAIN_NOISE)](len(samples), noise, SAMPLE_RATE_HZ)
        samples = np.float32(rng.uniform(0.05, 0.5)) * sound / np.abs(sound).max()
    return samples


def in_noise(samples, name, rng, noise):
    """A faint hiss, and in a share of the utterances noise of a kind at a signal-to-noise ratio."""
    if rng.random() < NOISY[name]:
        kind = rng.choice(TRAIN_NOISE + TEST_NOISE if name == "test" else TRAIN_NOISE)
        sound = KINDS[kind](len(samples), noise, SAMPLE_RATE_HZ)
        samples = mix(samples, sound, power(samples), rng.choice(SNR_DB))
    return samples + np.float32(rng.uniform(*HISS)) * noise.standard_normal(len(samples), dtype=np.float32)


if __name__ == "__main__":
    run(main)
