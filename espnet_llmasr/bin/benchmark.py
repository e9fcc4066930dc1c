"""The ten benchmarks of Table 1 of arXiv 2604.08003: the published figures, with other systems scored beside them.

    python -m espnet_llmasr.bin.benchmark --config conf/benchmark.yaml
    python -m espnet_llmasr.bin.benchmark --config conf/benchmark.yaml --ref dump --hyp exp/joint_sft/decode --size 2.3B
    ... --hyp DIR_A DIR_B --name A B     several systems side by side
    ... --hyp DIR --train_config exp/joint_sft/config.yaml --model_file exp/joint_sft/latest.pth     decodes first

Reads <ref>/<set>/text and <hyp>/<set>/text for the sets that the configuration names; prints Tables 1 and 2 and writes
them to <first hyp>/benchmark.md with all figures in benchmark.json beside. Without --hyp it prints the published tables
and what a recomputation of the paper's means shows.
"""

import json
import logging
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import yaml

from espnet_llmasr.scoring.benchmark import Cell, System, published_systems, read_cells, score_system
from espnet_llmasr.scoring.benchmark_tables import absence, labels_of, page
from espnet_llmasr.cli import Parser, device, run
from espnet_llmasr.scoring.results import finite
from espnet_llmasr.scoring.test_sets import write_results
from espnet_llmasr.metrics.intervals import wilson_interval
from espnet_llmasr.text.routes import ROUTES, make_route


def own_systems(hyps: Sequence[Path], names: Sequence[str], sizes: Sequence[str], taken: Sequence[str]) -> List[System]:
    """A system, not scored yet, for each folder of hypotheses.

    Raises:
        ValueError: other numbers of names or sizes than of folders, a name that is taken or breaks a table.
    """
    names = names or (["Ours"] if len(hyps) == 1 else [str(path) for path in hyps])
    sizes = sizes or ["-"] * len(hyps)
    for option, values in (("--name", names), ("--size", sizes)):
        if len(values) != len(hyps):
            raise ValueError(f"{len(hyps)} folders of --hyp but {len(values)} of {option}: give one for each folder")
        for value in values:
            if "|" in value or len(value.splitlines()) != 1:
                raise ValueError(f"{option} {value!r}: a name is one line without |")
    for number, name in enumerate(names):
        if name in (*taken, *names[:number]):
            raise ValueError(f"the name '{name}' is taken: choose another --name than {', '.join(taken)}")
    return [System(name, size) for name, size in zip(names, sizes)]


def decode(cells: Sequence[Cell], args) -> None:
    """Decodes the sets that --ref has audio of and --hyp has no text of, one after the other."""
    from espnet_llmasr.bin import llm_asr_inference  # slow to import, and scoring does without

    (hyp,) = args.hyp
    for cell in cells:
        data, out = args.ref / cell.set, hyp / cell.set
        if (out / "text").exists() or not (data / "wav.scp").exists():
            continue
        logging.info("decoding %s to %s", data, out)
        config = ["--config", args.decode_config] if args.decode_config else []
        model = ["--llm_asr_train_config", args.train_config, "--llm_asr_model_file", args.model_file]
        folders = ["--data_dir", str(data), "--output_dir", str(out)]
        llm_asr_inference.main([*config, *model, *folders, "--device", args.device])


def count_parameters(model_file: str) -> str:
    """Parameters of a file of weights, as "2.3B"; weights that share memory count once."""
    import torch  # slow, and scoring does without

    tensors = torch.load(model_file, map_location="cpu", mmap=True, weights_only=True).values()
    count = sum({tensor.untyped_storage().data_ptr(): tensor.numel() for tensor in tensors}.values())
    return f"{count / 1e9:.1f}B" if count >= 1e8 else f"{count / 1e6:.1f}M"


def to_json(cells: Sequence[Cell], systems: Sequence[System], route: str) -> str:
    """All figures, unrounded, in percent."""
    groups = {**labels_of(cells), "all": [cell.label for cell in cells]}
    result = {"source": "arXiv 2604.08003v1, Table 1", "route": route or None, "systems": {}}
    for system in systems:
        means = {name: _mean(system, labels) for name, labels in groups.items()}
        rates = {cell.label: _figures(system, cell) for cell in cells}
        result["systems"][system.name] = {
            "size": system.size,
            "published": system.is_published,
            "cells": rates,
            "means": means,
            "absent": system.absent,
        }
    return json.dumps(result, ensure_ascii=False, indent=1) + "\n"


def _mean(system: System, labels: Sequence[str]) -> Optional[Dict]:
    value = system.mean(labels)
    if value is None:
        return None
    figures = {"rate": float(value), "cells": sum(label in system.rates for label in labels)}
    if not system.is_published:
        hits, total = system.hallucinations(labels)
        figures["interval"] = list(map(finite, system.interval(labels)))
        figures["hallucinations"] = {
            "hits": hits,
            "utterances": total,
            "interval": [100 * bound for bound in wilson_interval(hits, total)],
        }
    return figures


def _figures(system: System, cell: Cell) -> Optional[Dict]:
    if cell.label not in system.rates:
        return None
    figures = {"rate": float(system.rates[cell.label])}
    if system.is_published:
        return figures
    scored = system.scored[cell.label]
    return {
        **figures,
        "interval": list(map(finite, scored.interval)),
        "set": cell.set,
        "utterances": len(scored.score),
        **scored.score.total()._asdict(),
        "empty_hypotheses": scored.score.empty_hypotheses,
        "scored_without_route": scored.score.fallbacks,
        "hallucinated": scored.hallucinated,
    }


def get_parser() -> Parser:
    parser = Parser(description="Compare systems on the benchmarks of arXiv 2604.08003 with the published figures.")
    parser.add_argument(
        "--benchmarks", type=yaml.safe_load, help="list of {name, scenario, cells}; give it in --config"
    )
    parser.add_argument("--route", choices=ROUTES, default="paper", help="normaliser route, for both sides")
    parser.add_argument("--ref", type=Path, help="folder of the references: <ref>/<set>/text")
    parser.add_argument("--hyp", type=Path, nargs="+", metavar="DIR", help="a system's hypotheses: <hyp>/<set>/text")
    parser.add_argument("--name", nargs="+", help="a name for each --hyp; one alone is Ours")
    parser.add_argument("--size", nargs="+", help="parameters of each --hyp, for example 2.3B; those of --model_file")
    parser.add_argument("--train_config", help="config.yaml of our model: sets that --hyp lacks are decoded first")
    parser.add_argument("--model_file", help="its weights")
    parser.add_argument("--decode_config", help="options of llm_asr_inference, for example conf/decode.yaml")
    parser.add_argument("--device", type=device, default="cpu", help="where to decode: cpu or cuda")
    parser.add_argument("--out", type=Path, help="markdown file (default: <first hyp>/benchmark.md); .json goes beside")
    return parser


def check(args) -> None:
    """Makes lists of the options that have one value for each system; raises ValueError where options do not fit."""
    if args.benchmarks is None:
        raise ValueError("no benchmarks: give --config conf/benchmark.yaml")
    for option, kind in (("hyp", Path), ("name", str), ("size", str)):
        values = getattr(args, option)
        if not isinstance(values, (list, type(None))):
            raise ValueError(f"{option} must be a list in the configuration: [{values}]")
        setattr(args, option, [kind(value) for value in values or ()])
    if bool(args.hyp) != bool(args.ref):
        raise ValueError("--ref and --hyp go together: the folders of the references and of a system's hypotheses")
    if (args.name or args.size) and not args.hyp:
        raise ValueError("--name and --size are of systems of --hyp: give their folders, too")
    if bool(args.train_config) != bool(args.model_file):
        raise ValueError("--train_config and --model_file go together: the config.yaml and the weights of a model")
    if args.out and args.out.suffix == ".json":
        raise ValueError(f"--out {args.out} is the markdown file, the .json goes beside it: name it .md")
    if args.model_file and len(args.hyp) != 1:
        raise ValueError("--model_file decodes for one system: give one --hyp, the folder for its hypotheses")


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    check(args)
    cells = read_cells(args.benchmarks, args.config or "--benchmarks")
    systems, route = published_systems(cells), ""
    if args.hyp:
        own = own_systems(args.hyp, args.name, args.size, [system.name for system in systems])
        route = make_route(args.route)
        if args.model_file:
            decode(cells, args)
            own[0].size = args.size[0] if args.size else count_parameters(args.model_file)
        for system, hyp in zip(own, args.hyp):
            score_system(system, cells, args.ref, hyp, route)
            if system.absent:
                logging.warning(absence(system, cells))
        systems += own
    text, out = page(cells, systems, str(route)), args.out or (args.hyp[0] / "benchmark.md" if args.hyp else None)
    if out:
        write_results([(out, text), (out.with_suffix(".json"), to_json(cells, systems, str(route)))])
    print(text, end="")


if __name__ == "__main__":
    run(main)
