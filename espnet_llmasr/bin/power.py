"""How small a difference between strategies some seeds can show, and how many seeds a difference takes.

    python -m espnet_llmasr.bin.power --runs first.jsonl again.jsonl --seeds 8 --family 3

Reads the runs of earlier matrices (experiments/runs.py); the same seed may be in several files. A difference is "shown"
if a two-sided paired t test finds it in four of five cases.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.experiments.power import power_of_files
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
    chosen = args.values, args.strategies
    print(power_of_files(args.runs, args.baseline, args.seeds, args.family, *chosen), end="")


if __name__ == "__main__":
    run(main)
