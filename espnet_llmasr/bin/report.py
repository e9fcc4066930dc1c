"""One self-contained HTML page of an experiment, also of one that is still running: for a phone as for a desk.

    python -m espnet_llmasr.bin.report --expdir exp --out exp/report.html

Reads what the stages have left in <expdir> so far, and looks for audio where the recipe's commands did. A part that
has no data yet is one line that names the stage which makes it. The same files give the same page.
"""

import logging
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

from espnet_llmasr.cli import Parser, at_least, run
from espnet_llmasr.scoring.html import document
from espnet_llmasr.report.encoders import drift, metrics, swap_epochs, swaps
from espnet_llmasr.report.examples import examples
from espnet_llmasr.report.files import DAMAGE, told
from espnet_llmasr.report.page import head, title_of
from espnet_llmasr.report.html import POLICY, STYLE, note, section
from espnet_llmasr.report.scores import errors, hallucination, robustness
from espnet_llmasr.report.stages import Stage, curves, encoder_dir, find_stages, stage_table, timeline_chart
from espnet_llmasr.files import write_atomically
from espnet_llmasr.observe.plot_style import require_matplotlib

Parts = List[Tuple[str, str, Callable[[], str]]]


def parts_of(expdir: Path, stages: Sequence[Stage], each: int) -> Parts:
    """(anchor, title, function that makes its HTML) of every section."""
    return [
        ("stages", "Stages", lambda: stage_table(stages)),
        ("timeline", "Timeline", lambda: timeline_chart(expdir, stages)),
        ("curves", "Curves", lambda: curves(stages, swap_epochs(expdir))),
        ("swaps", "CKA and encoder swaps", lambda: swaps(expdir, encoder_dir(expdir, stages))),
        ("metrics", "Entropy allocation", lambda: metrics(expdir)),
        ("drift", "Drift in joint SFT", lambda: drift(expdir)),
        ("errors", "Error rates", lambda: errors(expdir)),
        ("hallucination", "Hallucination and guard", lambda: hallucination(expdir)),
        ("robustness", "Robustness", lambda: robustness(expdir)),
        ("examples", "Examples", lambda: examples(expdir, each)),
    ]


def built(title: str, make: Callable[[], str]) -> str:
    """The part's HTML; a file that is not as it should be takes away its part and not the page."""
    try:
        return make()
    except DAMAGE as error:
        reason = str(error) if isinstance(error, ValueError) else told(error)
        logging.warning("%s is left out: %s", title, reason)
        return note(f"Left out: {reason}.")


def page(expdir: Path, each: int) -> str:
    """The whole page; `each`: utterances in each group of examples."""
    stages = find_stages(expdir)
    parts = parts_of(expdir, stages, each)
    links = " ".join(f'<a href="#{ident}">{title}</a>' for ident, title, _ in parts)
    sections = "".join(section(ident, title, built(title, make)) for ident, title, make in parts)
    top = built("the head", lambda: head(expdir, stages))
    return document(title_of(expdir), f'{top}<nav aria-label="Contents">{links}</nav>\n{sections}', STYLE, POLICY)


def get_parser() -> Parser:
    parser = Parser(description="One self-contained HTML page of an experiment.")
    parser.add_argument("--expdir", type=Path, required=True, help="what llmasr.sh calls --expdir")
    parser.add_argument("--out", type=Path, help="the page; without: <expdir>/report.html")
    parser.add_argument("--examples", type=at_least(0), default=3, help="utterances with sound in each of five groups")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    require_matplotlib()
    if not args.expdir.is_dir():
        raise ValueError(f"{args.expdir} is no folder: give that of an experiment, with its stages' folders inside")
    out = args.out or args.expdir / "report.html"
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: give the name of a file")
    content = page(args.expdir, args.examples).encode("utf-8", "replace")  # a hypothesis may hold half a character
    write_atomically(out, content)
    print(f"{out}: {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    run(main)
