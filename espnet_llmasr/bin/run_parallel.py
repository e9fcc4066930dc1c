"""Runs named jobs side by side: python -m espnet_llmasr.bin.run_parallel --job NAME LOG COMMAND [--job ...]

COMMAND is a shell command, LOG the file it writes, whose last message is shown every few seconds. If one job fails, or
the whole is interrupted, the others are stopped at once, nothing is left running, and the log to read is named.
"""

import sys
from contextlib import closing
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.files import note_of_full_disk
from espnet_llmasr.processes import INTERRUPTED, Job, interruptible, meeting_point, run_jobs


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--job", nargs=3, action="append", required=True, metavar=("NAME", "LOG", "COMMAND"))
    parser.add_argument("--rendezvous_port", type=at_least(1), help="here the nodes of torchrun in the jobs meet")
    return parser


def main(argv=None) -> int:
    """Exit code 1 if a job fails, 130 after an interruption."""
    args = get_parser().parse_args(argv)
    jobs = [Job(name, Path(log), command) for name, log, command in args.job]
    try:
        with (
            interruptible(),
            meeting_point(args.rendezvous_port),
            closing(run_jobs(jobs, limit=len(jobs), show=True)) as ended,
        ):
            failed = next((job for job in ended if job.returncode()), None)
    except KeyboardInterrupt:
        return INTERRUPTED
    if failed:
        sys.stderr.write("".join(f"    {line}\n" for line in failed.tail(5)))
        note = note_of_full_disk(failed.log.parent)
        raise ValueError(f"{failed.name} failed with exit code {failed.returncode()}: read {failed.log}{note}")
    return 0


if __name__ == "__main__":
    run(main)
