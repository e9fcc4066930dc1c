"""Tells which encoders a watcher would have published from the checkpoints of a pretraining, for several thresholds.

python -m espnet_llmasr.bin.plan_swaps --pretrain_dir exp/pretrain --data_dir dump/cka --threshold 0.95 0.975 0.99

The pretraining must have kept its epochs (--keep_nbest_models as large as its max_epoch). To go on with one of the
thresholds: bin.watch --replay true publishes its encoders, bin.plan_ia_sft spreads them over an IA-SFT.
"""

import json
from pathlib import Path
from typing import List

import torch

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.encoder_swap.build_probe import add_arguments, build_probe
from espnet_llmasr.scoring.markdown import markdown
from espnet_llmasr.files import write_all_atomically
from espnet_llmasr.encoder_swap.run_dir import Pretraining
from espnet_llmasr.encoder_swap.plan import (
    Plan,
    StoredEncoders,
    replay,
    steps_to_replay,
)
from espnet_llmasr.encoder_swap.rule import Check, SwapRule

HEAD = ("threshold", "first encoder", "swaps", "swapped in (CKA)", "apart: min / median / max", "longest without one")


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.95, 0.975, 0.99], help="CKA thresholds")
    parser.add_argument("--start_step", type=at_least(0), help="first reference (default: at a quarter, as the paper)")
    parser.add_argument("--out", type=Path, help="also write OUT.md and OUT.json")
    return parser


def trigger(check: Check) -> str:
    """A published encoder in a cell of the table."""
    cka = "-" if check.cka is None else f"{check.cka:.4f}"
    return f"{check.step} ({cka}{', end' if check.action == 'final' else ''})"


def row(plan: Plan) -> List[str]:
    """A threshold's row of the table."""
    found, apart = plan.summary(), plan.summary()["apart"]
    triggers = [trigger(check) for check in plan.published]
    distances = f"{apart['min']} / {apart['median']:g} / {apart['max']}" if apart else "-"
    first, *later = triggers or ["none"]
    return [
        f"{plan.rule.threshold:g}",
        first,
        str(found["swaps"]),
        ", ".join(later) or "-",
        distances,
        str(found["longest_without"]),
    ]


def page(plans: List[Plan], pretraining: Pretraining, ended: bool) -> str:
    """The table in Markdown and what its columns mean."""
    rule, steps = plans[0].rule, [check.step for check in plans[0].checks]
    end = (
        "the end of the pretraining, whose encoder always comes" if ended else "not ended: the last encoder is missing"
    )
    options = f"minimum interval {rule.min_interval}, hysteresis {rule.hysteresis:g}"
    return (
        f"{pretraining.directory}: {len(steps)} checks from step {steps[0]} to {steps[-1]} ({end}); {options}.\n"
        "Steps are updates of the pretraining. The first encoder starts the alignment, each later one is a swap.\n\n"
        + markdown([HEAD, *(row(plan) for plan in plans)])
    )


def main(argv=None):
    """Prints the table; writes it if asked."""
    args = get_parser().parse_args(argv)
    torch.set_num_threads(1)
    pretraining = Pretraining(args.pretrain_dir)
    updates, ended = pretraining.updates_per_epoch(), pretraining.ended
    steps = steps_to_replay(pretraining, updates, args.start_step)
    start = steps[0] if args.start_step is None else args.start_step
    rules = [SwapRule(value, start, args.min_interval, args.hysteresis) for value in dict.fromkeys(args.threshold)]
    probe = build_probe(args)
    checks = replay(rules, steps, StoredEncoders(probe, pretraining, updates).layer_cka, ended)
    plans = [Plan(rule, log) for rule, log in zip(rules, checks)]
    text = page(plans, pretraining, ended)
    print(text)
    if args.out:
        found = json.dumps([plan.summary() for plan in plans], indent=1)
        write_all_atomically({args.out.with_suffix(".md"): text, args.out.with_suffix(".json"): found + "\n"})


if __name__ == "__main__":
    run(main)
