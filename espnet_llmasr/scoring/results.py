"""Results of a test set: errors under every route, hallucinations, transcripts without speech, flags of the guard."""

import json
import math
from dataclasses import dataclass, replace
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_llmasr.metrics.error_rate import Counts, SetCounts, details
from espnet_llmasr.metrics.hallucination import DEFINITIONS, CharsPerMinute, chars_per_minute, judge
from espnet_llmasr.metrics.intervals import wilson_interval
from espnet_llmasr.scoring.sidecar import Sidecar
from espnet_llmasr.scoring.test_sets import TestSet
from espnet_llmasr.text.routes import Route, make_route

PART_NAMES = {"all": "mer", "han": "cer_han", "words": "wer_words", "letters": "cer_letters"}
Sides = Tuple[List[str], List[str]]
"""Tokens of a reference and of its hypothesis."""


class NonSpeech(NamedTuple):
    """An utterance without speech: the characters of its hypothesis, its seconds (None: unknown), the guard's flag."""

    characters: int
    seconds: Optional[float]
    flagged: bool


@dataclass
class SetResult:
    """One set, or several taken together.

    `scores`: by route, the main route first. `verdicts`: for every utterance, in the order of the scores, the names of
    the definitions by which it is hallucinated. `non_speech`: the utterances without speech. `flagged`: (utterances,)
    bool, or None without a guard.
    """

    scores: List[SetCounts]
    missing: List[str]
    verdicts: List[Tuple[str, ...]]
    non_speech: List[NonSpeech]
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
        return sum(clip.characters > 0 for clip in self.non_speech)

    @property
    def chars_per_minute(self) -> Optional[CharsPerMinute]:
        """Over all audio without speech; None without such audio or without its length."""
        if not self.non_speech or any(clip.seconds is None for clip in self.non_speech):
            return None
        return chars_per_minute(*zip(*((clip.characters, clip.seconds) for clip in self.non_speech)))

    def without_flagged(self) -> "SetResult":
        """With empty hypotheses in the place of the flagged ones of the utterances without speech."""
        kept = [clip._replace(characters=0) if clip.flagged else clip for clip in self.non_speech]
        return replace(self, non_speech=kept)

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
    sides = zip(*(zip(score.references, score.hypotheses) for score in (main, plain)))
    flagged = sidecar.flagged or {}
    return SetResult(
        scores=list(scores.values()),
        missing=test_set.missing,
        verdicts=[_verdict(*of_utterance) for of_utterance in sides],
        non_speech=[
            NonSpeech(
                len("".join(test_set.hypotheses[uid].split())), sidecar.seconds and sidecar.seconds[uid], uid in flagged
            )
            for uid in test_set.non_speech
        ],
        flagged=None if sidecar.flagged is None else np.array([uid in sidecar.flagged for uid in main.ids]),
    )


def _verdict(main: Sides, plain: Sides) -> Tuple[str, ...]:
    names = judge(*main)
    if main == plain:
        return names
    loops = judge(*plain)
    return tuple(name for name in DEFINITIONS if name in (loops if name == "loop" else names))


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
    """Counts, rates and intervals."""
    flagged = result.flagged
    guard = flagged is not None and {
        "flagged": share(int(flagged.sum()), len(flagged)),
        "mer_of_kept": rate_as_json(result.total_where(~flagged)),
        "mer_of_flagged": rate_as_json(result.total_where(flagged)),
        "non_speech_kept": non_speech_as_json(result.without_flagged()),
    }
    return {
        "utterances": len(result.main),
        "missing_counted_as_empty": result.missing,
        "routes": {route.name: errors_as_json(score, str(route)) for route, score in zip(routes, result.scores)},
        "hallucination": {name: share(result.hits(name), len(result.main)) for name in DEFINITIONS},
        "non_speech": non_speech_as_json(result),
        "guard": guard or None,
    }


def non_speech_as_json(result: SetResult) -> Dict:
    """What was put out for utterances without speech."""
    pace = result.chars_per_minute
    return {
        "non_empty": share(result.non_empty, len(result.non_speech)),
        "chars_per_minute": pace and pace.rate,
        "chars_per_minute_interval": pace and pace.interval,
    }


def errors_as_json(score: SetCounts, route: str) -> Dict:
    """Errors under one route."""
    return {
        "name": route,
        **{
            name: {**rate_as_json(score.total(part)), "interval": score.interval(part)}
            for part, name in PART_NAMES.items()
        },
        "sentence_error": share(score.sentence_errors, len(score)),
        "empty_hypotheses": score.empty_hypotheses,
        "fallbacks": score.fallbacks,
    }


def rate_as_json(counts: Counts) -> Dict:
    length = counts.reference_length
    return {**counts._asdict(), "reference_tokens": length, "rate": counts.rate if length else None}


def share(hits: int, total: int) -> Dict:
    """Utterances with some property."""
    rates = (
        {"rate": hits / total, "interval": wilson_interval(hits, total)} if total else dict(rate=None, interval=None)
    )
    return {"count": hits, "of": total, **rates}


def json_text(figures: object) -> str:
    """A JSON file. JSON has no infinity and no NaN: an unknown number is null."""
    return json.dumps(finite(figures), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def finite(value: object) -> object:
    """None for a number that is not finite, also inside lists and dictionaries."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return list(map(finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
