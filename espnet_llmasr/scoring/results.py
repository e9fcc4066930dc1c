"""Results of a test set: errors under every route, hallucinations, transcripts without speech, flags of the guard."""

import math
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from espnet_llmasr.scoring.sidecar import Sidecar
from espnet_llmasr.scoring.test_sets import TestSet
from espnet_llmasr.metrics.error_rate import Counts, SetCounts, details
from espnet_llmasr.metrics.hallucination import DEFINITIONS, CharsPerMinute, chars_per_minute, judge
from espnet_llmasr.metrics.intervals import wilson_interval
from espnet_llmasr.text.routes import Route, make_route

PART_NAMES = {"all": "mer", "han": "cer_han", "words": "wer_words", "letters": "cer_letters"}


@dataclass
class SetResult:
    """One set, or several taken together.

    `scores`: by route, the main route first. `verdicts`: for every utterance, in the order of the scores, the names of
    the definitions by which it is hallucinated. `non_speech`: for every utterance without speech the characters of its
    hypothesis, and its seconds (None: unknown). `flagged`: (utterances,) bool, or None without a guard.
    """

    scores: List[SetCounts]
    missing: List[str]
    verdicts: List[Tuple[str, ...]]
    non_speech: List[Tuple[int, Optional[float]]]
    flagged: Optional[np.ndarray]

    def __add__(self, other: "SetResult") -> "SetResult":
        """The utterances of two results together; `flagged` is None unless both have it."""
        guarded = self.flagged is not None and other.flagged is not None
        return SetResult(
            [first + second for first, second in zip(self.scores, other.scores)],
            self.missing + other.missing,
            self.verdicts + other.verdicts,
            self.non_speech + other.non_speech,
            np.concatenate([self.flagged, other.flagged]) if guarded else None,
        )

    @property
    def main(self) -> SetCounts:
        return self.scores[0]

    def hits(self, definition: str) -> int:
        """Hallucinated utterances by that definition."""
        return sum(definition in names for names in self.verdicts)

    @property
    def non_empty(self) -> int:
        """Utterances without speech that have a hypothesis."""
        return sum(characters > 0 for characters, _ in self.non_speech)

    @property
    def chars_per_minute(self) -> Optional[CharsPerMinute]:
        """Over all audio without speech; None without such audio or without its length."""
        if not self.non_speech or any(seconds is None for _, seconds in self.non_speech):
            return None
        return chars_per_minute(*zip(*self.non_speech))

    def total_where(self, chosen: np.ndarray) -> Counts:
        """Counts of all tokens over the utterances of a mask (utterances,)."""
        return Counts(*self.main.counts[chosen, 0].sum(axis=0).tolist())


def analyse(test_set: TestSet, sidecar: Sidecar, routes: Sequence[Route]) -> SetResult:
    """Scores under every route; hallucinations under the first one, but loops in the tokens as they are.

    A normaliser may hide a loop, as whisper's does with "ha ha ha".
    """
    scores = {route.name: test_set.score(route) for route in routes}
    plain = scores["none"] if "none" in scores else test_set.score(make_route("none"))
    main = scores[routes[0].name]
    tokens = zip(main.references, main.hypotheses, plain.references, plain.hypotheses)
    return SetResult(
        scores=list(scores.values()),
        missing=test_set.missing,
        verdicts=[_verdict(*sides) for sides in tokens],
        non_speech=[
            (len("".join(test_set.hypotheses[uid].split())), sidecar.seconds and sidecar.seconds[uid])
            for uid in test_set.non_speech
        ],
        flagged=None if sidecar.flagged is None else np.array([uid in sidecar.flagged for uid in main.ids]),
    )


def _verdict(
    reference: List[str], hypothesis: List[str], plain_reference: List[str], plain_hypothesis: List[str]
) -> Tuple[str, ...]:
    names = judge(reference, hypothesis)
    if (reference, hypothesis) != (plain_reference, plain_hypothesis):
        plain = judge(plain_reference, plain_hypothesis)
        names = tuple(name for name in DEFINITIONS if name in (plain if name == "loop" else names))
    return names


def utterances(title: str, test_set: TestSet, sidecar: Sidecar, result: SetResult, route: str) -> List[Dict]:
    """All figures and texts of every utterance, ready for JSON."""
    return [
        {
            "id": row["id"],
            "set": title,
            "route": route,
            "reference": test_set.references[row["id"]],
            "hypothesis": test_set.hypotheses[row["id"]],
            **row,
            "hallucinations": list(verdict),
            "audio": sidecar.audio.get(row["id"]),
            "confidence": (sidecar.confidence or {}).get(row["id"]),
        }
        for row, verdict in zip(details(result.main), result.verdicts)
    ]


def page_row(row: Dict) -> Dict:
    """A row of `utterances` as `scoring.html.render` takes it: with `counts` (Counts) and their `rate`."""
    counts = Counts(*(row[name] for name in Counts._fields))
    return {**row, "counts": counts, "rate": counts.rate}


def as_json(result: SetResult, routes: Sequence[Route]) -> Dict:
    """Counts, rates and intervals; unknown numbers are null."""
    hallucination = {name: share(result.hits(name), len(result.main)) for name in DEFINITIONS}
    return {
        "utterances": len(result.main),
        "missing_counted_as_empty": result.missing,
        "routes": {route.name: errors_as_json(score, str(route)) for route, score in zip(routes, result.scores)},
        "hallucination": hallucination,
        "non_speech": _non_speech_as_json(result),
        "guard": None if result.flagged is None else _guard_as_json(result),
    }


def errors_as_json(score: SetCounts, route: str) -> Dict:
    """Errors under one route."""
    parts = {name: _rate_as_json(score.total(part), score.interval(part)) for part, name in PART_NAMES.items()}
    return {
        "name": route,
        **parts,
        "sentence_error": share(score.sentence_errors, len(score)),
        "empty_hypotheses": score.empty_hypotheses,
        "fallbacks": score.fallbacks,
    }


def _non_speech_as_json(result: SetResult) -> Dict:
    pace = result.chars_per_minute
    return {
        "non_empty": share(result.non_empty, len(result.non_speech)),
        "chars_per_minute": pace and pace.rate,
        "chars_per_minute_interval": pace and list(map(finite, pace.interval)),
    }


def _guard_as_json(result: SetResult) -> Dict:
    return {
        "flagged": share(int(result.flagged.sum()), len(result.flagged)),
        "mer_of_kept": _rate_as_json(result.total_where(~result.flagged)),
        "mer_of_flagged": _rate_as_json(result.total_where(result.flagged)),
    }


def _rate_as_json(counts: Counts, interval: Optional[Iterable[float]] = None) -> Dict:
    rate = {"reference_tokens": counts.reference_length, "rate": counts.rate if counts.reference_length else None}
    return {**counts._asdict(), **rate, **({} if interval is None else {"interval": list(map(finite, interval))})}


def share(hits: int, total: int) -> Dict:
    """Utterances with some property."""
    interval = list(wilson_interval(hits, total)) if total else None
    return {"count": hits, "of": total, "rate": hits / total if total else None, "interval": interval}


def finite(number: float) -> Optional[float]:
    """JSON has no infinity and no NaN: a number that is not known is null."""
    return number if math.isfinite(number) else None
