"""Tables beside the texts of a test set: places and lengths of the audio, confidences and flags of the guard."""

import math
from pathlib import Path
from typing import Callable, Collection, Dict, List, NamedTuple, Optional

from espnet_llmasr.scoring.test_sets import TestSet, list_names, read_table

FRAME_S = 0.01


class Sidecar(NamedTuple):
    """Tables by utterance; None where there is no such file.

    `audio`: entries of wav.scp. `seconds`: lengths of the audio without speech. `confidence`: in [0, 1].
    `flagged`: the reasons for which the guard flagged an utterance.
    """

    audio: Dict[str, str]
    seconds: Optional[Dict[str, float]]
    confidence: Optional[Dict[str, float]]
    flagged: Optional[Dict[str, str]]


def read_sidecar(ref_dir: Path, hyp_dir: Path, test_set: TestSet, problems: List[str]) -> Sidecar:
    """<ref_dir>/<set>/{wav.scp,utt2dur,utt2num_frames} and <hyp_dir>/<set>/{confidence,flagged}, as far as they exist.

    Adds to `problems`: numbers that are none or out of range, utterances without a number, and numbers or flags of
    unknown utterances. The audio and its length may cover more utterances than the texts.
    """
    ref, hyp = ref_dir / test_set.name, hyp_dir / test_set.name
    audio, flagged = (
        read_table(path, problems) if path.is_file() else None for path in (ref / "wav.scp", hyp / "flagged")
    )
    _check_known(hyp / "flagged", flagged or {}, test_set, problems)
    return Sidecar(
        audio=audio or {},
        seconds=_read_seconds(ref, test_set, problems),
        confidence=_read_confidence(hyp / "confidence", test_set, problems),
        flagged=flagged,
    )


def _read_seconds(folder: Path, test_set: TestSet, problems: List[str]) -> Optional[Dict[str, float]]:
    """From utt2dur, else utt2num_frames; None where there is neither."""
    for name, unit_s in (("utt2dur", 1.0), ("utt2num_frames", FRAME_S)):
        path = folder / name
        if path.is_file():
            uids = test_set.non_speech
            numbers = _read_numbers(path, uids, "above 0", lambda number: 0 < number < math.inf, problems)
            return {uid: numbers[uid] * unit_s for uid in uids if uid in numbers}
    return None


def _read_confidence(path: Path, test_set: TestSet, problems: List[str]) -> Optional[Dict[str, float]]:
    if not path.is_file():
        return None
    uids = sorted(test_set.references.keys() - set(test_set.missing))
    numbers = _read_numbers(path, uids, "in [0, 1]", lambda number: 0 <= number <= 1, problems)
    _check_known(path, numbers, test_set, problems)
    return numbers


def _check_known(path: Path, uids: Collection[str], test_set: TestSet, problems: List[str]) -> None:
    unknown = set(uids) - test_set.references.keys()
    if unknown and test_set.references:  # without references the fault is theirs
        problems.append(f"{path}: {list_names(unknown)} of {len(uids)} ids are of no utterance in this set")


def _read_numbers(
    path: Path, uids: List[str], what: str, is_right: Callable[[float], bool], problems: List[str]
) -> Dict[str, float]:
    """Every id of the table; it must have those of `uids`, with right numbers (the wrong ones become NaN)."""
    table = read_table(path, problems)
    if table is None:
        return {}
    numbers = {uid: _number(value) for uid, value in table.items()}
    wrong = [f"{uid} {table[uid] or 'nothing'}" for uid in uids if uid in table and not is_right(numbers[uid])]
    missing = [uid for uid in uids if uid not in table]
    for cases, problem in ((wrong, f"have no number {what}"), (missing, "are not in it")):
        if cases:
            problems.append(f"{path}: {list_names(cases)} of {len(uids)} utterances {problem}")
    return numbers


def _number(value: str) -> float:
    """NaN for other text."""
    try:
        return float(value)
    except ValueError:
        return math.nan
