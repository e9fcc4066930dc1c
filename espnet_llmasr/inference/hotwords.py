"""Hotwords that do not leak: hints for what the CTC head hears, and no hint for what it does not.

An LLM writes words of its hints that nobody has said. So a hotword becomes a hint only if its phones are in the output
of the CTC head; and a transcript with a hint that the head does not hear at its place is decoded again without it.

S encoder frames, V tokens of the CTC head, R rows.
"""

import heapq
import math
from itertools import combinations, groupby
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import torch

from espnet_llmasr.asr.cr_ctc import BLANK
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.inference.hypothesis import UNHEARD_HOTWORD, Hypothesis
from espnet_llmasr.text.hotwords import Hotwords

MAX_LOSS = 3.0  # a hotword is heard if its path is at least exp(-3) = 5 % as probable as the best path
MAX_CHANGES = 12  # doubtful places of an utterance that are considered, the most doubtful first
MAX_READINGS = 24  # of an utterance, the most probable first
MAX_HINTS = 10  # per utterance

Search = Callable[[List[int], List[List[str]]], List[Hypothesis]]
"""(rows of the batch, hints of each) -> the best hypothesis of each."""


class Change(NamedTuple):
    """Another token at the place of a run of the best path, and the log-probability that it costs (0 or more)."""

    loss: float
    place: int
    token: int


class HotwordDecoder:
    """Decodes with the entries of a list as hints, where the CTC head hears them."""

    def __init__(self, hotwords: Hotwords, verifier: CTCVerifier):
        self.hotwords, self.verifier = hotwords, verifier

    def decode(self, search: Search, log_probs: Sequence[torch.Tensor], langs: Sequence[str]) -> List[Hypothesis]:
        """The hypotheses of a batch with log-probabilities (S, V) of the CTC head and languages.

        Rows with a refused hint are decoded again without it, and at the second refusal without hints. An entry that
        still stands where the head does not hear it is the LLM's own word: the hypothesis gets the flag "hotword".
        """
        hints = dict(enumerate(map(self.hints, log_probs)))
        found = dict(enumerate(search([*hints], [*hints.values()])))
        again = list(found)
        for last in (False, True):
            refused = {row: self.refused(log_probs[row], found[row].text, hints[row], langs[row]) for row in again}
            again = [row for row in again if refused[row]]
            for row in again:
                hints[row] = [] if last else [word for word in hints[row] if word not in refused[row]]
            if again:
                found.update(zip(again, search(again, [hints[row] for row in again])))
        return [self._checked(*row) for row in zip(found.values(), log_probs, langs)]

    def _checked(self, hypothesis: Hypothesis, log_probs: torch.Tensor, lang: str) -> Hypothesis:
        """The hypothesis, flagged if it has an entry of the list that log_probs (S, V) do not have there."""
        matches = self.hotwords.find(self.verifier.labelize(hypothesis.text, lang).ids)
        entries = [word for match in matches for word in match.words]
        if not self.refused(log_probs, hypothesis.text, entries, lang):
            return hypothesis
        return hypothesis._replace(flags=(*hypothesis.flags, UNHEARD_HOTWORD))

    def hints(self, log_probs: torch.Tensor) -> List[str]:
        """The entries whose phones log_probs (S, V) have: those of probable readings first, then longer ones."""
        hints: Dict[str, None] = {}
        for reading in readings(log_probs):
            matches = sorted(self.hotwords.find(reading), key=lambda match: match.start - match.end)
            hints.update((word, None) for match in matches for word in match.words)
        return list(hints)[:MAX_HINTS]

    def refused(self, log_probs: torch.Tensor, text: str, hints: Sequence[str], lang: str = "") -> List[str]:
        """The hints that stand in a transcript where log_probs (S, V) do not have their phones.

        A transcript that cannot be aligned (too many labels for the audio, or unknown ones) refuses all of its hints.
        """
        if not hints or not text:
            return []
        aligned = self.verifier.words(log_probs, text, lang)
        if not aligned:
            return list(hints)
        labels = self.verifier.labelize(text, lang)
        losses = [
            (end - begin) * -math.log(max(word.confidence, 1e-6))
            for word, (_, begin, end) in zip(aligned, labels.words)
        ]
        written = [word.text.lower() for word in aligned]
        return [hint for hint in hints if any(loss > MAX_LOSS for loss in self._losses(hint, written, losses, lang))]

    def _losses(self, hint: str, written: List[str], losses: List[float], lang: str) -> Iterator[float]:
        """The loss of a hint at each of its places among the written words."""
        words = [word.lower() for word, _, _ in self.verifier.labelize(hint, lang).words]
        for start in range(len(written) - len(words) + 1):
            if written[start : start + len(words)] == words:
                yield sum(losses[start : start + len(words)])


def readings(log_probs: torch.Tensor) -> List[List[int]]:
    """log_probs (S, V) -> probable label sequences, the greedy one first.

    The others change one or two doubtful runs of the greedy path: a label for another, for blank, or blank for a label.
    Exact matching needs them, because one wrong phone hides a word.
    """
    best, path = log_probs.max(1)
    path = path.tolist()
    runs: List[Tuple[int, int, int]] = []
    for token, group in groupby(range(len(path)), key=path.__getitem__):
        frames = list(group)
        runs.append((token, frames[0], frames[-1] + 1))
    greedy = [token for token, _, _ in runs]
    changes = heapq.nsmallest(MAX_CHANGES, _changes(log_probs, best, runs))
    pairs = ((first, second) for first, second in combinations(changes, 2) if first.place != second.place)
    chosen = [*((change,) for change in changes), *pairs]
    costs = ((sum(change.loss for change in each), each) for each in chosen)
    kept = heapq.nsmallest(MAX_READINGS - 1, (cost for cost in costs if cost[0] <= MAX_LOSS))
    return [_labels(greedy, changed) for changed in ((), *(each for _, each in kept))]


def _changes(log_probs: torch.Tensor, best: torch.Tensor, runs: Sequence[Tuple[int, int, int]]) -> List[Change]:
    """The best other token of each run that costs at most `MAX_LOSS`."""
    second = log_probs.clone()
    second[range(len(second)), log_probs.argmax(1)] = -math.inf
    losses, tokens = (best[:, None] - second).min(1)
    losses, tokens = losses.tolist(), tokens.tolist()
    changes = []
    for place, (token, begin, end) in enumerate(runs):
        if token == BLANK:  # a label in one frame is enough
            frame = min(range(begin, end), key=losses.__getitem__)
            changes.append(Change(losses[frame], place, tokens[frame]))
        elif min(losses[begin:end]) <= MAX_LOSS:  # the whole run becomes another label or blank
            total = (best[begin:end, None] - log_probs[begin:end]).sum(0)
            total[token] = math.inf
            loss, other = total.min(0)
            changes.append(Change(float(loss), place, int(other)))
    return [change for change in changes if change.loss <= MAX_LOSS]


def _labels(greedy: Sequence[int], changes: Sequence[Change]) -> List[int]:
    tokens = list(greedy)
    for change in changes:
        tokens[change.place] = change.token
    return [token for token in tokens if token != BLANK]
