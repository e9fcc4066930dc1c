"""Strategies side by side: means over seeds, what each costs, and paired differences to one of them.

    python -m espnet_llmasr.bin.strategy_table --runs ablation.jsonl [--baseline ia_sft] [--out table.md] [--json FILE]

Reads one JSON line a run (experiments/runs.py), one for each strategy and seed, all at the same budget.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.experiments.runs import check_names, check_outputs, read_runs, strategies_of
from espnet_llmasr.experiments.statistics import page, statistics_of, to_json
from espnet_llmasr.experiments.strategies import BASELINE
from espnet_llmasr.files import write_all_atomically


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="one JSON line a run")
    parser.add_argument("--baseline", default=BASELINE, help="strategy to which the others are compared")
    parser.add_argument("--out", type=Path, help="also write the tables to this markdown file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    check_outputs(args.runs, (args.out, args.json))
    runs = read_runs(args.runs)
    check_names("--baseline", [args.baseline], strategies_of(runs), args.runs)
    figures = statistics_of(runs, args.baseline)
    text = page(figures)
    contents = {args.out: text, args.json: to_json(figures)}
    write_all_atomically({path: content for path, content in contents.items() if path})
    print(text, end="")


if __name__ == "__main__":
    run(main)
