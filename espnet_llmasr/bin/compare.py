"""Is one system better than another? Their hypotheses for the same test sets, paired utterance by utterance.

    python -m espnet_llmasr.bin.compare --ref_dir dump --hyp_dir exp/joint_sft/decode --other_hyp_dir exp/ia_sft/decode

Reads <ref_dir>/<set>/text and <set>/text of both folders, as strictly as bin.score, and prints a sentence and a table
for every set. The name of a system is the part of its path in which the two differ.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.scoring.compare import compare_systems
from espnet_llmasr.text.routes import MAIN_ROUTE, ROUTES


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("sets", nargs="*", metavar="SET", help="without: every set that all folders have")
    add("--ref_dir", type=Path, required=True, help="holds <set>/text, or text alone")
    add("--hyp_dir", type=Path, required=True, help="the same of the hypotheses of one system")
    add("--other_hyp_dir", type=Path, required=True, help="the same of the other system")
    add("--route", choices=ROUTES, default=MAIN_ROUTE, help="normaliser of the text of all three")
    add("--out", type=Path, help="file for all figures as JSON")
    add("--page", type=Path, help="file for a page (HTML) of the utterances that differ most")
    return parser


def main(argv=None) -> None:
    options = vars(get_parser().parse_args(argv))
    del options["config"]
    print(compare_systems(**options), end="")


if __name__ == "__main__":
    run(main)
