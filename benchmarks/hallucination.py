"""How many unrelated outputs does each threshold of the paper's hallucination rule find, and how many related ones?

    python benchmarks/hallucination.py TEXT...    (a minute; prints the tables of hallucination.md)

TEXT is prose in any language. References are its sentences of 3 to 40 tokens. An unrelated hypothesis is running text
from elsewhere; a related one is the reference, some of its tokens replaced, with running text from elsewhere around or
within it. Both are cut to a multiple of the reference's length. Last: the speed of `judge`.
"""

import re
import sys
from pathlib import Path

import numpy as np
from common import rates, table

from espnet_llmasr.metrics.hallucination import found_again, judge
from espnet_llmasr.text.normalize import score_tokens

PAIRS = 2000  # of each kind at each ratio
RATIOS = (1.6, 2.0, 3.0, 5.0, 10.0)
THRESHOLDS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
WRONG = (0.0, 0.2, 0.4, 0.6)  # share of the reference's tokens that are replaced in a related hypothesis


def sentences(path):
    """Token lists of the sentences of a file."""
    parts = re.split(r"[。！？!?\n]+|\.\s", Path(path).read_text(encoding="utf-8"))
    return [tokens for tokens in map(score_tokens, parts) if 3 <= len(tokens) <= 40]


def related(reference, elsewhere, wrong, rng):
    """The reference with a share of wrong tokens; the rest of `elsewhere` comes before, after or within it."""
    tokens = [rng.choice(elsewhere) if rng.random() < wrong else token for token in reference]
    extra, at = elsewhere[len(reference) :], rng.integers(len(reference) + 1)
    at = rng.choice([0, at, len(reference)])
    return [*tokens[:at], *extra, *tokens[at:]]


def shares(lines, ratio, wrong, rng):
    """(PAIRS,) share of the reference's tokens that are found again; unrelated hypotheses if `wrong` is None."""
    running, out = [token for line in lines for token in line], []
    starts = np.cumsum([0, *map(len, lines)])
    for number in rng.integers(len(lines), size=PAIRS):
        reference = lines[number]
        size = int(ratio * len(reference)) + 1
        begin = (starts[number] + len(running) // 4 + rng.integers(len(running) // 2)) % (len(running) - size)
        hypothesis = running[begin : begin + size]
        if wrong is not None:
            hypothesis = related(reference, hypothesis, wrong, rng)
        out.append(found_again(reference, hypothesis) / len(reference))
    return np.array(out)


def found(lines):
    """Unrelated pairs ratio by ratio; for related ones the ratio makes no difference, so all are taken together."""
    rng = np.random.default_rng(0)
    kinds = [("unrelated", f"{ratio:g}", [ratio], None) for ratio in RATIOS]
    kinds += [(f"related, {wrong:.0%} wrong", "all", RATIOS, wrong) for wrong in WRONG]
    for *names, ratios, wrong in kinds:
        values = np.concatenate([shares(lines, ratio, wrong, rng) for ratio in ratios])
        yield *names, *(f"{100 * np.mean(values <= threshold):.1f}" for threshold in THRESHOLDS)


def speed(name, lines):
    """Lines a second, the best of three rounds."""
    lines = lines[:10000]
    kinds = lines, [*lines[1:], lines[0]], [line[:3] * 20 for line in lines]
    jobs = {
        number: (len(lines), lambda pair: judge(*pair), list(zip(lines, kind))) for number, kind in enumerate(kinds)
    }
    return name, *(f"{max(values):,.0f}" for values in rates(jobs, 3).values())


if __name__ == "__main__":
    texts = {Path(path).name: sentences(path) for path in sys.argv[1:]}
    for name, lines in texts.items():
        print(f"\n{name}: {len(lines)} sentences of {np.mean(list(map(len, lines))):.1f} tokens")
        table(("pairs", "times as long", *(f"<= {threshold:.0%}" for threshold in THRESHOLDS)), found(lines))
    columns = ("text", "right hypothesis", "another line", "3 tokens 20 times")
    table(columns, (speed(*text) for text in texts.items()))
