#!/usr/bin/env python3
"""Speed of counting errors beside jiwer, and time and memory of a set of 1,000,000 utterances, on one core.

    python benchmarks/scoring.py > benchmarks/scoring.md    (about 2 minutes)

Ours goes from the raw text of both sides to the counts over all tokens, over Han tokens and over other words, as
`bin.score` with the route `none` does. jiwer gets lines that were made ready before the clock started: our tokens
joined by blanks, all pairs in one call; on code-switch lines it needs three calls for the same counts. In every round
each method is timed (CPU time) after the others, so that the ratios hold on a busy machine, too.
"""

import os
import platform
import random
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from itertools import accumulate, islice
from pathlib import Path
from statistics import median

import jiwer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from espnet_llmasr.metrics.error_rate import PARTS, count_errors, score_tokens_of  # noqa: E402
from espnet_llmasr.text.english import read_cmudict  # noqa: E402
from espnet_llmasr.text.han import HanReader  # noqa: E402
from espnet_llmasr.text.normalize import is_han, normalize, score_tokens  # noqa: E402
from espnet_llmasr.text.routes import make_route, tokens_of  # noqa: E402

ROUNDS, PAIRS, MILLION, INTERVAL = 9, 4000, 1_000_000, 20_000
ERROR_RATE = 0.04  # and one more for each line: about 10 % together
ROUTE = make_route("none")


class Lines:
    """Random references of realistic length and the same with errors; tokens by Zipf's law from the dictionaries."""

    def __init__(self, seed=0):
        self.rng = random.Random(seed)
        words = [word for word in read_cmudict() if word.replace("'", "").isalpha()]
        characters = sorted({character for phrase in HanReader("zh").phrases for character in phrase})
        self.words, self.han = self.rng.sample(words, 20_000), self.rng.sample(characters, 4_000)
        self.weights = list(accumulate(1 / rank for rank in range(10, 20_010)))

    def english(self):
        return self._draw(self.words, self.rng.randint(5, 25))

    def mandarin(self):
        return self._draw(self.han, self.rng.randint(10, 30))

    def mixed(self):
        """Two stretches of Mandarin with one to three English words after each."""
        line = []
        for _ in range(2):
            line += self._draw(self.han, self.rng.randint(4, 11)) + self._draw(self.words, self.rng.randint(1, 3))
        return line

    def _draw(self, vocabulary, number):
        return self.rng.choices(vocabulary, cum_weights=self.weights[: len(vocabulary)], k=number)

    def noisy(self, tokens):
        """Every token is kept, or with `ERROR_RATE` replaced, deleted or followed by another; one never is kept."""
        spared = [self.rng.random() >= ERROR_RATE for _ in tokens]
        spared[self.rng.randrange(len(spared))] = False
        return [new for token, same in zip(tokens, spared) for new in ([token] if same else self._wrong(token))]

    def _wrong(self, token):
        other = self._draw(self.words if token.isascii() else self.han, 1)[0]
        return self.rng.choice([[other], [other], [], [token, other]])

    def pairs(self, make, write, correct=0.0):
        """Endless (reference, hypothesis) lines; `correct` is the share of hypotheses without an error."""
        while True:
            tokens = make()
            heard = tokens if self.rng.random() < correct else self.noisy(tokens)
            yield normalize(" ".join(tokens)), write(normalize(" ".join(heard)))


def as_it_is(line):
    return line


def written(line):
    """As a language model writes: a capital, curly apostrophes, a comma and a full stop."""
    middle = line.find(" ", len(line) // 2)
    line = line.capitalize().replace("'", "\u2019")
    return f"{line[:middle]},{line[middle:]}." if line[0].isascii() else f"{line[:6]}\uff0c{line[6:]}\u3002"


def ours(pairs):
    return score_tokens_of((str(n), *tokens_of(ROUTE, *pair)) for n, pair in enumerate(pairs))


def cpu_s(function, *args):
    start = time.process_time()
    result = function(*args)
    return time.process_time() - start, result


def ours_all_tokens(pairs):
    return [count_errors(score_tokens(reference), score_tokens(hypothesis)) for reference, hypothesis in pairs]


def theirs(parts):
    """jiwer on every part (references, hypotheses)."""
    return [jiwer.process_words(references, hypotheses) for references, hypotheses in parts]


def kinds(lines):
    """(name, pairs) of each kind of lines."""
    for name, make, write, correct in (
        ("English", lines.english, as_it_is, 0),
        ("English, hypothesis as written", lines.english, written, 0),
        ("English, 60 % of lines correct", lines.english, as_it_is, 0.6),
        ("Mandarin", lines.mandarin, as_it_is, 0),
        ("Mandarin, hypothesis as written", lines.mandarin, written, 0),
        ("Mandarin, 60 % of lines correct", lines.mandarin, as_it_is, 0.6),
        ("code-switch, three parts", lines.mixed, as_it_is, 0),
        ("code-switch, three parts, 60 % of lines correct", lines.mixed, as_it_is, 0.6),
    ):
        yield name, list(islice(lines.pairs(make, write, correct), PAIRS))


def ready(pairs):
    """Both sides for jiwer: of each part that the pairs have (one part alone is that of all tokens)."""
    tokens = [[score_tokens(line) for line in side] for side in zip(*pairs)]
    parts = [[[[t for t in line if is_han(t) is han] for line in side] for side in tokens] for han in (True, False)]
    both = all(any(side[0]) for side in parts)
    return [[[" ".join(line) for line in side] for side in part] for part in ([tokens, *parts] if both else [tokens])]


def methods():
    """(name, ours, argument, jiwer's argument); checks that both find the same number of errors."""
    for name, pairs in kinds(Lines()):
        parts, score = ready(pairs), ours(pairs)
        found = [output.substitutions + output.deletions + output.insertions for output in theirs(parts)]
        assert found == [score.total(part).errors for part in PARTS[: len(parts)]], name
        yield f"{name} ({100 * score.total().rate:.0f} % errors)", ours, pairs, parts
        if name == "code-switch, three parts":
            yield "code-switch, all tokens only", ours_all_tokens, pairs, parts[:1]


def spread(values, digits=0):
    return " / ".join(f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))


def speed_rows():
    rates, jobs = {}, list(methods())
    for _ in range(ROUNDS + 1):
        for name, function, pairs, parts in jobs:
            found = PAIRS / cpu_s(function, pairs)[0], PAIRS / cpu_s(theirs, parts)[0]
            rates.setdefault(name, []).append(found)
    for name, found in rates.items():
        own, others = zip(*found[1:])  # the first round fills memories
        ratios = [a / b for a, b in zip(own, others)]
        yield f"| {name} | {spread(own)} | {spread(others)} | {spread(ratios, 1)} |"


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def million_rows():
    """Table rows of a set of a million pairs, a third of each language; the texts are 30,000 that come again."""
    lines = Lines()
    texts = [
        p for make in (lines.english, lines.mandarin, lines.mixed) for p in islice(lines.pairs(make, written), 10_000)
    ]
    before = peak_mb()
    seconds, score = cpu_s(ours, (texts[n % len(texts)] for n in range(MILLION)))
    yield f"| counts of {len(PARTS)} parts | {seconds:.1f} | {peak_mb() - before:,.0f} |"
    seconds, _ = cpu_s(score.letter_counts)
    yield f"| letters | {seconds:.1f} | {peak_mb() - before:,.0f} |"
    seconds, _ = cpu_s(score.interval)
    yield f"| interval of one part | {seconds:.1f} | {peak_mb() - before:,.0f} |"
    small = ours(texts[:INTERVAL])
    seconds = [cpu_s(small.interval)[0] for _ in range(ROUNDS)]
    yield f"\nInterval of one part of {INTERVAL:,} utterances: {spread(seconds, 2)} s."


def main():
    if sys.argv[1:] == ["million"]:  # in a process of its own, for its peak memory
        print("\n".join(million_rows()))
        return
    print(f"# Speed of counting errors\n\n    {__doc__.splitlines()[2].strip()}\n")
    print(f"One core of a machine of {os.cpu_count()} ({platform.machine()}), Python {platform.python_version()},")
    print(f"jiwer {version('jiwer')}, rapidfuzz {version('rapidfuzz')}; {PAIRS:,} pairs, {ROUNDS} rounds.")
    print(
        "Ours makes tokens of the raw text of both sides and counts all tokens, Han tokens and other words; jiwer gets"
    )
    print("ready tokens, in three calls where lines have both kinds. Both find the same number of errors.")
    print("jiwer also keeps an alignment of every pair; ours makes one only for the file of details.")
    print("Minimum / median / maximum of the rounds, CPU time; other work ran on the machine.\n")
    print("| lines | ours, pairs/s | jiwer, pairs/s | times as fast |\n| --- | ---: | ---: | ---: |")
    print("\n".join(speed_rows()))
    print(f"\nA set of {MILLION:,} utterances, a third of each language, every one with errors:\n")
    print("| | CPU time, s | peak memory above the texts, MB |\n| --- | ---: | ---: |", flush=True)
    subprocess.run([sys.executable, __file__, "million"], check=True)


if __name__ == "__main__":
    main()
