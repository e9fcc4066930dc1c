"""The ten benchmarks of Table 1 of arXiv 2604.08003: the published figures, with other systems scored beside them.

    python -m espnet_llmasr.bin.benchmark --config conf/benchmark.yaml
    python -m espnet_llmasr.bin.benchmark --config conf/benchmark.yaml --ref_dir dump --hyp_dir DIR_A DIR_B --name A B
    ... --hyp_dir DIR --inference_args "--llm_asr_train_config C --llm_asr_model_file M"     decodes what DIR lacks

Reads <ref_dir>/<set>/text and <hyp_dir>/<set>/text for the sets of the configuration. Prints the tables and writes them
to <first hyp_dir>/benchmark.md, all figures to benchmark.json. Without --hyp_dir it prints the published tables.
"""

import logging
from pathlib import Path

import yaml

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.scoring.benchmark import check_options, compare_with_paper, decode_missing, read_cells, to_json
from espnet_llmasr.scoring.benchmark_tables import absence, page
from espnet_llmasr.scoring.test_sets import write_results
from espnet_llmasr.text.routes import MAIN_ROUTE, ROUTES


def get_parser() -> Parser:
    parser = Parser(description="Compare systems on the benchmarks of arXiv 2604.08003 with the published figures.")
    add = parser.add_argument
    add("--benchmarks", type=yaml.safe_load, help="list of {name, scenario, cells}; give it in --config")
    add("--route", choices=ROUTES, default=MAIN_ROUTE, help="normaliser route, for both sides")
    add("--ref_dir", type=Path, help="folder of the references: <ref_dir>/<set>/text")
    add("--hyp_dir", type=Path, nargs="+", default=[], metavar="DIR", help="of each system: <hyp_dir>/<set>/text")
    add("--name", nargs="+", default=[], help="a name for each --hyp_dir; a single one is Ours")
    add("--size", nargs="+", default=[], help="parameters of each --hyp_dir, for example 2.3B")
    add("--inference_args", help="options of bin.llm_asr_inference: sets that --hyp_dir lacks are decoded first")
    add("--out", type=Path, help="markdown file (default: <first hyp_dir>/benchmark.md); .json goes beside it")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    cells = read_cells(args.benchmarks, args.config or "--benchmarks")
    check_options(args.ref_dir, args.hyp_dir, args.name, args.size, args.inference_args, args.out)
    hyp_dirs = list(map(Path, args.hyp_dir))  # text, where they are those of --config
    if args.inference_args:
        decode_missing(cells, args.ref_dir, hyp_dirs[0], args.inference_args)
    systems, route = compare_with_paper(cells, args.route, args.ref_dir, hyp_dirs, args.name, args.size)
    for system in filter(lambda system: system.absent, systems):
        logging.warning(absence(system, cells))
    text, out = page(cells, systems, route), args.out or (hyp_dirs[0] / "benchmark.md" if hyp_dirs else None)
    if out:
        write_results([(out, text), (out.with_suffix(".json"), to_json(cells, systems, route))])
    print(text, end="")


if __name__ == "__main__":
    run(main)
