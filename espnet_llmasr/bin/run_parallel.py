"""Runs named jobs side by side: python -m espnet_llmasr.bin.run_parallel --job NAME LOG COMMAND [--job ...]

COMMAND is a shell command, LOG the file it writes, whose last message is shown every few seconds. If one job fails, or
the whole is interrupted, the others are stopped at once, nothing is left running, and the log to read is named.
"""

import sys
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.processes import INTERRUPTED, Job, first_failure


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--job", nargs=3, action="append", required=True, metavar=("NAME", "LOG", "COMMAND"))
    parser.add_argument("--rendezvous_port", type=at_least(1), help="here the nodes of torchrun in the jobs meet")
    return parser


def main(argv=None) -> int:
    """Exit code 1 if a job fails, 130 after an interruption."""
    args = get_parser().parse_args(argv)
    try:
        failed = first_failure([Job(name, Path(log), command) for name, log, command in args.job], args.rendezvous_port)
    except KeyboardInterrupt:
        return INTERRUPTED
    if failed:
        sys.stderr.write("".join(f"    {line}\n" for line in failed.tail(5)))
        raise ValueError(failed.failure())
    return 0


if __name__ == "__main__":
    run(main)
