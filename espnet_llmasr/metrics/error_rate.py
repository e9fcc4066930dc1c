"""Error rates of a test set: MER over all tokens, CER over its Han tokens, WER over its other words."""

import math
from dataclasses import dataclass, field
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

from rapidfuzz.distance import Levenshtein

from espnet_llmasr.metrics.hallucination import is_hallucination
from espnet_llmasr.text.normalize import is_han, score_tokens

Pair = Tuple[str, Optional[str], Optional[str]]


@dataclass(frozen=True)
class Counts:
    """Tokens of an alignment by what became of them; counts of several utterances add up."""

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.correct + other.correct,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

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


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> List[Pair]:
    """Minimum edit alignment as (operation, reference token, hypothesis token); None where a side has no token.

    Operations: "correct", "substitution", "deletion", "insertion".
    """
    names = {"equal": "correct", "replace": "substitution", "delete": "deletion", "insert": "insertion"}
    pairs: List[Pair] = []
    for code in Levenshtein.opcodes(list(reference), list(hypothesis)):
        left = list(reference[code.src_start : code.src_end])
        right = list(hypothesis[code.dest_start : code.dest_end])
        length = max(len(left), len(right))
        left += [None] * (length - len(left))
        right += [None] * (length - len(right))
        pairs.extend((names[code.tag], r, h) for r, h in zip(left, right))
    return pairs


def count(alignment: Sequence[Pair]) -> Counts:
    operations = [operation for operation, _, _ in alignment]
    return Counts(*map(operations.count, ("correct", "substitution", "deletion", "insertion")))


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Counts of the minimum edit alignment; an empty hypothesis deletes every token."""
    return count(align(reference, hypothesis))


@dataclass
class SetScore:
    """Scores of one test set. `han` and `words` align only the tokens of their script, so each is a CER or WER of its
    own and they need not add up to `tokens`."""

    utterances: int = 0
    tokens: Counts = Counts()
    han: Counts = Counts()
    words: Counts = Counts()
    sentence_errors: int = 0
    empty_hypotheses: int = 0
    hallucinations: int = 0
    details: List[dict] = field(default_factory=list, repr=False)

    @property
    def sentence_error_rate(self) -> float:
        return self.sentence_errors / self.utterances if self.utterances else 0.0

    def add(self, utterance: str, reference: Sequence[str], hypothesis: Sequence[str]) -> None:
        """Counts one utterance and keeps its alignment."""
        alignment = align(reference, hypothesis)
        counts = count(alignment)
        hallucinated = is_hallucination(reference, hypothesis)
        self.utterances += 1
        self.tokens += counts
        self.han += count_errors(*([t for t in side if is_han(t)] for side in (reference, hypothesis)))
        self.words += count_errors(*([t for t in side if not is_han(t)] for side in (reference, hypothesis)))
        self.sentence_errors += counts.errors > 0
        self.empty_hypotheses += not hypothesis
        self.hallucinations += hallucinated
        self.details.append(_detail(utterance, counts, hallucinated, alignment))

    def __add__(self, other: "SetScore") -> "SetScore":
        """Both sets as one: every field is a sum."""
        return SetScore(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})


def _detail(utterance: str, counts: Counts, hallucinated: bool, alignment: List[Pair]) -> dict:
    """One utterance for the alignment file, ready for JSON."""
    return {
        "id": utterance,
        "correct": counts.correct,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "hallucination": hallucinated,
        "alignment": alignment,
    }


def check_ids(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> None:
    """Raises ValueError when the two sides do not hold the same ids; the first ones are named."""
    for missing, text in (
        (references.keys() - hypotheses.keys(), "references have no hypothesis: decode the whole set again"),
        (hypotheses.keys() - references.keys(), "hypotheses have no reference: is this the right set?"),
    ):
        if missing:
            first = ", ".join(sorted(missing)[:5]) + (", ..." if len(missing) > 5 else "")
            raise ValueError(f"{len(missing)} {text} ({first})")


def score_set(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    tokenize: Callable[[str], List[str]] = score_tokens,
) -> SetScore:
    """Scores id -> text against id -> text; `tokenize=str.split` scores phone sequences.

    Raises:
        ValueError: the ids differ, or there is no reference at all.
    """
    if not references:
        raise ValueError("there are no references to score")
    check_ids(references, hypotheses)
    score = SetScore()
    for utterance in sorted(references):
        score.add(utterance, tokenize(references[utterance]), tokenize(hypotheses[utterance]))
    return score
