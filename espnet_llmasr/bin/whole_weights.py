"""Writes a checkpoint whose unchanged weights stand in another file as one whole file.

python -m espnet_llmasr.bin.whole_weights exp/align/3epoch.pth align.pth
latest.pth and *.best.pth of a finished training are whole already.
"""

import argparse
from pathlib import Path

from espnet_llmasr.asr.weights import read_state, write_state
from espnet_llmasr.cli import Parser, run


def main(argv=None):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="<n>epoch.pth of a training")
    parser.add_argument("output", type=Path, help="the file to write")
    args = parser.parse_args(argv)
    write_state(args.output, read_state(args.checkpoint))


if __name__ == "__main__":
    run(main)
