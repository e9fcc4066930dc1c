"""One self-contained HTML page of an experiment, also of one that is still running: for a phone as for a desk.

    python -m espnet_llmasr.bin.report --expdir exp --out exp/report.html

Reads the results of all stages so far, and looks for audio where the recipe's commands did. A part without data is one
line that names the stage which makes it. The same files give the same page.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.report import require_packages


def get_parser() -> Parser:
    parser = Parser(description="One self-contained HTML page of an experiment.")
    parser.add_argument("--expdir", type=Path, required=True, help="what llmasr.sh calls --expdir")
    parser.add_argument("--out", type=Path, help="the page; without: <expdir>/report.html")
    parser.add_argument("--examples", type=at_least(0), default=3, help="utterances with sound in each of five groups")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    require_packages()
    from espnet_llmasr.report.page import write_page  # needs the packages

    out = args.out or args.expdir / "report.html"
    print(f"{out}: {write_page(args.expdir, out, args.examples) / 1e6:.2f} MB")


if __name__ == "__main__":
    run(main)
