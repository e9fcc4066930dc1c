"""Prints what a training strategy means for the stages of llmasr.sh, as shell assignments.

eval "$(python -m espnet_llmasr.bin.strategy efin --strategies conf/strategies.yaml)"
"""

import shlex
from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.experiments.strategies import choose, read_strategies, recipe_file, shell_variables

NAMES = ("expdir", "base_exp", "dumpdir", "ia_sft_epochs", "flops_budget")


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("strategy", help="name of an entry")
    parser.add_argument("--strategies", type=Path, default=recipe_file(Path()), help="conf/strategies.yaml")
    group = parser.add_argument_group("options of llmasr.sh that matter here; empty: not given")
    group.add_argument("--unit", default="phone", help="of strategies without a unit of their own")
    for name in NAMES:
        group.add_argument(f"--{name}", default="")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    (strategy,) = choose(read_strategies(args.strategies), [args.strategy], "--strategy")
    for name, value in shell_variables(strategy, args.unit, *(getattr(args, name) for name in NAMES)).items():
        print(f"{name}={shlex.quote(value)}")


if __name__ == "__main__":
    run(main)
