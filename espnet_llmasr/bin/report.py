"""One self-contained HTML page of an experiment, also of one that is still running: for a phone as for a desk.

    python -m espnet_llmasr.bin.report --expdir exp --out exp/report.html

Reads the results of all stages so far, and looks for audio where the recipe's commands did. A part without data is one
line that names the stage which makes it. The same files give the same page.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.files import write_atomically
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
    from espnet_llmasr.report.page import render_page  # needs the packages

    if not args.expdir.is_dir():
        raise ValueError(f"{args.expdir} is no folder: give that of an experiment, with its stages' folders inside")
    out = args.out or args.expdir / "report.html"
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: give the name of a file")
    content = render_page(args.expdir, args.examples).encode("utf-8", "replace")  # half a character in a hypothesis
    write_atomically(out, content)
    print(f"{out}: {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    run(main)
