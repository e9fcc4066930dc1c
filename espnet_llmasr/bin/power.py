"""How small a difference between strategies some seeds can show, and how many seeds a difference takes.

    python -m espnet_llmasr.bin.power --runs first.jsonl again.jsonl --seeds 8 --family 3

Reads the runs of earlier matrices (experiments/runs.py); the same seed may be in several files. A difference is "shown"
if a two-sided paired t test finds it in four of five cases.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.experiments.power import power_table, spreads
from espnet_llmasr.experiments.runs import check_names, read_runs, strategies_of, values_of
from espnet_llmasr.experiments.strategies import BASELINE


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="files of one JSON line a run")
    parser.add_argument("--baseline", default=BASELINE, help="strategy to which the others are compared")
    parser.add_argument("--seeds", type=at_least(3), default=8, help="of the matrix that is planned")
    parser.add_argument("--family", type=at_least(1), default=1, help="tests of a claim that Holm corrects together")
    parser.add_argument("--values", nargs="+", help="their names, such as 'MER %%' (default: all)")
    parser.add_argument("--strategies", nargs="+", help="those to compare (default: all)")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    files = [read_runs(path) for path in args.runs]
    runs = [run for file in files for run in file]
    strategies, values = strategies_of(runs), values_of(runs)
    for option, names, present in (
        ("--baseline", [args.baseline], strategies),
        ("--strategies", args.strategies or [], strategies),
        ("--values", args.values or [], values),
    ):
        check_names(option, names, present, args.runs[0])
    kept = {args.baseline, *(args.strategies or strategies)}
    found = spreads([[run for run in file if run.strategy in kept] for file in files], args.baseline)
    chosen = {value: found[value] for value in args.values or values if value in found}
    print(power_table(chosen, args.seeds, args.family), end="")


if __name__ == "__main__":
    run(main)
