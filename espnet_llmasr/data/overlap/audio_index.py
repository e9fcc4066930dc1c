"""Finds in which test utterances a piece of audio occurs, whole or in part, from their fingerprints.

The words of all test utterances stand in one sorted array, 12 bytes for each 12 ms. A training utterance looks up its
words, also with the least certain bits turned; each hit proposes an alignment, which is kept if
the bits around it agree.
"""

from itertools import product
from typing import Iterable, Iterator, NamedTuple, Tuple

import numpy as np

from espnet_llmasr.data.overlap.fingerprint import STEPS_PER_LAG, WEAK, Fingerprint

COMMON = 64  # a word that stands in the index more often proposes nothing
AROUND = 5  # words on either side of a hit that are compared first
FIRST_LIMIT = 0.33  # share of unequal bits among those
SPAN = 24  # words, 2.3 s: so much must agree where two utterances share only a part
FEWEST = 8  # words, about 1.1 s of audio


class Match(NamedTuple):
    test: int
    """Number of the test utterance, in the order in which it was added."""
    agreement: float
    """Share of equal bits."""


def error_limit(words):
    """Largest share of unequal bits for so many words that still counts as the same recording.

    The paper allows 0.35 of 256 words. Here there are fewer, and benchmarks/overlap.md has other recordings of the same
    words by the same speakers down to 0.27 over 24 words, 0.23 over 16 and 0.15 over 8 (one pair in 57,600 lower),
    while coded and resampled copies stay below 0.06 and noisy ones (20 dB) at 0.12.
    """
    return np.minimum(0.25, 0.5 - 1.15 / np.sqrt(np.maximum(words, 1)))


class AudioIndex:
    def __init__(self, fingerprints: Iterable[Fingerprint]):
        """From fingerprints with a word every STEP, one for each test utterance; F may be 0."""
        words, valid, lengths = [np.zeros(0, np.uint32)], [np.zeros(0, bool)], [0]
        for prints in fingerprints:
            words.append(prints.words)
            valid.append(prints.valid)
            lengths.append(len(prints.words))
        self.words, self.valid, self.bounds = np.concatenate(words), np.concatenate(valid), np.cumsum(lengths)
        where = np.flatnonzero(self.valid)
        self.sorted = self.words[where].astype(np.uint64) << np.uint64(32)
        self.sorted |= where.view(np.uint64)
        self.sorted.sort()

    @property
    def nbytes(self) -> int:
        return self.words.nbytes + self.valid.nbytes + self.sorted.nbytes

    def find(self, piece: Fingerprint) -> Iterator[Match]:
        """The test utterances that share audio with `piece`, which has a word every LAG."""
        moments, places = self._hits(piece)
        if not len(moments):
            return
        tests = np.searchsorted(self.bounds, places, side="right") - 1
        errors, words = self._compare(piece, moments[:, None] + np.arange(-AROUND, AROUND + 1), places, moments, tests)
        share = errors / np.maximum(32 * words, 1)
        good = np.flatnonzero((share <= FIRST_LIMIT) & (words > AROUND // 2))
        best = {tests[hit]: hit for hit in good[np.argsort(-share[good], kind="stable")]}
        for test, hit in sorted(best.items()):
            agreement = self._agreement(piece, int(test), moments[hit], places[hit])
            if agreement:
                yield Match(int(test), agreement)

    def _hits(self, piece: Fingerprint) -> Tuple[np.ndarray, np.ndarray]:
        """(hits,) moment of the piece and (hits,) place in the index that have the same word."""
        moments = np.flatnonzero(piece.valid)
        turned = np.array(list(product((0, 1), repeat=WEAK)), np.uint32) @ piece.weakest[moments].T  # (2 ** WEAK, F)
        wanted = (piece.words[moments] ^ turned).astype(np.uint64) << np.uint64(32)
        first = np.searchsorted(self.sorted, wanted)
        count = np.searchsorted(self.sorted, wanted | np.uint64(0xFFFFFFFF), side="right") - first
        count[count > COMMON] = 0
        rows = np.repeat(np.broadcast_to(moments, count.shape), count.ravel())
        ends = np.cumsum(count)
        inside = np.arange(len(rows)) - np.repeat(ends - count.ravel(), count.ravel())
        entries = self.sorted[np.repeat(first.ravel(), count.ravel()) + inside]
        return rows, (entries & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def _compare(self, piece, at, places, moments, tests) -> Tuple[np.ndarray, np.ndarray]:
        """Unequal bits and compared words, (hits,) each, at the moments `at` (hits, n)."""
        there = places[:, None] + STEPS_PER_LAG * (at - moments[:, None])
        inside = (at >= 0) & (at < len(piece.words))
        inside &= (there >= self.bounds[tests][:, None]) & (there < self.bounds[tests + 1][:, None])
        at, there = np.where(inside, at, 0), np.where(inside, there, 0)
        inside &= piece.valid[at] & self.valid[there]
        unequal = np.bitwise_count(piece.words[at] ^ self.words[there])
        return (unequal * inside).sum(axis=1), inside.sum(axis=1)

    def _agreement(self, piece: Fingerprint, test: int, moment: int, place: int) -> float:
        """Share of equal bits over all that the two have in common, or else over their best SPAN; 0.0 if too small."""
        at = np.arange(len(piece.words))
        there = place + STEPS_PER_LAG * (at - moment)
        common = (there >= self.bounds[test]) & (there < self.bounds[test + 1])
        at, there = at[common], there[common]
        compared = piece.valid[at] & self.valid[there]
        errors = np.bitwise_count(piece.words[at] ^ self.words[there])[compared].astype(int)
        sums = np.concatenate([[0], np.cumsum(errors)])
        for words in (len(errors), SPAN):
            if FEWEST <= words <= len(errors):
                share = (sums[words:] - sums[:-words]).min() / (32 * words)
                if share <= error_limit(words):
                    return 1.0 - share
        return 0.0
