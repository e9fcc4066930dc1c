"""Finds test sentences in training text: equal lines, and runs of tokens that both have, however the audio was cut.

Only the test sentences are held in memory, each once. Tokens are those of the error rate, so case, punctuation and
width do not matter.
"""

from collections import defaultdict
from typing import Dict, Iterator, List, NamedTuple, Tuple

from espnet_llmasr.text.normalize import is_han, score_tokens

HAN_WEIGHT = 0.75  # 8 Han characters carry as much as 6 words
LONG = 6.0  # a line of this weight rarely occurs twice by chance
RUN = 10  # tokens in common that count
GRAM = 8  # tokens looked up at once
STRIDE = RUN - GRAM + 1  # each run of RUN tokens holds a GRAM that begins at a multiple of this
COVERED = 0.5  # share of the shorter line
COMMON = 16  # sentences that a GRAM proposes at most: common phrases would cost too much time


class TextMatch(NamedTuple):
    sentence: int
    """Number of the test sentence."""
    shared: float
    """Share of its tokens that the training line has in one run; 1.0 if all."""
    kind: str
    """'same': equal lines; 'short': equal, but too short to mean much; 'part': most of one; 'similar': RUN tokens."""


def is_long(tokens: Tuple[str, ...]) -> bool:
    return sum(HAN_WEIGHT if is_han(token) else 1.0 for token in tokens) >= LONG


class TextIndex:
    def __init__(self):
        self.sentences: List[Tuple[str, ...]] = []
        self.numbers: Dict[Tuple[str, ...], int] = {}
        self._grams: Dict[int, List[Tuple[int, int]]] = defaultdict(list)
        self._known: Dict[str, str] = {}

    def add(self, text: str) -> int:
        """The number of this test sentence; equal sentences have one."""
        tokens = tuple(self._known.setdefault(token, token) for token in score_tokens(text))
        if tokens not in self.numbers:
            number = self.numbers[tokens] = len(self.sentences)
            self.sentences.append(tokens)
            for at in range(0, len(tokens) - GRAM + 1, STRIDE):
                places = self._grams[hash(tokens[at : at + GRAM])]
                if len(places) < COMMON:
                    places.append((number, at))
        return self.numbers[tokens]

    def find(self, text: str) -> Iterator[TextMatch]:
        """Test sentences that this training line has in whole or in part, each once."""
        tokens = tuple(score_tokens(text))
        equal = self.numbers.get(tokens)
        if equal is not None and tokens:
            yield TextMatch(equal, 1.0, "same" if is_long(tokens) else "short")
        for number, run in sorted(self._runs(tokens).items()):
            sentence = self.sentences[number]
            if number != equal and run >= RUN:
                most = run >= COVERED * min(len(sentence), len(tokens))
                yield TextMatch(number, run / len(sentence), "part" if most else "similar")

    def _runs(self, tokens: Tuple[str, ...]) -> Dict[int, int]:
        """Length of the longest run of tokens that each sentence with a common GRAM has in common, token by token."""
        longest: Dict[int, int] = {}
        ends: Dict[Tuple[int, int], int] = {}
        grams = self._grams
        for at in range(len(tokens) - GRAM + 1):
            for number, there in grams.get(hash(tokens[at : at + GRAM]), ()):
                if ends.get((number, there - at), -1) > at:  # inside a run that was measured
                    continue
                first, last = common_run(tokens, at, self.sentences[number], there)
                ends[number, there - at] = last
                longest[number] = max(longest.get(number, 0), last - first)
        return longest


def common_run(a: Tuple[str, ...], i: int, b: Tuple[str, ...], j: int) -> Tuple[int, int]:
    """[first, last) in `a` of the run of tokens equal to those of `b` around a[i] == b[j]; empty if they differ."""
    first, last = i, i
    while last < len(a) and last - i + j < len(b) and a[last] == b[last - i + j]:
        last += 1
    while last > i and first > 0 and first - i + j > 0 and a[first - 1] == b[first - 1 - i + j]:
        first -= 1
    return first, last
