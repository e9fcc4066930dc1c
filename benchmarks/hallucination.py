#!/usr/bin/env python3
"""How many unrelated outputs does each threshold of the paper's hallucination rule find, and how many related ones?

    python benchmarks/hallucination.py TEXT...    (a minute; prints the tables of hallucination.md)

TEXT is prose in any language. References are its sentences of 3 to 40 tokens. An unrelated hypothesis is running text
from elsewhere; a related one is the reference, some of its tokens replaced, with running text from elsewhere around or
within it. Both are cut to a multiple of the reference's length. Last: the time that `judge` takes.
"""

import re
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from espnet_llmasr.metrics.hallucination import found_again, judge  # noqa: E402
from espnet_llmasr.text.normalize import score_tokens  # noqa: E402

PAIRS = 2000  # of each kind at each ratio
RATIOS = (1.6, 2.0, 3.0, 5.0, 10.0)
THRESHOLDS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
WRONG = (0.0, 0.2, 0.4, 0.6)  # share of the reference's tokens that are replaced in a related hypothesis
SHORTEST, LONGEST = 3, 40


def sentences(path):
    """Token lists of the sentences of a file."""
    parts = re.split(r"[。！？!?\n]+|\.\s", Path(path).read_text(encoding="utf-8"))
    return [tokens for tokens in map(score_tokens, parts) if SHORTEST <= len(tokens) <= LONGEST]


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


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def report(name, lines):
    """Unrelated pairs ratio by ratio; for related ones the ratio makes no difference, so all are taken together."""
    rng = np.random.default_rng(0)
    print(f"\n{name}: {len(lines)} sentences of {np.mean(list(map(len, lines))):.1f} tokens\n")
    row("pairs", "times as long", *(f"<= {threshold:.0%}" for threshold in THRESHOLDS))
    row(*["---"] * (2 + len(THRESHOLDS)))
    for ratio in RATIOS:
        result_row("unrelated", f"{ratio:g}", shares(lines, unrelated, ratio, 0.0, rng))
    for wrong in WRONG:
        found = [shares(lines, related, ratio, wrong, rng) for ratio in RATIOS]
        result_row(f"related, {wrong:.0%} wrong", "all", np.concatenate(found))


def result_row(kind, ratio, found):
    row(kind, ratio, *(f"{100 * np.mean(found <= threshold):.1f}" for threshold in THRESHOLDS))


def speed(name, lines):
    """Lines a second of CPU time, the best of three rounds."""
    lines = lines[:10000]
    kinds = {"right": lines, "of another line": [*lines[1:], lines[0]], "loops": [line[:3] * 20 for line in lines]}
    for kind, hypotheses in kinds.items():
        seconds = []
        for _ in range(3):
            begin = time.process_time()
            for reference, hypothesis in zip(lines, hypotheses):
                judge(reference, hypothesis)
            seconds.append(time.process_time() - begin)
        print(f"{name}, hypothesis {kind}: {len(lines) / min(seconds):.0f} lines a second")


if __name__ == "__main__":
    texts = {Path(path).name: sentences(path) for path in sys.argv[1:]}
    for name, lines in texts.items():
        report(name, lines)
    print()
    for name, lines in texts.items():
        speed(name, lines)
