"""Examines a training for faults that would cost days: a line for each check, exit code 1 if one has failed.

python -m espnet_llmasr.bin.doctor exp/ia_sft/config.yaml  # that a training has written, with its latest.pth if any
python -m espnet_llmasr.bin.doctor conf/ia_sft.yaml --base_config conf/training.yaml ...  # with options of a training
"""

import argparse
from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.doctor.checks import findings
from espnet_llmasr.doctor.context import examine


def parser() -> Parser:
    options = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="%(prog)s CONFIG ..."
    )
    options.add_argument("training", type=Path, metavar="CONFIG", help="config.yaml of a training, or of a stage")
    options.add_argument("options", nargs=argparse.REMAINDER, help="options of the training, which go before CONFIG's")
    return options


def main(argv=None):
    args = parser().parse_args(argv)
    failed = 0
    for name, finding in findings(examine(args.training, args.options)):
        failed += not finding.passed
        remedy = "" if finding.passed else f": {finding.remedy}"
        print(f"{'pass' if finding.passed else 'FAIL'}  {name:<13}  {finding.measured}{remedy}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    run(main)
