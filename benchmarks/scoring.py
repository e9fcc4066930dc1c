"""Speed of counting errors beside jiwer, and time and memory of a set of 1,000,000 utterances, on one core.

    python benchmarks/scoring.py > benchmarks/scoring.md    (about 2 minutes)

Ours goes from the raw text of both sides to the counts over all tokens, over Han tokens and over other words, as
`bin.score` with the route `none` does. jiwer gets lines that were made ready before the clock started: our tokens
joined by blanks, all pairs in one call; on code-switched lines it needs three calls for the same counts. In every round
each method is timed (CPU time) after the others, so that the ratios hold on a busy machine, too.
"""

import random
from importlib.metadata import version
from itertools import islice

import jiwer
from common import cpu_s, head, machine, peak_mb, row, spread, zipf_weights

from espnet_llmasr.metrics.error_rate import PARTS, count_errors, score_tokens_of
from espnet_llmasr.text.english import read_cmudict
from espnet_llmasr.text.han import HanReader
from espnet_llmasr.text.normalize import is_han, normalize, score_tokens
from espnet_llmasr.text.routes import make_route, tokens_of

ROUNDS, PAIRS, MILLION, INTERVAL = 9, 4000, 1_000_000, 20_000
ERROR_RATE = 0.04  # and one more for each line: about 10 % together
ROUTE = make_route("none")


class Lines:
    """Random references of realistic length and the same with errors; tokens by Zipf's law from the dictionaries."""

    def __init__(self):
        self.rng = random.Random(0)
        words = [word for word in read_cmudict() if word.replace("'", "").isalpha()]
        characters = sorted({character for phrase in HanReader("zh").phrases for character in phrase})
        self.words, self.han = self.rng.sample(words, 20_000), self.rng.sample(characters, 4_000)
        self.weights = zipf_weights(20_000)

    def english(self):
        return self._draw(self.words, 5, 25)

    def mandarin(self):
        return self._draw(self.han, 10, 30)

    def mixed(self):
        """Two stretches of Mandarin with one to three English words after each."""
        return [token for _ in range(2) for token in (*self._draw(self.han, 4, 11), *self._draw(self.words, 1, 3))]

    def _draw(self, vocabulary, least, most):
        weights = self.weights[: len(vocabulary)]
        return self.rng.choices(vocabulary, cum_weights=weights, k=self.rng.randint(least, most))

    def noisy(self, tokens):
        """Every token is kept, or with `ERROR_RATE` replaced, deleted or followed by another; at least one changes."""
        spared = [self.rng.random() >= ERROR_RATE for _ in tokens]
        spared[self.rng.randrange(len(spared))] = False
        return [new for token, same in zip(tokens, spared) for new in ([token] if same else self._wrong(token))]

    def _wrong(self, token):
        (other,) = self._draw(self.words if token.isascii() else self.han, 1, 1)
        return self.rng.choice([[other], [other], [], [token, other]])

    def pairs(self, make, number, write=str, correct=0.0):
        """(reference, hypothesis) lines; `correct` is the share of hypotheses without an error."""
        for _ in range(number):
            tokens = make()
            hypothesis = tokens if self.rng.random() < correct else self.noisy(tokens)
            yield normalize(" ".join(tokens)), write(normalize(" ".join(hypothesis)))


def written(line):
    """As a language model writes: a capital, curly apostrophes, a comma and a full stop."""
    middle = line.find(" ", len(line) // 2)
    line = line.capitalize().replace("'", "\u2019")
    return f"{line[:middle]},{line[middle:]}." if line[0].isascii() else f"{line[:6]}\uff0c{line[6:]}\u3002"


def ours(pairs):
    return score_tokens_of((str(n), *tokens_of(ROUTE, *pair)) for n, pair in enumerate(pairs))


def ours_all_tokens(pairs):
    return [count_errors(score_tokens(reference), score_tokens(hypothesis)) for reference, hypothesis in pairs]


def theirs(parts):
    """jiwer on every part (references, hypotheses)."""
    return [jiwer.process_words(references, hypotheses) for references, hypotheses in parts]


def ready(pairs):
    """Both sides for jiwer: of each part that the pairs have (one part alone is that of all tokens)."""
    tokens = [[score_tokens(line) for line in side] for side in zip(*pairs)]
    parts = [[[[t for t in line if is_han(t) is han] for line in side] for side in tokens] for han in (True, False)]
    both = all(any(side[0]) for side in parts)
    return [[[" ".join(line) for line in side] for side in part] for part in ([tokens, *parts] if both else [tokens])]


def methods():
    """(name, ours, argument, jiwer's argument); checks that both find the same number of errors."""
    lines = Lines()
    makers = {"English": lines.english, "Mandarin": lines.mandarin, "code-switched, three parts": lines.mixed}
    variants = {"": (str, 0), ", hypothesis as written": (written, 0), ", 60 % of lines correct": (str, 0.6)}
    for language, make in makers.items():
        for variant, options in variants.items():
            pairs = list(lines.pairs(make, PAIRS, *options))
            parts, score = ready(pairs), ours(pairs)
            counts = [output.substitutions + output.deletions + output.insertions for output in theirs(parts)]
            assert counts == [score.total(part).errors for part in PARTS[: len(parts)]], language
            yield f"{language}{variant} ({100 * score.total().rate:.0f} % errors)", ours, pairs, parts
        if make == lines.mixed:
            yield "code-switched, all tokens only", ours_all_tokens, pairs, parts[:1]


def speed_table():
    rates, jobs = {}, list(methods())
    for _ in range(ROUNDS + 1):
        for name, function, pairs, parts in jobs:
            rates.setdefault(name, []).append((PAIRS / cpu_s(function, pairs)[0], PAIRS / cpu_s(theirs, parts)[0]))
    head("lines", "ours, pairs/s", "jiwer, pairs/s", "times as fast")
    for name, values in rates.items():
        own, others = zip(*values[1:])  # the first round fills memories
        row(name, spread(own), spread(others), spread([a / b for a, b in zip(own, others)], 1))


def million_table():
    """A set of a million pairs, a third of each language; the texts are 30,000 that come again."""
    lines = Lines()
    texts = [
        pair for make in (lines.english, lines.mandarin, lines.mixed) for pair in lines.pairs(make, 10_000, written)
    ]
    before = peak_mb()
    print(f"\nA set of {MILLION:,} utterances, a third of each language, every one with errors:")
    head("", "CPU time, s", "peak memory above the texts, MB")
    seconds, score = cpu_s(ours, (texts[n % len(texts)] for n in range(MILLION)))
    row(f"counts of {len(PARTS)} parts", f"{seconds:.1f}", f"{peak_mb() - before:,.0f}")
    for name, function in {"letters": score.letter_counts, "interval of one part": score.interval}.items():
        row(name, f"{cpu_s(function)[0]:.1f}", f"{peak_mb() - before:,.0f}")
    small = ours(islice(texts, INTERVAL))
    seconds = [cpu_s(small.interval)[0] for _ in range(ROUNDS)]
    print(f"\nInterval of one part of {INTERVAL:,} utterances: {spread(seconds, 2)} s.")


if __name__ == "__main__":
    print(
        "# Speed of counting errors\n\n    python benchmarks/scoring.py > benchmarks/scoring.md    (about 2 minutes)\n"
    )
    print(f"{machine()}; jiwer {version('jiwer')}, rapidfuzz {version('rapidfuzz')}; {PAIRS:,} pairs, {ROUNDS} rounds.")
    print(
        "Ours makes tokens of the raw text of both sides and counts all tokens, Han tokens and other words; jiwer gets"
    )
    print("ready tokens, in three calls where lines have both kinds. Both find the same number of errors.")
    print("jiwer also keeps an alignment of every pair; ours makes one only for the file of details.")
    print("Minimum / median / maximum of the rounds, CPU time.")
    million_table()  # first: the peak memory is its own
    speed_table()
