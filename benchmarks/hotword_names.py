"""Speaks lines with made names, for benchmarks/hotwords.py: data/names (context SFT) and data/test_names.

    PYTHONPATH=local python REPOSITORY/benchmarks/hotword_names.py    (in the recipe mini_zh_en, after stage 1)

A Mandarin name is two characters, each one of up to four that sound as a character of the miniature; an English name is
two of its words, written as one. So the sounds are known, and only a list tells the spelling. No name is in both sets.
Beside `text` lie the lists: data/names/list, data/names/decoys (names that nobody says), data/test_names/list.
"""

import random
from collections import Counter
from itertools import product
from pathlib import Path
from typing import NamedTuple

import mini_zh_en as mini
from espeak import SAMPLE_RATE_HZ, Espeak

from espnet_llmasr.cli import run
from espnet_llmasr.data.synthetic import AudioWriter, corpus_parser, make_in_chunks, write_data_dir
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.files import write_atomically
from espnet_llmasr.text.han import HanReader
from espnet_llmasr.text.phonemes import Phonemizer

SAME = 4  # characters of a sound, the most frequent ones of the dictionary
NAMES = {"names/list": (1200, 400), "names/decoys": (700, 300), "test_names/list": (75, 75)}  # Mandarin, English
LINES = {"names": (2000, 4000), "test_names": (150, 150)}
CHUNK = 250  # utterances a process


class Name(NamedTuple):
    """A name as it is written, and as it is spoken: "zhu1-lao3", or two English words."""

    written: str
    spoken: str


def main():
    args = corpus_parser(__doc__, "downloads/names").parse_args()
    rng, wavs = random.Random(f"{args.seed}-names"), AudioWriter(args.audio_dir)
    made, lists = (mandarin_names(rng), english_names(rng)), {}
    for path, numbers in NAMES.items():
        lists[path] = [[names.pop() for _ in range(number)] for names, number in zip(made, numbers)]
    wavs.start()
    for folder, numbers in LINES.items():
        pairs = zip(lists[f"{folder}/list"], numbers)
        lines = [line_with(names[place % len(names)], rng) for names, number in pairs for place in range(number)]
        write_data_dir(Path(args.data_dir, folder), make_in_chunks(speak_chunk, args, folder, lines, CHUNK))
    wavs.publish()
    for path, both in lists.items():
        write_atomically(Path(args.data_dir, path), "".join(f"{name.written}\n" for names in both for name in names))


def mandarin_names(rng):
    """As many different ones as all lists need."""
    phones = Phonemizer()
    common = [character for character, _ in Counter("".join(HanReader("zh").phrases)).most_common(3000)]
    syllables = {tuple(phones(c)): s for word in mini.MANDARIN for c, s in zip(word, mini.MANDARIN[word].split("-"))}
    same = {syllable: [c for c in common if tuple(phones(c)) == sound][:SAME] for sound, syllable in syllables.items()}
    written = {character: syllable for syllable, characters in sorted(same.items()) for character in characters}
    names = {}
    while len(names) < sum(number for number, _ in NAMES.values()):
        first, second = rng.choices(list(written), k=2)
        if phones(first + second) == phones(first) + phones(second) and first + second not in mini.MANDARIN:
            names[Name(first + second, f"{written[first]}-{written[second]}")] = None
    return list(names)


def english_names(rng):
    """All, in random order."""
    phones, pairs = Phonemizer(), product(mini.ENGLISH, repeat=2)
    alike = [pair for pair in pairs if pair[0] != pair[1] and phones("".join(pair)) == phones(" ".join(pair))]
    return [Name("".join(pair), " ".join(pair)) for pair in rng.sample(alike, len(alike))]


def line_with(name, rng):
    """(words, name): one to three words of the miniature and the name at any place among them."""
    words = mini.draw_line(rng, rng.choice(mini.KINDS))[: rng.randint(1, 3)]
    words.insert(rng.randint(0, len(words)), name.written)
    return words, name


def speak_chunk(task):
    """As the miniature's, for lines with names."""
    audio_dir, folder, seed, start, lines = task
    writer, synthesiser, utterances = AudioWriter(audio_dir), Espeak(), []
    for number, (words, name) in enumerate(lines, start):
        rng = random.Random(f"{seed}-{folder}-{number}")
        voice = rng.choice(mini.TEST_VOICES if folder.startswith("test") else mini.TRAIN_VOICES)
        spoken = words
        if name.written.isascii():
            spoken = [part for word in words for part in (name.spoken.split() if word == name.written else [word])]
        else:
            mini.MANDARIN[name.written] = name.spoken
        samples = mini.speak_line(synthesiser, spoken, voice, rng)
        key = f"{voice}-{folder}-{number:06d}"
        wav = writer.write(folder, key, samples, SAMPLE_RATE_HZ)
        seconds = len(samples) / SAMPLE_RATE_HZ
        text, language = mini.text_of(words), mini.language_of(words)
        utterances.append(Utterance(key, wav, text, voice, language, duration=seconds))
    return utterances


if __name__ == "__main__":
    run(main)
