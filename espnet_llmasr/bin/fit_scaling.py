"""The scaling law error = a * C^-b + c of each strategy.

    python -m espnet_llmasr.bin.fit_scaling --runs runs.jsonl --value "MER %" [--strategies efin joint_only] --out DIR

Reads one JSON line a run (experiments/runs.py), with the same strategy at four budgets or more; C are the FLOPs of
all its stages. Writes DIR/scaling.{json,md,png,svg} and prints the tables.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.experiments.runs import check_names, check_outputs, read_runs, strategies_of, values_of
from espnet_llmasr.experiments.scaling import draw, fit_all, page, to_json
from espnet_llmasr.files import write_all_atomically
from espnet_llmasr.observe.plot_style import require_matplotlib


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="one JSON line a run")
    parser.add_argument("--value", required=True, help="name of the error among the values, for example 'MER %%'")
    parser.add_argument("--strategies", nargs="+", help="without: all that the file has")
    parser.add_argument("--out", type=Path, required=True, help="folder for scaling.{json,md,png,svg}")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    require_matplotlib()
    outputs = {kind: args.out / f"scaling.{kind}" for kind in ("json", "md", "png", "svg")}
    check_outputs(args.runs, outputs.values())
    runs = read_runs(args.runs)
    names = strategies_of(runs)
    check_names("--value", [args.value], values_of(runs), args.runs)
    check_names("--strategies", args.strategies or [], names, args.runs)
    fits, notes = fit_all(runs, args.value, list(dict.fromkeys(args.strategies or names)))
    text = page(fits, args.value, notes)
    write_all_atomically({outputs["json"]: to_json(fits, args.value, notes), outputs["md"]: text})
    draw(fits, args.value, args.out)
    print(text, end="")


if __name__ == "__main__":
    run(main)
