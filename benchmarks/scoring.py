"""Speed of counting errors beside jiwer, and time and memory of a set of 1,000,000 utterances, on one core.

    python benchmarks/scoring.py    (about 2 minutes; prints the tables of scoring.md)

Ours goes from the raw text of both sides to the counts over all tokens, over Han tokens and over other words, as
`bin.score` with the route `none` does. jiwer gets lines that were made ready before the clock started: our tokens
joined by blanks, all pairs in one call; on code-switched lines it needs three calls for the same counts.
"""

import random
from itertools import islice

import jiwer
from common import cpu_s, machine, peak_mb, rates, spread, table, vocabularies, zipf

from espnet_llmasr.metrics.error_rate import PARTS, score_tokens_of
from espnet_llmasr.text.normalize import is_han, normalize, score_tokens
from espnet_llmasr.text.routes import make_route, tokens_of

ROUNDS, PAIRS, MILLION, INTERVAL = 9, 4000, 1_000_000, 20_000
ERROR_RATE = 0.1
ROUTE, RNG = make_route("none"), random.Random(0)
WORDS, HAN = vocabularies(RNG)


def mixed():
    """Two stretches of Mandarin with one to three English words after each."""
    lengths = [(HAN, 4, 11), (WORDS, 1, 3)] * 2
    return [token for words, least, most in lengths for token in zipf(RNG, words, RNG.randint(least, most))]


MAKERS = {
    "English": lambda: zipf(RNG, WORDS, RNG.randint(5, 25)),
    "Mandarin": lambda: zipf(RNG, HAN, RNG.randint(10, 30)),
    "code-switched": mixed,
}


def noisy(tokens):
    """Every token is kept, or with `ERROR_RATE` replaced, deleted or followed by another."""
    for token in tokens:
        (other,) = zipf(RNG, WORDS if token.isascii() else HAN, 1)
        yield from RNG.choice([[other], [other], [], [token, other]]) if RNG.random() < ERROR_RATE else [token]


def made_pairs(make, number, write=str, correct=0.0):
    """(reference, hypothesis) lines; `correct` is the share of hypotheses that are the reference."""
    for _ in range(number):
        tokens = make()
        hypothesis = tokens if RNG.random() < correct else noisy(tokens)
        yield normalize(" ".join(tokens)), write(normalize(" ".join(hypothesis)))


def written(line):
    """As a language model writes: a capital, curly apostrophes, a comma and a full stop."""
    middle = line.find(" ", len(line) // 2)
    line = line.capitalize().replace("'", "\u2019")
    return f"{line[:middle]},{line[middle:]}." if line[0].isascii() else f"{line[:6]}\uff0c{line[6:]}\u3002"


def ours(pairs):
    return score_tokens_of((str(n), *tokens_of(ROUTE, *pair)) for n, pair in enumerate(pairs))


def theirs(parts):
    """jiwer on every part (references, hypotheses)."""
    return [jiwer.process_words(references, hypotheses) for references, hypotheses in parts]


def ready(pairs):
    """Both sides for jiwer: of each part that the pairs have (one part alone is that of all tokens)."""
    tokens = [[score_tokens(line) for line in side] for side in zip(*pairs)]
    parts = [[[[t for t in line if is_han(t) is han] for line in side] for side in tokens] for han in (True, False)]
    both = all(any(side[0]) for side in parts)
    return [[[" ".join(line) for line in side] for side in part] for part in ([tokens, *parts] if both else [tokens])]


def sets():
    """(name, pairs, parts for jiwer); checks that both find the same number of errors."""
    variants = {"": (str, 0), ", hypothesis as written": (written, 0), ", 60 % of lines correct": (str, 0.6)}
    for language, make in MAKERS.items():
        for variant, options in variants.items():
            pairs = list(made_pairs(make, PAIRS, *options))
            parts, score = ready(pairs), ours(pairs)
            counts = [output.substitutions + output.deletions + output.insertions for output in theirs(parts)]
            assert counts == [score.total(part).errors for part in PARTS[: len(parts)]], language
            yield f"{language}{variant} ({100 * score.total().rate:.0f} % errors)", pairs, parts


def speed():
    jobs = {}
    for name, pairs, parts in sets():
        jobs |= {(name, "ours"): (PAIRS, ours, [pairs]), (name, "jiwer"): (PAIRS, theirs, [parts])}
    found = rates(jobs, ROUNDS)
    for name in dict.fromkeys(name for name, _ in jobs):
        own, others = found[name, "ours"], found[name, "jiwer"]
        yield name, spread(own), spread(others), spread([a / b for a, b in zip(own, others)], 1)


def million():
    """A set of a million pairs, a third of each language; the texts are 30,000 that come again."""
    texts = [pair for make in MAKERS.values() for pair in made_pairs(make, 10_000, written)]
    before = peak_mb()
    seconds, score = cpu_s(ours, (texts[n % len(texts)] for n in range(MILLION)))
    yield f"counts of {len(PARTS)} parts", f"{seconds:.1f}", f"{peak_mb() - before:,.0f}"
    for name, function in {"letters": score.letter_counts, "interval of one part": score.interval}.items():
        yield name, f"{cpu_s(function)[0]:.1f}", f"{peak_mb() - before:,.0f}"
    small = ours(islice(texts, INTERVAL))
    seconds = [cpu_s(small.interval)[0] for _ in range(ROUNDS)]
    yield f"interval of one part of {INTERVAL:,} utterances", spread(seconds, 2), "-"


if __name__ == "__main__":
    print(f"{machine('jiwer', 'rapidfuzz')}; {PAIRS:,} pairs, {ROUNDS} rounds.")
    print(f"\nA set of {MILLION:,} utterances, a third of each language, 10 % of the tokens wrong:")
    table(("", "CPU time, s", "peak memory above the texts, MB"), million())  # first: the peak memory is its own
    table(("lines", "ours, pairs/s", "jiwer, pairs/s", "times as fast"), speed())
