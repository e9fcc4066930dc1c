"""The scaling law error = a * C^-b + c of each strategy.

    python -m espnet_llmasr.bin.fit_scaling --runs runs.jsonl --value "MER %" [--strategies efin joint_only] --out DIR

Reads one JSON line a run (experiments/runs.py), with the same strategy at four budgets or more; C are the FLOPs of
all its stages. Writes DIR/scaling.{json,md,png,svg} and prints the tables.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.experiments.scaling import write_scaling


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="one JSON line a run")
    parser.add_argument("--value", required=True, help="name of the error among the values, for example 'MER %%'")
    parser.add_argument("--strategies", nargs="+", help="without: all that the file has")
    parser.add_argument("--out", type=Path, required=True, help="folder for scaling.{json,md,png,svg}")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    print(write_scaling(args.runs, args.value, args.strategies, args.out), end="")


if __name__ == "__main__":
    run(main)
