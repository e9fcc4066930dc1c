"""Measures speech encoders (NSE, PAI, CSAI, CKA) and draws the paper's Figures 1, 3, 4 and 5.

python -m espnet_llmasr.bin.measure_encoders --exp exp --data_dir dump/valid --targets exp/targets/valid.npz \\
    --out exp/observe
python -m espnet_llmasr.bin.measure_encoders --model whisper=/models/whisper-large-v3 --model ours=exp/joint_sft ...

Writes observations.jsonl (one line per checkpoint; an unchanged one is not measured again) and figure_*.png and .svg.
Without --exp and --model it only draws.
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, between, device, run
from espnet_llmasr.metrics.accessible_information import POOLINGS, EstimatorConfig
from espnet_llmasr.observe import figures
from espnet_llmasr.observe.measure import measure_all
from espnet_llmasr.observe.observations import ObservationLog
from espnet_llmasr.observe.stages import checkpoints_of, parse_model_spec


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of observations.jsonl and the figures")
    add("--exp", type=Path, help="measure all stored encoders of this experiment, in training order")
    add("--model", action="append", default=[], help="measure NAME=PATH[:WEIGHTS], may be given several times")
    add("--data_dir", type=Path, help="dump/<set> with wav.scp")
    add("--targets", type=Path, help="made by make_targets from the same folder")
    add("--num_utterances", type=at_least(2), help="take so many, spread over the set; default: all")
    add("--reference", help="PATH[:WEIGHTS]: also the CKA of every layer to this encoder (Eq. 12)")
    add("--device", type=device, default="cpu", help="cpu or cuda")
    add("--num_components", type=at_least(1), default=EstimatorConfig.num_components, help="PCA: PAI and CSAI")
    add("--ridge", type=between(0), default=EstimatorConfig.ridge, help="PAI, CSAI: added to the covariance's diagonal")
    add("--pooling", choices=POOLINGS, default=EstimatorConfig.pooling, help="PAI, CSAI: of an utterance's frames")
    add("--label", default="this run", help="the name of the observations in --out in the figures")
    add("--compare", action="append", default=[], help="LABEL=DIR: draw another --out beside it")
    add("--pair", action="append", default=[], help="LABEL=BEFORE,AFTER: measured names for Figure 1")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    figures.check_options(args.compare, args.pair)
    if args.exp or args.model:
        if args.data_dir is None or args.targets is None:
            raise ValueError("--data_dir and --targets are needed to measure: give both, or neither --exp nor --model")
        checkpoints = [*(checkpoints_of(args.exp) if args.exp else []), *map(parse_model_spec, args.model)]
        config, log = EstimatorConfig(args.num_components, args.ridge, args.pooling), ObservationLog(args.out)
        chosen = args.num_utterances, args.reference, args.device
        measure_all(checkpoints, args.data_dir, args.targets, log, config, *chosen)
    for path in figures.draw_all(args.out, args.label, args.compare, args.pair, args.exp):
        logging.info("drawn: %s", path)


if __name__ == "__main__":
    run(main)
