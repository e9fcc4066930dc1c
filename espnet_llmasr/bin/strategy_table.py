"""Strategies side by side: means over seeds, what each costs, and paired differences to one of them.

    python -m espnet_llmasr.bin.strategy_table --runs ablation.jsonl [--baseline ia_sft] [--out table.md] [--json FILE]

Reads one JSON line a run (experiments/runs.py), one for each strategy and seed, all at the same budget.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.experiments.statistics import compare_strategies
from espnet_llmasr.experiments.strategies import BASELINE


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="one JSON line a run")
    parser.add_argument("--baseline", default=BASELINE, help="strategy to which the others are compared")
    parser.add_argument("--out", type=Path, help="also write the tables to this markdown file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    print(compare_strategies(args.runs, args.baseline, args.out, args.json), end="")


if __name__ == "__main__":
    run(main)
