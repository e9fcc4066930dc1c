"""When the watcher publishes an encoder (Eq. 11; A.4 of arXiv 2604.08003), without a model, a disk or a clock.

The live watcher and the replay of stored checkpoints (`bin.plan_swaps`) both ask `action_for`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

from espnet_llmasr.files import JsonLines, PathLike, read_yaml


@dataclass
class CKACheck:
    """One line of cka.jsonl.

    Attributes:
        cka, cka_layers: of the encoder's output and of every block to the reference; None and [] without a reference.
        action: "reference", "keep", "publish" or "final".
        seconds: the time that the check took.
        values: the metrics of the output by name (means over utterances); `blank` and `peak` (blank share, mean peak
            probability) of the CTC head after the same update, absent where its weights are not at hand.
    """

    step: int
    reference_step: int
    cka: Optional[float]
    action: str
    cka_layers: List[float] = field(default_factory=list)
    time: str = ""
    seconds: Optional[float] = None
    values: Dict[str, float] = field(default_factory=dict)


def cka_log(encoder_dir: Path) -> JsonLines[CKACheck]:
    """The log of the watcher of an encoder store."""
    return JsonLines(encoder_dir / "cka.jsonl", CKACheck)


@dataclass(frozen=True)
class SwapRule:
    """The paper's rule.

    Args:
        threshold: publish when CKA to the reference falls below it.
        start_step: the first reference is taken from this update on.

    Raises ValueError for a threshold outside its range.
    """

    threshold: float = 0.975
    start_step: int = 0

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            allowed = "allowed is 0 < threshold <= 1 (the paper takes 0.975)"
            raise ValueError(f"the CKA threshold is {self.threshold}, {allowed}")


def action_for(step: int, rule: SwapRule, cka: Optional[float], ended: bool) -> Optional[str]:
    """The action for the encoder of `step`; pure. None before the start step (paper: before step 500k).

    Args:
        cka: to the reference, None while there is no reference.
        ended: pretraining has ended, this is its last encoder.
    """
    if ended:
        return "final"
    if step < rule.start_step:
        return None
    if cka is None:
        return "reference"
    return "publish" if cka < rule.threshold else "keep"


def read_rule(path: PathLike) -> SwapRule:
    """The rule in watch.yaml. Raises ValueError, with the name of the file, if it holds something else."""
    saved = read_yaml(path)
    try:
        return SwapRule(**saved)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no rule of a watcher ({error}): restore it") from error
