"""The thresholds of the guard: a transcript is doubtful below the first, unsupported below the second confidence.

The CTC head is less confident on true transcripts of unseen voices, but hardly more confident on false ones. A quantile
of the true confidences alone would therefore flag too many new speakers, so the threshold is the midpoint (in
log-probability) between true and false ones. A third threshold is for the evidence of gaps. guard.json keeps all three.
"""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from espnet_llmasr.files import PathLike, write_atomically

TARGET = 0.05  # share of true transcripts that may be doubtful
MIN_CONFIDENCE = 1e-4  # lower confidences count as this one, since the midpoint with 0 would be 0


@dataclass(frozen=True)
class Calibration:
    """A transcript is doubtful below `doubt`, and not supported below `threshold` (at most `doubt`).

    It has a gap where the evidence of a stretch exceeds `gap` nats (see gaps.py). The share `target` of the
    `utterances` true transcripts of `data` is doubtful. `model` is the fingerprint of the CTC head that gave the
    confidences; the thresholds are valid for no other head.
    """

    threshold: float
    doubt: float
    gap: float
    target: float
    utterances: int
    model: str
    data: str

    def summary(self) -> str:
        """The thresholds and the number of utterances in one line."""
        confidences = f"not supported below {self.threshold:.4f}, doubtful below {self.doubt:.4f}"
        return f"{confidences}, a gap above {self.gap:.2f} nats; {self.utterances} utterances"

    def write(self, path: PathLike) -> None:
        """Writes guard.json."""
        write_atomically(path, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def read_calibration(path: PathLike, model: str) -> Calibration:
    """The content of guard.json for the CTC head whose fingerprint is `model`.

    Raises:
        ValueError: no such file, the file of another head or of a version without gaps, or thresholds that are not
            0 <= threshold <= doubt <= 1 and 0 <= gap < inf.
    """
    advice = "run stage 10 (bin.calibrate_guard), or decode with --guard off"
    if not Path(path).is_file():
        raise ValueError(f"no file {path}, so the guard has no threshold: {advice}")
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        is_old = isinstance(saved, dict) and saved.keys() == {field.name for field in fields(Calibration)} - {"gap"}
        saved = Calibration(**{**saved, "gap": 0.0} if is_old else saved)
        in_order, is_evidence = 0.0 <= saved.threshold <= saved.doubt <= 1.0, 0.0 <= saved.gap < math.inf
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): {advice}") from error
    if not in_order:
        values = f"threshold {saved.threshold} and doubt {saved.doubt}"
        raise ValueError(f"{path} has {values}, allowed is 0 <= threshold <= doubt <= 1: {advice}")
    if not is_evidence:
        raise ValueError(f"{path} has gap {saved.gap}, allowed is a number of nats from 0: {advice}")
    if is_old:
        raise ValueError(f"{path} has no threshold for gaps, it was made by an older version: {advice}")
    if saved.model != model:
        raise ValueError(f"{path} belongs to the CTC model {saved.model}, this one is {model}: {advice}")
    return saved


def thresholds_for(true: Sequence[float], false: Sequence[float], target: float = TARGET) -> Tuple[float, float]:
    """Confidences of true transcripts, and of transcripts with corrupted audio -> (threshold, doubt).

    `doubt` is the quantile below which the share `target` of the true confidences falls. The threshold is the geometric
    mean of `doubt` and the quantile above which that share of the false confidences falls, but at most `doubt`.

    Raises:
        ValueError: see `quantile`.
    """
    doubt = quantile(true, target)
    reached = max(-quantile([-confidence for confidence in false], target), MIN_CONFIDENCE)
    return min(doubt, math.sqrt(doubt * reached)), doubt


def gap_threshold(whole: Sequence[float], cut: Sequence[float], target: float = TARGET) -> float:
    """Gap evidence of true transcripts, and of those without their second half -> evidence above which there is a gap.

    It is the middle between the quantile that the share `target` of the true ones exceeds and the quantile below which
    that share of the cut ones falls, but at least the first.

    Raises:
        ValueError: see `quantile`.
    """
    exceeded, reached = -quantile([-evidence for evidence in whole], target), quantile(cut, target)
    return max(exceeded, (exceeded + reached) / 2)


def quantile(confidences: Sequence[float], target: float) -> float:
    """The highest confidence below which at most the share `target` of these confidences falls.

    Raises:
        ValueError: no confidences, a NaN, or a target outside of [0, 1).
    """
    if not 0.0 <= target < 1.0:
        raise ValueError(f"{target} false alarms: give a share of at least 0 and below 1, such as 0.05")
    ordered = np.sort(np.asarray(confidences, dtype=np.float64))
    if not len(ordered) or np.isnan(ordered).any():
        raise ValueError(f"cannot calibrate on {len(ordered)} confidences, {np.isnan(ordered).sum()} of them NaN")
    return float(ordered[math.floor(target * len(ordered) + 1e-9)])
