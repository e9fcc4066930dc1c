"""When the watcher publishes an encoder (Eq. 11; A.4 of arXiv 2604.08003), without a model, a disk or a clock.

The live watcher and the replay of stored checkpoints (`bin.plan_swaps`) both ask `action_for`.
"""

from dataclasses import dataclass, field
from typing import List, Optional


@dataclass
class Check:
    """One line of cka.jsonl. `cka` is that of the encoder's output, `cka_layers` that of every block.

    `nse` is the mean over utterances for the encoder's output; `blank` and `peak` (blank share, mean peak probability)
    are of the CTC head after the same update, None where its weights are not at hand. `seconds` is what the check took.
    """

    step: int
    reference_step: int
    cka: Optional[float]  # None without a reference
    action: str  # "reference", "keep", "publish" or "final"
    cka_layers: List[float] = field(default_factory=list)
    time: str = ""
    nse: Optional[float] = None
    blank: Optional[float] = None
    peak: Optional[float] = None
    seconds: Optional[float] = None


@dataclass(frozen=True)
class SwapRule:
    """What a watcher decides by; the defaults are the paper's rule.

    Args:
        threshold: publish when CKA to the reference falls below it.
        start_step: the first reference is taken from this update on.
        min_interval: updates that a reference stays at least. The first one counts, too, although it is in no model:
            an encoder that leaves it at once is still on the move. The last encoder comes whatever the interval.
        hysteresis: CKA falls "with occasional rebounds" (A.4). Below threshold - hysteresis it fires at once; between
            that and the threshold it fires at the second check in a row below the threshold, to the same reference.

    Raises:
        ValueError: a value outside its range.
    """

    threshold: float = 0.975
    start_step: int = 0
    min_interval: int = 0
    hysteresis: float = 0.0

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            raise ValueError(
                f"the CKA threshold is {self.threshold}, allowed is 0 < threshold <= 1 (the paper takes 0.975)"
            )
        if not 0 <= self.hysteresis < self.threshold:
            raise ValueError(
                f"the hysteresis is {self.hysteresis}, allowed is 0 <= hysteresis < threshold ({self.threshold}): "
                "give a small one such as 0.002, or 0"
            )


def action_for(
    step: int, rule: SwapRule, reference_step: int, cka: Optional[float], previous: Optional[Check], ended: bool
) -> Optional[str]:
    """What to do with the encoder of `step`; pure. None: not yet time to look (paper: before step 500k).

    Args:
        reference_step, cka: the encoder that it was compared with and the result, None while there is no reference.
        previous: the check before this one. ended: pretraining has ended, this is its last encoder.
    """
    if ended:
        return "final"
    if step < rule.start_step:
        return None
    if cka is None:
        return "reference"
    if step - reference_step < rule.min_interval:
        return "keep"
    bound = rule.threshold if is_below(previous, rule, reference_step) else rule.threshold - rule.hysteresis
    return "publish" if cka < bound else "keep"


def is_below(check: Optional[Check], rule: SwapRule, reference_step: int) -> bool:
    """True if an earlier check found CKA to this reference below the threshold."""
    if check is None or check.cka is None or check.reference_step != reference_step:
        return False
    return check.cka < rule.threshold
