"""Prints the cost of trainings, or how many epochs of a stage fit into the rest of a budget.

python -m espnet_llmasr.bin.flops exp/pretrain exp/align exp/ia_sft exp/joint_sft
python -m espnet_llmasr.bin.flops --plan conf/training.yaml conf/encoder.yaml conf/joint_sft.yaml --task llm_asr \
    --data_dir dump/train --llm_dir exp/llm --budget 3.2e14 --spent exp/pretrain exp/align
FLOPs of all training batches of all ranks, forward and backward; validation is not counted (asr/flops.py has the
formula). With --shell the plan is a line of options for the training.
"""

import argparse
import json
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.experiments.cost import TASKS, cost_table, flops_budget, plan, stage_costs


def parser() -> Parser:
    options = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = options.add_argument
    add("stages", nargs="*", type=Path, help="folders of trainings, for a table of their costs")
    add("--json", action="store_true", help="the table as JSON")
    add("--plan", type=Path, nargs="+", metavar="CONF", help="plan a stage: its configuration, after those it shares")
    add("--task", choices=tuple(TASKS), default="llm_asr", help="what the configuration is of")
    add("--data_dir", type=Path, help="training set with utt2num_frames, and text for llm_asr")
    add("--llm_dir", type=Path, help="for llm_asr: folder with config.json and tokenizer.json (exp/llm)")
    add("--token_list", type=Path, help="for phoneme_ctc: dump/phones.txt")
    add("--fs", type=at_least(1000), default=16000, help="sampling rate in Hz")
    add("--options", default="", help="further options of the training, in one string: '--freeze_param encoder'")
    add("--num_ranks", type=at_least(1), default=1, help="GPUs that train together")
    add("--budget", type=flops_budget, help="FLOPs of all stages together, such as 3.2e14")
    add("--spent", nargs="*", type=Path, default=[], help="folders of the trainings that have used some of it")
    add("--shell", action="store_true", help="print the plan as options of the training")
    return options


def main(argv=None):
    options = parser()
    args = options.parse_args(argv)
    if bool(args.stages) == bool(args.plan):
        options.error("give either folders of trainings, or --plan CONF")
    if args.stages:
        costs = stage_costs(args.stages)
        print(json.dumps(costs, indent=2) if args.json else cost_table(costs))
        return
    labels = "llm_dir" if args.task == "llm_asr" else "token_list"
    missing = [f"--{name}" for name in ("data_dir", labels, "budget") if getattr(args, name) is None]
    if missing:
        options.error(f"--plan for --task {args.task} needs {', '.join(missing)}")
    cost, left = plan(args)
    print(cost.options_for(cost.epochs_for(left)) if args.shell else cost.report(args.budget, left))


if __name__ == "__main__":
    run(main)
