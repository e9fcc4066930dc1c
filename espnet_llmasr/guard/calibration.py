"""The confidences below which a transcript is in doubt, and below which it is not supported; kept in guard.json.

How sure the head is of a true transcript depends on the voice (new ones: less), how sure it is of a false one hardly.
So a quantile of the true ones alone would flag too many of a new voice. The threshold lies in the middle between true
and false ones, on the scale of log-probabilities.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from espnet_llmasr.files import PathLike, write_atomically

TARGET = 0.05  # share of true transcripts that may be flagged
LOWEST = 1e-4  # a confidence as good as none


@dataclass(frozen=True)
class Calibration:
    """`doubt` is the confidence below which the share `target` of the `utterances` true transcripts of `data` lies.

    Below `threshold`, which is never above `doubt`, a transcript is not supported. `model` is the fingerprint of the
    witness that they were measured with; they hold for no other.
    """

    threshold: float
    doubt: float
    target: float
    utterances: int
    model: str
    data: str

    def write(self, path: PathLike) -> None:
        write_atomically(path, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def read_calibration(path: PathLike, model: str) -> Calibration:
    """The content of guard.json for the witness whose fingerprint is `model`.

    Raises:
        ValueError: no such file, one of another witness, or thresholds that are not 0 <= threshold <= doubt <= 1.
    """
    advice = "run stage 10 (bin.calibrate_guard), or decode with --guard off"
    if not Path(path).is_file():
        raise ValueError(f"no file {path}, so the guard has no threshold: {advice}")
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        saved = Calibration(**saved)
        in_order = 0.0 <= saved.threshold <= saved.doubt <= 1.0
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): {advice}") from error
    if not in_order:
        found = f"threshold {saved.threshold} and doubt {saved.doubt}"
        raise ValueError(f"{path} has {found}, allowed is 0 <= threshold <= doubt <= 1: {advice}")
    if saved.model != model:
        raise ValueError(f"{path} belongs to the CTC model {saved.model}, this one is {model}: {advice}")
    return saved


def thresholds_for(true: Sequence[float], false: Sequence[float], target: float = TARGET) -> Tuple[float, float]:
    """Confidences of true transcripts, and of ones whose audio was replaced -> (threshold, doubt).

    The threshold is the geometric mean of two quantiles: what all but the share `target` of the true ones reach, and
    what all but that share of the false ones stay below. Where these overlap it is the first.

    Raises:
        ValueError: see `quantile`.
    """
    doubt = quantile(true, target)
    reached = max(-quantile([-one for one in false], target), LOWEST)
    return min(doubt, math.sqrt(doubt * reached)), doubt


def quantile(confidences: Sequence[float], target: float) -> float:
    """The highest confidence below which at most the share `target` of these confidences lies.

    Raises:
        ValueError: no confidences, one that is NaN, or a target outside of [0, 1).
    """
    if not 0.0 <= target < 1.0:
        raise ValueError(f"{target} false alarms: give a share of at least 0 and below 1, such as 0.05")
    ordered = np.sort(np.asarray(confidences, dtype=np.float64))
    if not len(ordered) or np.isnan(ordered).any():
        raise ValueError(f"cannot calibrate on {len(ordered)} confidences, {np.isnan(ordered).sum()} of them NaN")
    return float(ordered[math.floor(target * len(ordered) + 1e-9)])
