"""Mandarin readings of the frozen tables and of pypinyin beside CC-CEDICT's, weighted by the frequency of the words.

    pip install --target build/readings pypinyin==0.55.0 pypinyin-dict==0.9.0 jieba==0.42.1
    PYTHONPATH=build/readings python benchmarks/readings.py > benchmarks/readings.md

The words are those of two characters or more that CC-CEDICT and jieba's dictionary share; the latter counts them in a
corpus of about 60 million words. A syllable counts as another one if its letters or tone differ. 一 and 不 are left out
(CC-CEDICT has no sandhi), and so is a syllable that one side reads with the neutral tone (given apart).
"""

import datetime
from collections import Counter
from importlib.metadata import version
from importlib.resources import files

from common import table
from pypinyin import Style, lazy_pinyin
from pypinyin.contrib.tone_convert import to_finals_tone3, to_initials
from pypinyin_dict.phrase_pinyin_data.cc_cedict import phrases_dict

from espnet_llmasr.text.han import OPEN, HanReader

MENDED = 20  # words of this frequency or more were decided one by one


def unit(syllable):
    """ "zhǎng" -> "zhang3", with the finals that the tables write out (uei, iou, v)."""
    final = to_finals_tone3(syllable, strict=True, neutral_tone_with_five=True)
    return to_initials(syllable) + final.replace("ü", "v")


def dictionary_words():
    """(word, frequency, CC-CEDICT's units of each character)."""
    lines = (files("jieba") / "dict.txt").read_text(encoding="utf-8").splitlines()
    for word, frequency, _ in map(str.split, lines):
        readings = phrases_dict.get(word)
        if readings and len(word) == len(readings) > 1:
            units = [{unit(reading) for reading in readings_of} for readings_of in readings]
            if all(reading[-1:].isdigit() for readings_of in units for reading in readings_of):  # no 呣, no 嗯
                yield word, int(frequency), units


def pypinyin_units(word):
    finals = lazy_pinyin(word, style=Style.FINALS_TONE3, neutral_tone_with_five=True, strict=True)
    return [a + b for a, b in zip(lazy_pinyin(word, style=Style.INITIALS, strict=True), finals)]


def disagreements(word, ours, theirs):
    """(other readings, readings that only the neutral tone tells apart)."""
    pairs = [(a, b) for character, a, b in zip(word, ours, theirs) if character not in OPEN and a not in b]
    neutral = sum(a[-1] == "5" or any(reading[-1] == "5" for reading in b) for a, b in pairs)
    return len(pairs) - neutral, neutral


def percent(part, whole):
    return f"{100 * part / whole:.3f} %"


def compare(name, read, words):
    """(cells of the row, words with another reading)."""
    sums, different = Counter(), []
    for word, frequency, theirs in words:
        ours = read(word)
        other, neutral = disagreements(word, ours, theirs)
        sums.update(syllables=len(word), weighted=len(word) * frequency, other=other, other_weighted=other * frequency)
        sums.update(neutral_weighted=neutral * frequency)
        if other:
            different.append((frequency, word, ours, theirs))
    cells = [(sums["other_weighted"], sums["weighted"]), (sums["other"], sums["syllables"])]
    cells.append((sums["neutral_weighted"], sums["weighted"]))
    row = (name, *(percent(*cell) for cell in cells), len(different))
    return row, sorted(different, key=lambda entry: (-entry[0], entry[1]))


def main():
    words = list(dictionary_words())
    print("# Mandarin readings beside CC-CEDICT\n")
    for line in __doc__.splitlines()[2:4]:
        print(line)
    packages = ", ".join(f"{name} {version(name)}" for name in ("pypinyin", "pypinyin-dict", "jieba"))
    print(f"\n{datetime.date.today()}; {packages}; {len(words):,} words.")
    others, _ = compare("pypinyin", pypinyin_units, words)
    frozen, left = compare("frozen tables", HanReader("zh", lambda phones: ("".join(phones),)), words)
    columns = "readings; other syllables, weighted; unweighted; neutral tone, weighted; words with another reading"
    table(columns.split("; "), [others, frozen])
    taste = [entry for entry in left if entry[0] >= MENDED]
    print(f"\nWords of frequency {MENDED} or more that keep another reading than CC-CEDICT's ({len(taste)}): usage")
    print("differs, or CC-CEDICT (CC BY-SA 4.0, cc-cedict.org) gives Taiwan's reading or a name's. Written as: word,")
    print("reading in the frozen tables/in CC-CEDICT; the most frequent first.\n")
    for _, word, ours, theirs in taste:
        pairs = [(a, "|".join(sorted(b))) for c, a, b in zip(word, ours, theirs) if c not in OPEN and a not in b]
        print(f"- {word} " + ", ".join("/".join(pair) for pair in pairs))


if __name__ == "__main__":
    main()
