"""The figures of a trial of the guard, and a Markdown page of them."""

from typing import Dict, List, NamedTuple, Sequence

from espnet_llmasr.guard.calibration import TARGET, quantile
from espnet_llmasr.guard.detection import area_under_roc, share_below
from espnet_llmasr.guard.trial import REPLACED

NAMES = {
    "noise": "audio replaced by noise of the same length",
    "other": "audio replaced by another utterance",
    "half": "second half replaced by another utterance",
}
SHORT_S = 1.5  # what counts as short


class Case(NamedTuple):
    """An utterance: whether its transcript is right, tokens of that, seconds, and its confidence with each audio."""

    uid: str
    right: bool
    tokens: int
    seconds: float
    confidences: Dict[str, float]


def figures(cases: Sequence[Case], threshold: float) -> Dict:
    """All figures of the test at a threshold, and at the one with 5 % false alarms on these very utterances."""
    own = _of(cases, "own")
    at_target = quantile(own, TARGET)
    right, wrong = ([case for case in cases if case.right is kind] for kind in (True, False))
    groups = {
        "one token": [case for case in cases if case.tokens == 1],
        f"shorter than {SHORT_S} s": [case for case in cases if case.seconds < SHORT_S],
    }
    return {
        "utterances": len(cases),
        "threshold at 5 % here": at_target,
        "false alarms": share_below(own, threshold),
        "false alarms, transcript right": share_below(_of(right, "own"), threshold),
        "replaced": {kind: _detection(cases, kind, threshold, at_target) for kind in REPLACED},
        "wrong": {
            "detected": share_below(_of(wrong, "own"), threshold),
            "at 5 % here": share_below(_of(wrong, "own"), at_target),
            "auc": area_under_roc(_of(right, "own"), _of(wrong, "own")),
        },
        "groups": {name: _group(group, threshold) for name, group in groups.items()},
    }


def _of(cases: Sequence[Case], kind: str) -> List[float]:
    return [case.confidences[kind] for case in cases]


def _detection(cases: Sequence[Case], kind: str, threshold: float, at_target: float) -> Dict:
    found = _of(cases, kind)
    return {
        "detected": share_below(found, threshold),
        "at 5 % here": share_below(found, at_target),
        "auc": area_under_roc(_of(cases, "own"), found),
    }


def _group(cases: Sequence[Case], threshold: float) -> Dict:
    return {kind: share_below(_of(cases, kind), threshold) for kind in ("own", *REPLACED)}


def table(result: Dict) -> str:
    """The page; rates in percent with their 95 % intervals (Wilson)."""
    at_target = result["threshold at 5 % here"]
    head = ("what is flagged", f"threshold {result['threshold']:.4f}", f"{at_target:.4f} (5 % here)", "AUC")
    kinds = [(NAMES[kind], result["replaced"][kind]) for kind in REPLACED]
    rows = [
        ("own audio: false alarms", _percent(result["false alarms"]), "", ""),
        ("own audio, transcript right", _percent(result["false alarms, transcript right"]), "", ""),
    ]
    for name, one in [*kinds, ("own audio, transcript wrong", result["wrong"])]:
        rows.append((name, _percent(one["detected"]), _percent(one["at 5 % here"]), f"{one['auc']:.4f}"))
    text = f"{result['utterances']} utterances of {', '.join(result['sets'])}, seed {result['seed']}; transcripts "
    text += f"are right or wrong by the route {result['route']}\n\n"
    text += _markdown([head, ("---",) * len(head), *rows])
    head = ("extremes", "own audio", *(NAMES[kind] for kind in REPLACED))
    rows = [(name, *map(_percent, group.values())) for name, group in result["groups"].items()]
    return text + "\n" + _markdown([head, ("---",) * len(head), *rows])


def _percent(share: Dict) -> str:
    if not share["of"]:
        return "-"
    low, high = share["95 %"]
    return f"{100 * share['rate']:.1f} ({100 * low:.1f}-{100 * high:.1f}), {share['hits']} of {share['of']}"


def _markdown(rows: List) -> str:
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)
