"""Follows a pretraining, publishes encoders: python -m espnet_llmasr.bin.watch --pretrain_dir exp/pretrain ..."""

from functools import partial
from pathlib import Path

import torch
from espnet2.utils.types import str2bool

from espnet_llmasr.cli import Parser, at_least, between, device, run
from espnet_llmasr.encoder_swap.rule import SwapRule
from espnet_llmasr.encoder_swap.watcher import WATCHED, TensorBoardLog, follow
from espnet_llmasr.tasks.phoneme_ctc import probe_of


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--pretrain_dir", type=Path, required=True, help="experiment directory of the pretraining")
    parser.add_argument("--data_dir", type=Path, required=True, help="fixed validation subset (dump/<set>)")
    parser.add_argument("--max_frames", type=int, default=20000, help="padded frames per batch")
    parser.add_argument("--encoder_dir", type=Path, required=True, help="encoder store to publish into")
    parser.add_argument("--threshold", type=between(0, 1), default=0.975, help="publish when CKA falls below it")
    parser.add_argument("--start_step", type=at_least(0), default=500000, help="the first reference is taken from here")
    parser.add_argument("--poll_s", type=between(0, 3600), default=1.0, help="seconds between looks at the pretraining")
    help_text = "every one while it trains, the stored ones of an ended pretraining, or the last one alone"
    parser.add_argument("--epochs", choices=tuple(WATCHED), default="every", help=help_text)
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    parser.add_argument("--use_tensorboard", type=str2bool, default=False, help="curves in <encoder_dir>/tensorboard")
    return parser


def main(argv=None):
    """Waits for the pretraining's configuration, then watches until its last encoder is published."""
    args = get_parser().parse_args(argv)
    torch.set_num_threads(1)
    rule = SwapRule(args.threshold, args.start_step)
    show = TensorBoardLog(args.encoder_dir / "tensorboard").show if args.use_tensorboard else None
    make_probe = partial(probe_of, args.pretrain_dir, args.data_dir, args.max_frames, args.device)
    follow(args.pretrain_dir, args.encoder_dir, rule, make_probe, show, args.poll_s, args.epochs)


if __name__ == "__main__":
    run(main)
