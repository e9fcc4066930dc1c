"""Trains a recipe under several strategies and seeds, at equal compute.

    nohup python -m espnet_llmasr.bin.run_strategies --recipe egs2/fsdd/llmasr1 --fs 8000 -- --flops_budget 2e13 ... >log &

What follows -- goes to every run.sh, as --name value. The test set is data/test. PAI and CSAI are measured with
--inventory and --embedder as they stand there (without them: zh_en and the LLM); what run.sh sets itself is not read.
Each complete run adds a line to <recipe>/<out>/runs.jsonl, which strategy_table and fit_scaling read, and strategies.md
is made anew. Started again after any interruption, it goes on where it was; the options after -- must stay the same.
"""

import sys
from pathlib import Path

from espnet_llmasr.cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.experiments.runs import status
from espnet_llmasr.experiments.strategies import choose, read_strategies, recipe_file
from espnet_llmasr.processes import INTERRUPTED, interruptible


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("."), help="folder of run.sh")
    parser.add_argument("--out", default="exp_strategies", help="folder of all runs, in the recipe")
    parser.add_argument("--strategies", nargs="+", help="names (default: all of conf/strategies.yaml)")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[1, 2, 3, 4, 5], help="of every strategy")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="runs at a time")
    parser.add_argument("--status", action="store_true", help="only print which runs are complete and which are left")
    parser.add_argument("--clips", type=at_least(1), default=120, help="clips without speech, for made-up words")
    parser.add_argument("--fs", type=at_least(MIN_FS), default=16000, help="sample rate of the clips in Hz")
    return parser


def main(argv=None) -> int:
    """Exit code 130 after an interruption."""
    argv = list(sys.argv[1:] if argv is None else argv)
    place = argv.index("--") if "--" in argv else len(argv)
    args = get_parser().parse_args(argv[:place])
    known = read_strategies(recipe_file(args.recipe))
    strategies = choose(known, args.strategies or list(known), "--strategies")
    cells = [(strategy, seed) for seed in args.seeds for strategy in strategies]
    if args.status:
        print(status(args.recipe / args.out / "runs.jsonl", cells))
        return 0
    try:
        with interruptible():
            from espnet_llmasr.experiments.matrix import Matrix  # slow to import

            options = argv[place + 1 :]
            Matrix(args.recipe, args.out, options, args.clips, args.fs, sys.executable, args.jobs).run(cells)
    except KeyboardInterrupt:
        print("run_strategies: stopped; start it again to go on", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    run(main)
