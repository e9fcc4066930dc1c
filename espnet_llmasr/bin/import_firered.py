"""Takes the encoder of a published FireRedASR-AED or FireRedASR-LLM: section 3.4 of the paper starts from an AED's.

python -m espnet_llmasr.bin.import_firered FireRedASR-AED-L exp/stats

Writes OUT/encoder.pth (for --init_param OUT/encoder.pth:encoder:encoder; of FireRedASR-LLM also its adaptor, adaptor.*)
and OUT/feats_stats.npz, the statistics of the features that the encoder was trained on. Prints what it takes and what
it leaves. Nothing in the published files is run. A folder with latest.pth is an earlier pretraining of ours, such as
exp/pretrain, of which the encoder and the statistics in exp/stats are taken.
"""

import argparse
from pathlib import Path

from espnet_llmasr.asr.firered import read_release
from espnet_llmasr.asr.own_encoder import WEIGHTS, take_encoder
from espnet_llmasr.cli import Parser, run


def get_parser() -> Parser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    help_text = "model.pth.tar, cmvn.ark, of an LLM also asr_encoder.pth.tar; or a pretraining of ours"
    parser.add_argument("model_dir", type=Path, help=help_text)
    parser.add_argument("out", type=Path, help="folder of encoder.pth and feats_stats.npz")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    if (args.model_dir / WEIGHTS).exists():
        print(take_encoder(args.model_dir, args.out), end="")
        return
    release = read_release(args.model_dir)
    release.write(args.out)
    print(release.summary(), end="")


if __name__ == "__main__":
    run(main)
