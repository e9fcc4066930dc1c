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
from common import cpu_s_of_lines, head, row

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


def unrelated(reference, elsewhere, wrong, rng):
    """Running text alone."""
    return elsewhere


def related(reference, elsewhere, wrong, rng):
    """The reference with a share of wrong tokens; the rest of `elsewhere` comes before, after or within it."""
    tokens = [rng.choice(elsewhere) if rng.random() < wrong else token for token in reference]
    extra, at = elsewhere[len(reference) :], rng.integers(len(reference) + 1)
    at = rng.choice([0, at, len(reference)])
    return [*tokens[:at], *extra, *tokens[at:]]


def shares(lines, make, ratio, wrong, rng):
    """(PAIRS,) share of the reference's tokens that are found again in a hypothesis of that length."""
    running, out = [token for line in lines for token in line], []
    starts = np.cumsum([0, *map(len, lines)])
    for number in rng.integers(len(lines), size=PAIRS):
        reference = lines[number]
        size = int(ratio * len(reference)) + 1
        begin = (starts[number] + len(running) // 4 + rng.integers(len(running) // 2)) % (len(running) - size)
        hypothesis = make(reference, running[begin : begin + size], wrong, rng)
        out.append(found_again(reference, hypothesis) / len(reference))
    return np.array(out)


def report(name, lines):
    """Unrelated pairs ratio by ratio; for related ones the ratio makes no difference, so all are taken together."""
    rng = np.random.default_rng(0)
    print(f"\n{name}: {len(lines)} sentences of {np.mean(list(map(len, lines))):.1f} tokens")
    head("pairs", "times as long", *(f"<= {threshold:.0%}" for threshold in THRESHOLDS))
    kinds = [("unrelated", f"{ratio:g}", unrelated, [ratio], 0.0) for ratio in RATIOS]
    kinds += [(f"related, {wrong:.0%} wrong", "all", related, RATIOS, wrong) for wrong in WRONG]
    for kind, ratio, make, ratios, wrong in kinds:
        found = np.concatenate([shares(lines, make, ratio, wrong, rng) for ratio in ratios])
        row(kind, ratio, *(f"{100 * np.mean(found <= threshold):.1f}" for threshold in THRESHOLDS))


def lines_per_second(lines, hypotheses):
    """The best of three rounds."""
    pairs = list(zip(lines, hypotheses))
    return f"{len(pairs) / min(cpu_s_of_lines(lambda pair: judge(*pair), pairs) for _ in range(3)):,.0f}"


if __name__ == "__main__":
    texts = {Path(path).name: sentences(path) for path in sys.argv[1:]}
    for name, lines in texts.items():
        report(name, lines)
    head("text", "right hypothesis", "another line", "3 tokens 20 times")
    for name, lines in texts.items():
        lines = lines[:10000]
        kinds = lines, [*lines[1:], lines[0]], [line[:3] * 20 for line in lines]
        row(name, *(lines_per_second(lines, hypotheses) for hypotheses in kinds))
