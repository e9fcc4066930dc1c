"""Ends what a command has started that `run_jobs` serves without a recipe's script; that has utils/end_with_parent.sh.

python -m espnet_llmasr.bin.end_with_parent --parent PARENT &      When the process PARENT, which has started this
command, has ended for whatever reason (a SIGKILL, too), all processes with the same value of the environment variable
LLMASR_RUN are killed. Needs /proc, as Linux has it.
"""

from typing import List, Optional

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.processes import end_with


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--parent", type=at_least(1), required=True, help="id of the process that starts this command")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    """Returns when none of these processes is left."""
    end_with(get_parser().parse_args(argv).parent)


if __name__ == "__main__":
    run(main)
