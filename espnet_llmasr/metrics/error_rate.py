"""Error rates of a test set: MER over all tokens, CER over its Han tokens, WER over its other words."""

import math
import re
from dataclasses import dataclass, field, fields
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from espnet_llmasr.metrics.intervals import Interval, bootstrap_interval
from espnet_llmasr.text.normalize import HAN

Pair = Tuple[str, Optional[str], Optional[str]]
PARTS = ("all", "han", "words")
LETTERS = "letters"
OPERATIONS = {"equal": "correct", "replace": "substitution", "delete": "deletion", "insert": "insertion"}
_only_han = re.compile(f"[{HAN}]+").fullmatch
_find_han = re.compile(f"[{HAN}]+").findall
_find_words = re.compile(f"[^{HAN} ]+").findall


class Counts(NamedTuple):
    """Tokens of an alignment by what became of them."""

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def reference_length(self) -> int:
        return self.correct + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """(S + D + I) / N; without reference tokens 0 if nothing was inserted, else infinity."""
        if self.reference_length:
            return self.errors / self.reference_length
        return math.inf if self.errors else 0.0


_NO_TOKENS = Counts()


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> List[Pair]:
    """Minimum edit alignment as (operation, reference token, hypothesis token); None where a side has no token.

    Operations: "correct", "substitution", "deletion", "insertion".
    """
    pairs: List[Pair] = []
    for tag, begin, end, start, stop in Levenshtein.opcodes(reference, hypothesis):
        if tag == "equal" or tag == "replace":
            pairs += zip([OPERATIONS[tag]] * (end - begin), reference[begin:end], hypothesis[start:stop])
        else:
            pairs += [("deletion", token, None) for token in reference[begin:end]]
            pairs += [("insertion", None, token) for token in hypothesis[start:stop]]
    return pairs


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Counts of the minimum edit alignment; an empty hypothesis deletes every token."""
    if reference == hypothesis:
        return Counts(len(reference))
    tags = [edit.tag for edit in Levenshtein.editops(reference, hypothesis)]
    substitutions = tags.count("replace")
    deletions = (len(tags) - substitutions + len(reference) - len(hypothesis)) // 2  # insertions are as many fewer
    insertions = len(tags) - substitutions - deletions
    return Counts(len(reference) - substitutions - deletions, substitutions, deletions, insertions)


def count_parts(reference: Sequence[str], hypothesis: Sequence[str]) -> Tuple[Counts, Counts, Counts]:
    """Counts over all tokens, over the Han tokens alone, and over the other words alone (each aligned by itself).

    The tokens are those of `score_tokens`: a Han character stands alone. A pair in one script is aligned only once.
    """
    (ref_han, ref_words), (hyp_han, hyp_words) = _by_script(reference), _by_script(hypothesis)
    if not ref_han and not hyp_han:
        counts = count_errors(reference, hypothesis)
        return counts, _NO_TOKENS, counts
    han = count_errors(ref_han, hyp_han)
    if not ref_words and not hyp_words:
        return han, han, _NO_TOKENS
    return count_errors(reference, hypothesis), han, count_errors(ref_words, hyp_words)


def count_labels(reference: Sequence[str], hypothesis: Sequence[str]) -> Tuple[Counts, Counts, Counts]:
    """As `count_parts`, but of labels as they are (one may hold several Han characters): they have no parts."""
    return count_errors(reference, hypothesis), _NO_TOKENS, _NO_TOKENS


def _by_script(tokens: Sequence[str]) -> Tuple[str, Sequence[str]]:
    """Han tokens (as one string: quicker to align) and other words.

    One look at the whole line, since one at each token takes ten times as long.
    """
    line = "".join(tokens)
    if line.isascii():
        return "", tokens
    if _only_han(line):
        return line, []
    return "".join(_find_han(line)), _find_words(" ".join(tokens))


def letters(tokens: Sequence[str]) -> str:
    """Characters of the tokens without apostrophes: what papers score that take CER on code-switch sets, too.

    >>> letters(["用", "don't"])
    '用dont'
    """
    return "".join(tokens).replace("'", "")


class TokenLines(Sequence[List[str]]):
    """Tokens of many utterances, each kept as one string: about a tenth of the memory of lists, and quicker to make.

    Indexing and iterating give lists. Tokens hold no blanks (as those of `score_tokens` and `str.split`).
    """

    def __init__(self, lines: Iterable[Iterable[str]] = ()):
        self._lines = list(map(" ".join, lines))

    def append(self, tokens: Iterable[str]) -> None:
        self._lines.append(" ".join(tokens))

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> List[str]:
        return self._lines[index].split()

    def __iter__(self) -> Iterator[List[str]]:
        return map(str.split, self._lines)

    def __add__(self, other: "TokenLines") -> "TokenLines":
        joined = TokenLines()
        joined._lines = self._lines + other._lines
        return joined


@dataclass
class SetCounts:
    """Utterances of one test set with their tokens and counts, in the order of `ids`.

    `counts` (utterances, 3, 4): for all tokens, Han tokens and other words the fields of `Counts`. Han tokens and words
    are each aligned by themselves, so their counts need not add up to those of all tokens. `fallbacks` are the
    utterances for which the normaliser route was left out. A `part` is one of `PARTS`, or "letters": every Han
    character, Latin letter and digit is a token (see `letters`).
    """

    ids: List[str] = field(default_factory=list)
    references: TokenLines = field(default_factory=TokenLines)
    hypotheses: TokenLines = field(default_factory=TokenLines)
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 3, 4), dtype=np.int64))
    fallbacks: List[str] = field(default_factory=list)
    _letter_counts: Optional[np.ndarray] = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def total(self, part: str = "all") -> Counts:
        """Sums over the utterances."""
        return Counts(*self.part_counts(part).sum(axis=0).tolist())

    def interval(self, part: str = "all") -> Interval:
        """95 % bootstrap interval of the rate; (nan, nan) where the references have no such token."""
        return bootstrap_interval(self.errors(part), self.lengths(part))

    def errors(self, part: str = "all") -> np.ndarray:
        """(utterances,) S + D + I."""
        return self.part_counts(part)[:, 1:].sum(axis=1)

    def lengths(self, part: str = "all") -> np.ndarray:
        """(utterances,) tokens of the reference."""
        return self.part_counts(part)[:, :3].sum(axis=1)

    def part_counts(self, part: str = "all") -> np.ndarray:
        """(utterances, 4) fields of `Counts`."""
        return self.letter_counts() if part == LETTERS else self.counts[:, PARTS.index(part)]

    def letter_counts(self) -> np.ndarray:
        """(utterances, 4) fields of `Counts` over single characters; aligned when first asked for, then kept."""
        if self._letter_counts is None:
            counts = list(map(count_errors, map(letters, self.references), map(letters, self.hypotheses)))
            self._letter_counts = np.array(counts, dtype=np.int64).reshape(-1, len(Counts._fields))
        return self._letter_counts

    @property
    def sentence_errors(self) -> int:
        return int(np.count_nonzero(self.errors()))

    @property
    def empty_hypotheses(self) -> int:
        return sum(not tokens for tokens in self.hypotheses)

    def __add__(self, other: "SetCounts") -> "SetCounts":
        """Both sets as one."""
        counts = np.concatenate([self.counts, other.counts])
        names = [f.name for f in fields(self) if f.init and f.name != "counts"]
        return SetCounts(**{name: getattr(self, name) + getattr(other, name) for name in names}, counts=counts)


def score_tokens_of(utterances: Iterable[Tuple[str, List[str], List[str], bool]], count=count_parts) -> SetCounts:
    """(id, reference tokens, hypothesis tokens, fell back) of every utterance -> their scores.

    The utterances may be a stream; `count` is `count_parts` or `count_labels`.
    """
    score, counts = SetCounts(), []
    for uid, reference, hypothesis, fell_back in utterances:
        score.ids.append(uid)
        score.references.append(reference)
        score.hypotheses.append(hypothesis)
        if fell_back:
            score.fallbacks.append(uid)
        for part in count(reference, hypothesis):
            counts += part
    score.counts = np.array(counts, dtype=np.int64).reshape(-1, len(PARTS), len(Counts._fields))
    return score


def check_ids(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> None:
    """Raises ValueError when the two sides do not hold the same ids; both kinds are counted, the first ones named."""
    problems = []
    for missing, problem in (
        (references.keys() - hypotheses.keys(), "references have no hypothesis"),
        (hypotheses.keys() - references.keys(), "hypotheses have no reference"),
    ):
        if missing:
            first = ", ".join(sorted(missing)[:5]) + (", ..." if len(missing) > 5 else "")
            problems.append(f"{len(missing)} {problem} ({first})")
    if problems:
        raise ValueError("; ".join(problems))


def details(score: SetCounts) -> Iterable[Dict]:
    """One dictionary an utterance for the alignment file, ready for JSON."""
    for uid, reference, hypothesis, counts in zip(score.ids, score.references, score.hypotheses, score.counts):
        named = dict(zip(Counts._fields, counts[0].tolist()))
        yield {"id": uid, **named, "alignment": align(reference, hypothesis)}
