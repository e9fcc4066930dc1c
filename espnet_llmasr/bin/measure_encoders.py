"""Measures speech encoders (NSE, PAI, CSAI, CKA) and draws the paper's Figures 1, 3, 4 and 5.

python -m espnet_llmasr.bin.measure_encoders --exp exp --data_dir dump/valid --targets exp/targets/valid.npz --out exp/observe
python -m espnet_llmasr.bin.measure_encoders --model whisper=/models/whisper-large-v3 --model ours=exp/joint_sft:3epoch.pth ...

Writes observations.jsonl (one line per checkpoint; one that has not changed is not measured again) and figure_*.png,
figure_*.svg. Without --exp and --model it only draws what was measured before.
"""

import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import List

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.files import read_scp
from espnet_llmasr.metrics.accessible_information import POOLINGS, Choices
from espnet_llmasr.observe import draw
from espnet_llmasr.observe.encoders import find_encoder
from espnet_llmasr.observe.measure import choose, measure
from espnet_llmasr.observe.observations import Log, Observation, fingerprint, renamed
from espnet_llmasr.observe.stages import Checkpoint, checkpoints_of, named
from espnet_llmasr.train.targets import Targets


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of observations.jsonl and the figures")
    group = parser.add_argument_group("what is measured")
    group.add_argument("--exp", type=Path, help="all stored encoders of this experiment, in training order")
    group.add_argument("--model", action="append", default=[], help="NAME=PATH[:WEIGHTS], may be given several times")
    group.add_argument("--data_dir", type=Path, help="dump/<set> with wav.scp")
    group.add_argument("--targets", type=Path, help="made by make_targets from the same folder")
    group.add_argument("--num_utterances", type=at_least(2), help="take so many, spread over the set; default: all")
    group.add_argument("--reference", help="PATH[:WEIGHTS]: also the CKA of every layer to this encoder (Eq. 12)")
    group.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    group = parser.add_argument_group("what PAI and CSAI leave open")
    group.add_argument("--num_components", type=at_least(1), default=Choices.num_components, help="PCA components")
    group.add_argument("--ridge", type=float, default=Choices.ridge, help="added to the covariance's diagonal")
    group.add_argument("--pooling", choices=POOLINGS, default=Choices.pooling, help="of an utterance's frames")
    group = parser.add_argument_group("what is drawn")
    group.add_argument("--label", default="this run", help="what the figures call the observations in --out")
    group.add_argument("--compare", action="append", default=[], help="LABEL=DIR: another --out beside it")
    group.add_argument("--pair", action="append", default=[], help="LABEL=BEFORE,AFTER: names measured, for Figure 1")
    return parser


def wanted(args) -> List[Checkpoint]:
    """The checkpoints of --exp and --model. Raises ValueError if a name is given twice."""
    found = [*(checkpoints_of(args.exp) if args.exp else []), *map(named, args.model)]
    name, times = Counter(checkpoint.name for checkpoint in found).most_common(1)[0]
    if times > 1:
        raise ValueError(f"--model {name}=...: this name is taken, names must differ")
    return found


def read_set(args, targets: Targets):
    """id -> entry of wav.scp of the utterances to be measured."""
    wavs = read_scp(args.data_dir / "wav.scp")
    ids = choose(set(wavs) & set(targets.ids), args.num_utterances)
    if len(wavs) > len(targets.ids):
        logging.warning("%d of %d utterances have targets: the others are left out", len(targets.ids), len(wavs))
    if not ids:
        raise ValueError(f"no utterance of {args.data_dir} has targets in {args.targets}: make them from that folder")
    return {uid: wavs[uid] for uid in ids}


def measure_all(args, log: Log) -> None:
    """Measures what has changed since it was measured; each result is written at once."""
    if args.data_dir is None or args.targets is None:
        raise ValueError("--data_dir and --targets are needed to measure: give both, or neither --exp nor --model")
    checkpoints, choices = wanted(args), Choices(args.num_components, args.ridge, args.pooling)
    sources = [find_encoder(checkpoint.spec) for checkpoint in checkpoints]
    reference = find_encoder(args.reference) if args.reference else None
    targets = Targets.load(args.targets)
    entries = read_set(args, targets)
    files = [args.targets, args.data_dir / "wav.scp", *(reference.files if reference else ())]
    other = reference.open(args.device) if reference else None
    for checkpoint, source in zip(checkpoints, sources):
        place = dict(name=checkpoint.name, stage=checkpoint.stage, step=checkpoint.step, model=checkpoint.spec)
        mark = fingerprint([*source.files, *files], list(entries), asdict(choices), args.reference)
        row = log.find(mark)
        if row is None:
            found = measure(source.open(args.device), entries, targets, choices, other)
            row = Observation(**place, set=args.data_dir.name, **found, reference=args.reference, fingerprint=mark)
            logging.info("%s: NSE %.3f, PAI %.2f bits, CSAI %.2f bits", row.name, row.nse, row.pai, row.csai)
        log.put(renamed(row, **place))


def main(argv=None):
    """Measures, then draws."""
    args = get_parser().parse_args(argv)
    draw.check(args.compare, args.pair)
    log = Log(args.out)
    if args.exp or args.model:
        measure_all(args, log)
    for path in draw.draw_all(args.out, args.label, args.compare, args.pair, args.exp):
        logging.info("drawn: %s", path)


if __name__ == "__main__":
    run(main)
