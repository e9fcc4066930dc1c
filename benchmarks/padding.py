"""Padding of training batches: drawn anew in each pass from length buckets, against sorted and against random ones.

    python benchmarks/padding.py    (prints the tables of padding.md)

28,000 utterances of 1 to 35 s with LibriSpeech's peak at 12 to 16 s and 2.7 tokens of text a second. Sorted batches are
the same in every pass. Random ones are filled up in the order of a shuffled list. Shares are those of a pass: of the
encoder's padded frames; of the LLM's tokens, were its rows padded to the longest (packed rows have no padding). The
share of mates is that of the pairs of utterances in a batch that were in one batch in the pass before.
"""

from itertools import combinations

import numpy as np
from common import cpu_s, machine, peak_mb, table

from espnet_llmasr.train.batches import BucketBatches, frame_batches

PROMPT = 20  # tokens
BUDGETS = ((20_000, None), (7_000, None), (7_000, 2_000), (7_000, 1_000))


def librispeech_like(size: int) -> np.ndarray:
    """Frames of so many utterances."""
    draw = np.random.default_rng(0)
    parts = [draw.normal(14.2, 1.3, size * 55 // 100), draw.uniform(1.2, 16.5, size * 40 // 100)]
    parts.append(1 + draw.gamma(2, 4, size - sum(map(len, parts))))
    return (100 * np.concatenate(parts).clip(1, 35)).astype(int) - 2


def corpus(size: int):
    """{id: frames}, {id: tokens of prompt, speech at 6.25 Hz and text}."""
    frames = librispeech_like(size)
    tokens = PROMPT + -(-frames // 16) + np.random.default_rng(1).poisson(0.027 * frames)
    ids = [f"u{number:07}" for number in range(size)]
    return dict(zip(ids, frames.tolist())), dict(zip(ids, tokens.tolist()))


def random_batches(frames, max_frames, seed):
    """Shuffled utterances; a batch ends where the next one would exceed the budget."""
    batches, longest = [[]], 0
    for uid in np.random.default_rng(seed).permutation(list(frames)).tolist():
        longest = max(longest, frames[uid])
        if (len(batches[-1]) + 1) * longest > max_frames:
            batches.append([])
            longest = frames[uid]
        batches[-1].append(uid)
    return batches


def padding(batches, lengths) -> str:
    """The share of padding if every batch is padded to its longest."""
    padded = sum(len(batch) * max(map(lengths.get, batch)) for batch in batches)
    return f"{1 - sum(lengths[uid] for batch in batches for uid in batch) / padded:.2%}"


def pairs(batches):
    return {pair for batch in batches for pair in combinations(sorted(batch), 2)}


def rows():
    """A row for each budget and way to form batches."""
    frames, tokens = corpus(28_000)
    for max_frames, max_tokens in BUDGETS:
        drawn = BucketBatches(frames, max_frames, max_tokens and tokens, max_tokens or 0)
        ways = {"buckets": [drawn.generate(seed) for seed in (1, 2)]}
        if max_tokens is None:
            ways = {"sorted": [frame_batches(frames, max_frames)] * 2, **ways}
            ways["random"] = [random_batches(frames, max_frames, seed) for seed in (1, 2)]
        for name, (first, second) in ways.items():
            mates = len(pairs(first) & pairs(second)) / len(pairs(second))
            fullest = max(sum(map(tokens.get, batch)) for batch in first)
            cells = [f"{max_frames:,}", max_tokens or "any", name, f"{len(first):,}", padding(first, frames)]
            yield [*cells, padding(first, tokens), f"{fullest:,}", f"{mates:.0%}"]


def million():
    """CPU time and memory of a million utterances on one of 8 ranks."""
    frames, tokens = corpus(1_000_000)
    before = peak_mb()
    forming, batches = cpu_s(lambda: BucketBatches(frames, 7_000, tokens, 2_000, world_size=8))
    drawing, drawn = cpu_s(batches.generate, 1)
    yield [f"{len(drawn):,}", f"{forming:.1f}", f"{drawing:.1f}", f"{peak_mb() - before:.0f}"]


def main() -> None:
    print(f"{machine('numpy')}.")
    costs = list(million())  # first: its peak of memory counts
    columns = [
        "max_frames",
        "max_llm_tokens",
        "batches",
        "batches a pass",
        "padded frames",
        "padded tokens, if not packed",
    ]
    table([*columns, "most tokens in a batch", "mates met again"], rows())
    print("\nA million utterances, one of 8 ranks (max_frames 7,000, max_llm_tokens 2,000):")
    table(["batches", "once at the start, s", "each pass, s", "memory, MB"], costs)


if __name__ == "__main__":
    main()
