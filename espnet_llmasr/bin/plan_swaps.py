"""Lists the encoders that a watcher would have published from the checkpoints of a pretraining, for several thresholds.

python -m espnet_llmasr.bin.plan_swaps --pretrain_dir exp/pretrain --data_dir dump/cka --threshold 0.95 0.975 0.99

The pretraining must have kept its epochs (--keep_nbest_models as large as its max_epoch). To continue with one of the
thresholds: bin.watch --epochs stored publishes its encoders, bin.make_swap_schedule spreads them over an IA-SFT.
"""

from functools import partial
from pathlib import Path

import torch

from espnet_llmasr.cli import Parser, at_least, between, run
from espnet_llmasr.encoder_swap.plan import plan_swaps
from espnet_llmasr.encoder_swap.run_dir import PretrainingDir
from espnet_llmasr.encoder_swap.table import plan_table, write_plans
from espnet_llmasr.tasks.phoneme_ctc import probe_of


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--pretrain_dir", type=Path, required=True, help="experiment directory of the pretraining")
    parser.add_argument("--data_dir", type=Path, required=True, help="fixed validation subset (dump/<set>)")
    parser.add_argument("--max_frames", type=int, default=20000, help="padded frames per batch")
    parser.add_argument(
        "--threshold", type=between(0, 1), nargs="+", default=[0.95, 0.975, 0.99], help="CKA thresholds"
    )
    parser.add_argument("--start_step", type=at_least(0), help="first reference (default: at a quarter, as the paper)")
    parser.add_argument("--out", type=Path, help="also write OUT.md and OUT.json")
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    torch.set_num_threads(1)
    pretraining = PretrainingDir(args.pretrain_dir)
    ended = pretraining.ended
    make_probe = partial(probe_of, args.pretrain_dir, args.data_dir, args.max_frames)
    plans = plan_swaps(pretraining, ended, make_probe, args.threshold, args.start_step)
    text = plan_table(plans, pretraining.directory, ended)
    print(text)
    if args.out:
        write_plans(args.out, plans, text)


if __name__ == "__main__":
    run(main)
