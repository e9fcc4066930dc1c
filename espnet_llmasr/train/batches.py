"""Batches by a budget of feature frames and of LLM tokens: in a fixed order, or drawn anew for each pass."""

import re
from bisect import bisect_left
from typing import Container, Dict, Iterator, List, Mapping, Optional

import numpy as np
from espnet2.samplers.abs_sampler import AbsSampler

from espnet_llmasr.files import PathLike, read_scp

FRAMES = re.compile(r"[0-9]{1,9}(,[0-9]+)?")
BATCHES_OF_BUCKET = 4  # at least, of a training: fewer would meet the same batch mates again
PADDING = 0.01  # of the frames, up to which a bucket takes in shorter utterances
FRAMES_ADVICE = "raise max_frames or lower --max_duration of the data stage (augment_conf counts at its longest)"
TOKENS_ADVICE = "raise max_llm_tokens, or remove the utterance if its transcript is wrong"


def frame_batches(num_frames: Mapping[str, int], max_frames: int) -> List[List[str]]:
    """Groups utterances of similar length, sorted by length, so that longest x size <= max_frames holds.

    ESPnet's own sampler lets the utterance that overflows in, counts raw samples and shares the budget among ranks; the
    paper's "20k frames per batch" is kept exactly here.

    Raises ValueError if an utterance alone exceeds the budget.
    """
    check_budget(num_frames, "frames", "max_frames", max_frames, FRAMES_ADVICE)
    batches: List[List[str]] = [[]]
    for uid in sorted(sorted(num_frames), key=num_frames.get):
        if len(batches[-1]) + 1 > max_frames // max(num_frames[uid], 1):
            batches.append([])
        batches[-1].append(uid)
    return batches


class BucketBatches(AbsSampler):
    """Batches of one rank, which each pass over the data draws anew among utterances of similar length.

    The utterances, sorted by length, are cut into buckets with little padding. A bucket has a fixed number of batches,
    since ESPnet counts passes by it. Both budgets hold for every draw: a batch has no more utterances than frames of
    the bucket's longest fit in; and of the utterances sorted by LLM tokens the first n fall into different ones of the
    bucket's n batches, so do the next n, and so on, so that the largest of these strata bound the sum of a batch.

    A step of all ranks takes neighbouring batches, so ranks do not wait for one with longer utterances. Every utterance
    comes once in a pass, except that with fewer batches than ranks (or one left over) batches are repeated.

    Args:
        frames: feature frames by utterance. max_frames: most padded frames of a batch and rank.
        tokens: LLM tokens by utterance. max_tokens: most LLM tokens of a batch and rank; rows are packed, so they are
            summed without padding. Both or none.
        least: batches of a bucket, if there are enough utterances; 1 for little padding in a set that is not drawn anew.
    Raises ValueError if there are no utterances, or one alone exceeds a budget.
    """

    def __init__(
        self,
        frames: Mapping[str, int],
        max_frames: int,
        tokens: Optional[Mapping[str, int]] = None,
        max_tokens: int = 0,
        least: int = BATCHES_OF_BUCKET,
        rank: int = 0,
        world_size: int = 1,
    ):
        check_budget(frames, "frames", "max_frames", max_frames, FRAMES_ADVICE)
        if tokens is not None:
            check_budget(tokens, "LLM tokens", "max_llm_tokens", max_tokens, TOKENS_ADVICE)
        self.rank, self.world_size = rank, world_size
        ids = sorted(frames)
        lengths = np.array([max(frames[uid], 1) for uid in ids])
        order = np.argsort(lengths, kind="stable")
        self.ids, lengths = np.array(ids, dtype=object)[order], lengths[order]
        self.tokens = np.array([tokens[uid] for uid in ids] if tokens else [0] * len(ids))[order]
        self.buckets = cut(lengths, max_frames, least)
        self.counts = [
            count_batches(np.sort(self.tokens[bucket])[::-1], max_frames // lengths[bucket][-1], max_tokens)
            for bucket in self.buckets
        ]
        while sum(self.counts) % world_size:  # smaller batches, so that all ranks have as many
            divisible = [i for i, bucket in enumerate(self.buckets) if self.counts[i] < len(lengths[bucket])]
            if not divisible:
                break
            self.counts[max(divisible, key=self.counts.__getitem__)] += 1

    def __len__(self) -> int:
        return -(-sum(self.counts) // self.world_size)

    def __iter__(self) -> Iterator[List[str]]:
        return iter(self.generate(0))

    def generate(self, seed: int) -> List[List[str]]:
        """The batches of this rank in the pass of that seed, the longest utterances first (ESPnet shuffles them)."""
        return self._own(self._draw(seed), self.rank, self.world_size)

    def of_all_ranks(self, seed: int) -> List[List[str]]:
        """The batches of all ranks in the pass of that seed: those of rank 0, 1, ... of the first step, and so on."""
        return self._own(self._draw(seed), 0, 1)

    def _draw(self, seed: int) -> List[np.ndarray]:
        """All batches, as numbers of utterances with -1 at empty places."""
        random, batches = np.random.default_rng(seed), []
        for bucket, count in zip(self.buckets, self.counts):
            drawn = random.permutation(np.arange(bucket.start, bucket.stop))
            drawn = drawn[np.argsort(-self.tokens[drawn], kind="stable")]  # equal ones stay in the order drawn
            strata = np.pad(drawn, (0, -len(drawn) % count), constant_values=-1).reshape(-1, count)
            batches += [*random.permuted(strata, axis=1).T]
        return batches

    def _own(self, batches: List[np.ndarray], first: int, step: int) -> List[List[str]]:
        numbers = range(first, len(self) * self.world_size, step)
        own = (batches[number % len(batches)] for number in numbers)
        return [self.ids[batch[batch >= 0]].tolist() for batch in own]


def cut(lengths: np.ndarray, max_frames: int, least: int) -> List[slice]:
    """Cuts ascending lengths (N,) into buckets, the longest first.

    A bucket takes in utterances as long as at most `PADDING` of its frames is padding, and those of `least` full
    batches in any case.
    """
    before, end, buckets = np.concatenate([[0], np.cumsum(lengths)]), len(lengths), []
    while end:
        longest = lengths[end - 1]
        size = max_frames // longest
        first = bisect_left(
            range(end), True, key=lambda i: before[end] - before[i] >= (1 - PADDING) * longest * (end - i)
        )
        start = max(0, end - size * max(least, (end - first) // size))  # whole batches
        buckets.append(slice(start, end))
        end = start
    return buckets


def count_batches(tokens: np.ndarray, size: int, max_tokens: int) -> int:
    """The least number of batches for utterances with these tokens (N,), descending: see `BucketBatches`."""
    least = -(-len(tokens) // size)
    if not max_tokens:
        return least
    counts = range(least, len(tokens) + 1)
    return counts[bisect_left(counts, True, key=lambda count: tokens[::count].sum() <= max_tokens)]


def check_budget(numbers: Mapping[str, int], unit: str, option: str, budget: int, advice: str) -> None:
    """Raises ValueError if there are no utterances, or the largest exceeds the budget."""
    largest = max(numbers, key=numbers.get, default=None)
    if largest is None:
        raise ValueError("no utterances to form batches of: the shape file is empty")
    if numbers[largest] > budget:
        raise ValueError(f"{largest} has {numbers[largest]} {unit}, the budget is {option}={budget}: {advice}")


def read_num_frames(path: PathLike, keys: Optional[Container[str]] = None) -> Dict[str, int]:
    """Reads utt2num_frames: lines "id frames" or "id frames,dim"; only those of `keys`, if given. Raises as `read_scp`."""
    return read_scp(path, keys, _parse_frames)


def _parse_frames(shape: str) -> int:
    if not FRAMES.fullmatch(shape):
        raise ValueError("expected a number of frames such as 98: run the data stage (2)")
    return int(shape.partition(",")[0])
