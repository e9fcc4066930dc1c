"""What the watcher and the swap planner share: their options, and the pretraining's model on the validation subset."""

from dataclasses import asdict
from pathlib import Path

import yaml

from espnet_llmasr.cli import Parser, at_least
from espnet_llmasr.files import read_scp, write_atomically
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.encoder_swap.probe import Probe
from espnet_llmasr.train.speech_batches import speech_batches
from espnet_llmasr.encoder_swap.rule import SwapRule


def add_arguments(parser: Parser) -> None:
    """What is looked at, and when a reference may be replaced."""
    parser.add_argument("--pretrain_dir", type=Path, required=True, help="experiment directory of the pretraining")
    parser.add_argument("--data_dir", type=Path, required=True, help="fixed validation subset (dump/<set>)")
    parser.add_argument("--max_frames", type=int, default=20000, help="padded frames per batch")
    parser.add_argument("--min_interval", type=at_least(0), default=0, help="updates that a reference stays at least")
    parser.add_argument(
        "--hysteresis",
        type=float,
        default=0.0,
        help="CKA below threshold - hysteresis fires at once, above that at the second check in a row",
    )


def build_probe(args) -> Probe:
    """The validation subset, with the architecture of the pretraining."""
    model = PhonemeCTCTask.build_model(PhonemeCTCTask.config_of(args.pretrain_dir / "config.yaml"))
    wavs = read_scp(args.data_dir / "wav.scp")
    frames = read_num_frames(args.data_dir / "utt2num_frames")
    return Probe(model, [batch[1:] for batch in speech_batches(wavs, frames, args.max_frames, model.frontend.fs)])


def keep_options(encoder_dir: Path, rule: SwapRule) -> None:
    """A watcher that is taken up again must decide as it did before. Raises ValueError for other options."""
    path, given = encoder_dir / "watch.yaml", asdict(rule)
    if path.exists():  # an older one lacks what came later, whose defaults change nothing
        saved = {**asdict(SwapRule()), **yaml.safe_load(path.read_text(encoding="utf-8"))}
        if saved != given:
            raise ValueError(f"{encoder_dir} was made with {saved}, asked is {given}: remove it or choose another")
    write_atomically(path, yaml.safe_dump(given))
