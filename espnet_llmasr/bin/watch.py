"""Follows a pretraining, publishes encoders: python -m espnet_llmasr.bin.watch --pretrain_dir exp/pretrain ..."""

import time
from pathlib import Path

import torch
import yaml

from espnet_llmasr.bin._cli import Parser, run
from espnet_llmasr.files import read_scp, write_atomically
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.encoder_store import EncoderStore
from espnet_llmasr.train.speech_batches import speech_batches
from espnet_llmasr.train.watcher import Pretraining, Watcher, validate_threshold, watch


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--pretrain_dir", type=Path, required=True, help="experiment directory of the pretraining")
    parser.add_argument("--data_dir", type=Path, required=True, help="fixed validation subset (dump/<set>)")
    parser.add_argument("--encoder_dir", type=Path, required=True, help="encoder store to publish into")
    parser.add_argument("--threshold", type=float, default=0.975, help="publish when CKA falls below it")
    parser.add_argument("--start_step", type=int, default=500000, help="the first reference is taken from this step on")
    parser.add_argument("--max_frames", type=int, default=20000, help="padded frames per batch")
    parser.add_argument("--poll_s", type=float, default=1.0, help="seconds between looks at the pretraining")
    return parser


def build_watcher(args) -> Watcher:
    """The watcher on the validation subset, with the architecture of the pretraining."""
    config = PhonemeCTCTask.config_of(args.pretrain_dir / "config.yaml")
    model = PhonemeCTCTask.build_model(config).eval()
    fs = model.frontend.fs
    wavs = read_scp(args.data_dir / "wav.scp")
    frames = read_num_frames(args.data_dir / "utt2num_frames")
    speech = [batch[1:] for batch in speech_batches(wavs, frames, args.max_frames, fs)]
    log = args.encoder_dir / "cka.jsonl"
    return Watcher(model, speech, EncoderStore(args.encoder_dir), log, args.threshold, args.start_step)


def check_same_options(args) -> None:
    """A watcher that is taken up again must decide as it did before. Raises ValueError for other options."""
    path, given = args.encoder_dir / "watch.yaml", {"threshold": args.threshold, "start_step": args.start_step}
    saved = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else given
    if saved != given:
        raise ValueError(f"{args.encoder_dir} was made with {saved}, asked is {given}: remove it or choose another")
    write_atomically(path, yaml.safe_dump(given))


def main(argv=None):
    """Waits for the pretraining's configuration, then watches until its last encoder is published."""
    args = get_parser().parse_args(argv)
    validate_threshold(args.threshold)
    check_same_options(args)
    torch.set_num_threads(1)
    pretraining = Pretraining(args.pretrain_dir)
    while not pretraining.begun:
        time.sleep(args.poll_s)
    watch(pretraining, build_watcher(args), args.poll_s)


if __name__ == "__main__":
    run(main)
