"""Encoder swaps as Markdown: the paper's Table 5 of a run, and the plans of several thresholds."""

import json
from pathlib import Path
from typing import List, Sequence

from espnet_llmasr.encoder_swap.plan import Plan
from espnet_llmasr.encoder_swap.rule import CKACheck, cka_log
from espnet_llmasr.encoder_swap.trainer import Swap, swap_log
from espnet_llmasr.files import write_all_atomically
from espnet_llmasr.scoring.markdown import markdown

ACTIONS = {
    "reference": "first reference encoder",
    "publish": "published, new reference",
    "final": "pretraining ended, published",
}
SWAPS = ("pretraining step", "CKA to the reference", "action", "encoder used in", "time of the check")
PLANS = ("threshold", "first encoder", "swaps", "swapped in (CKA)", "apart: min / median / max", "longest without one")


def _uses(check: CKACheck, swaps: Sequence[Swap]) -> str:
    """The trainings that used the encoder of a check, from the swaps of IA-SFT."""
    trainings = ["alignment and the start of IA-SFT"] if swaps and swaps[0].previous_step == check.step else []
    for swap in swaps:
        if swap.encoder_step == check.step:
            at = f" at {swap.time.partition('T')[2]}" if swap.time else ""
            trainings.append(f"IA-SFT from epoch {swap.epoch}{at}")
    return "; ".join(trainings) or "-"


def swap_table(encoder_dir: Path, ia_sft_dir: Path) -> str:
    """Table 5: a row for each reference or published encoder, with the trainings that used it.

    Raises ValueError if there is no cka.jsonl.
    """
    log, swaps = cka_log(encoder_dir), swap_log(ia_sft_dir / "swaps.jsonl").read()
    if not log.path.exists():
        raise ValueError(f"{log.path} does not exist: run stages 5 to 8")
    rows = [
        (f"{check.step}", _cka(check), ACTIONS[check.action], _uses(check, swaps), check.time)
        for check in log.read()
        if check.action != "keep"
    ]
    count = sum(swap.encoder_step != swap.previous_step for swap in swaps)  # the last line may change no encoder
    return f"{markdown([SWAPS, *rows], left=5)}\nEncoder swaps during IA-SFT: {count}\n"


def plan_table(plans: Sequence[Plan], directory: Path, ended: bool) -> str:
    """A row for each plan, and the meaning of the columns. `ended`: the pretraining in `directory` has ended."""
    steps = [check.step for check in plans[0].checks]
    whole = "the end of the pretraining, whose encoder is always published"
    end = whole if ended else "not ended: the last encoder is missing"
    return (
        f"{directory}: {len(steps)} checks from step {steps[0]} to {steps[-1]} ({end}).\n"
        "Steps are updates of the pretraining. The first encoder starts the alignment, each later one is a swap.\n\n"
        + markdown([PLANS, *map(_plan_row, plans)])
    )


def write_plans(out: Path, plans: Sequence[Plan], text: str) -> None:
    """Writes <out>.md, the text, and <out>.json, the summaries of the plans."""
    summaries = json.dumps([plan.summary() for plan in plans], indent=1)
    write_all_atomically({out.with_suffix(".md"): text, out.with_suffix(".json"): summaries + "\n"})


def _plan_row(plan: Plan) -> List[str]:
    summary = plan.summary()
    ends = {"publish": "", "final": ", end"}
    triggers = [f"{check.step} ({_cka(check)}{ends[check.action]})" for check in plan.published]
    apart, (first, *later) = summary["apart"], triggers or ["none"]
    distances = f"{apart['min']} / {apart['median']:g} / {apart['max']}" if apart else "-"
    counts = [str(summary["swaps"]), ", ".join(later) or "-", distances, str(summary["longest_without"])]
    return [f"{plan.rule.threshold:g}", first, *counts]


def _cka(check: CKACheck) -> str:
    return "-" if check.cka is None else f"{check.cka:.4f}"
