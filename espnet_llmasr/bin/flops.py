"""Prints what trainings have cost, or how many epochs of a stage fit into what is left of a budget.

python -m espnet_llmasr.bin.flops exp/pretrain exp/align exp/ia_sft exp/joint_sft
python -m espnet_llmasr.bin.flops --plan conf/training.yaml conf/encoder.yaml conf/joint_sft.yaml --task llm_asr \
    --data_dir dump/train --llm_dir exp/llm --budget 3.2e14 --spent exp/pretrain exp/align
FLOPs of the matrix products and convolutions of training batches, forward and backward, all ranks; validation is not
counted. With --shell the plan is a line of options for the training.
"""

import argparse
import json
import math
import shlex
from pathlib import Path
from typing import List

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.train.flops_log import read_flops


def stage_costs(directories: List[Path]) -> List[dict]:
    """Epochs, batches and FLOPs of each training."""
    costs = []
    for directory in directories:
        lines = read_flops(directory)
        sums = {name: sum(line[name] for line in lines) for name in ("batches", "flops")}
        costs.append({"stage": str(directory), "epochs": len(lines), **sums})
    return costs


def table(costs: List[dict]) -> str:
    """The costs in Markdown, with their sum."""
    total = sum(cost["flops"] for cost in costs)
    lines = ["| stage | epochs | batches | FLOPs | share |", "|---|---:|---:|---:|---:|"]
    for cost in costs:
        share = f"{cost['flops'] / max(total, 1):.1%}"
        lines.append(f"| {cost['stage']} | {cost['epochs']} | {cost['batches']} | {cost['flops']:.4e} | {share} |")
    return "\n".join([*lines, f"| total | | | {total:.4e} | |"])


def training_options(args) -> List[str]:
    """The options of the stage's training that decide what it costs."""
    *shared, config = map(str, args.plan)
    options = [*(["--base_config", *shared] if shared else []), "--config", config]
    options += ["--frontend_conf", f"fs={args.fs}", *shlex.split(args.options)]
    if args.task == "llm_asr":
        return [*options, *(f"--llm_{name}={args.llm_dir}/{name}.json" for name in ("config", "tokenizer"))]
    return [*options, "--token_list", str(args.token_list)]


def plan(args) -> str:
    """The plan in words, or with --shell as options of the training.

    Raises:
        ValueError: the budget is spent, or does not even end the warm-up.
    """
    from espnet_llmasr.experiments.cost import epoch_cost  # slow, and the table does without

    spent = stage_costs(args.spent)
    left = args.budget - sum(cost["flops"] for cost in spent)
    if left <= 0:
        names = ", ".join(cost["stage"] for cost in spent)
        raise ValueError(f"the budget of {args.budget:.4e} FLOPs is spent, {-left:.2e} too much ({names}): raise it")
    cost = epoch_cost(args.task, training_options(args), args.data_dir, args.num_ranks)
    epochs = cost.epochs_for(left)
    if args.shell:
        return cost.options_for(epochs)
    flops = epochs * cost.flops
    spread = cost.epoch_deviation / cost.flops / math.sqrt(epochs)
    return "\n".join(
        [
            f"batch:  {cost.mean:.4e} FLOPs, standard deviation {cost.deviation / cost.mean:.1%}",
            f"epoch:  {cost.flops:.4e} FLOPs, {cost.batches} batches, {cost.updates} updates",
            f"budget: {args.budget:.4e} FLOPs, of which {left:.4e} are left",
            f"plan:   {epochs} epochs, {epochs * cost.updates} updates, {flops:.4e} FLOPs (standard deviation at most "
            f"{spread:.2%}), {flops / left:.2%} of what is left",
        ]
    )


def budget(value: str) -> float:
    """An argument type: FLOPs, above 0 and finite."""
    if not 0 < float(value) < math.inf:
        raise argparse.ArgumentTypeError(f"{value} is no number of FLOPs: give one such as 3.2e14")
    return float(value)


def parser() -> Parser:
    """All options."""
    options = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = options.add_argument
    add("stages", nargs="*", type=Path, help="folders of trainings, for a table of their costs")
    add("--json", action="store_true", help="the table as JSON")
    add("--plan", type=Path, nargs="+", metavar="CONF", help="plan a stage: its configuration, after those it shares")
    add("--task", choices=("llm_asr", "phoneme_ctc"), default="llm_asr", help="what the configuration is of")
    add("--data_dir", type=Path, help="training set with utt2num_frames, and text for llm_asr")
    add("--llm_dir", type=Path, help="for llm_asr: folder with config.json and tokenizer.json (exp/llm)")
    add("--token_list", type=Path, help="for phoneme_ctc: dump/phones.txt")
    add("--fs", type=at_least(1000), default=16000, help="sampling rate in Hz")
    add("--options", default="", help="further options of the training, in one string: '--freeze_param encoder'")
    add("--num_ranks", type=at_least(1), default=1, help="GPUs that train together")
    add("--budget", type=budget, help="FLOPs of all stages together, such as 3.2e14")
    add("--spent", nargs="*", type=Path, default=[], help="folders of the trainings that have used some of it")
    add("--shell", action="store_true", help="print the plan as options of the training")
    return options


def main(argv=None):
    """Prints the table or the plan."""
    options = parser()
    args = options.parse_args(argv)
    if bool(args.stages) == bool(args.plan):
        options.error("give either folders of trainings, or --plan CONF")
    if args.stages:
        costs = stage_costs(args.stages)
        print(json.dumps(costs, indent=2) if args.json else table(costs))
        return
    labels = "llm_dir" if args.task == "llm_asr" else "token_list"
    missing = [f"--{name}" for name in ("data_dir", labels, "budget") if getattr(args, name) is None]
    if missing:
        options.error(f"--plan for --task {args.task} needs {', '.join(missing)}")
    print(plan(args))


if __name__ == "__main__":
    run(main)
