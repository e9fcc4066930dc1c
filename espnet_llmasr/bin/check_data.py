"""Checks data directories: every line of every table, the tables against each other, and some of the audio.

    python -m espnet_llmasr.bin.check_data data/librispeech_train-clean-100 data/aishell1_train

Prints a line for each problem with file and line number (at most 20 of a kind) and exits with 1; or one line with
utterances, hours, speakers and languages.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.data.validate import Report, check


def get_parser() -> Parser:
    parser = Parser(description="Check data directories; one line for each problem, exit code 1 if there is any.")
    parser.add_argument("dirs", type=Path, nargs="+", metavar="DIR", help="data directories")
    parser.add_argument("--audio", type=at_least(0), default=20, help="random utterances to open in each; 0: none")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the random choice")
    return parser


def main(argv=None) -> int:
    args, bad = get_parser().parse_args(argv), 0
    for directory in args.dirs:
        report = Report()
        values = check(directory, args.audio, args.seed, report)
        report.close()
        print(f"{directory}: {values.summary() if values else f'{report.problems} problems'}")
        bad += values is None
    return 1 if bad else 0


if __name__ == "__main__":
    run(main)
