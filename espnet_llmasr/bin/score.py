"""Scores of decoded sets that can be compared: error rates under named normaliser routes, hallucination, intervals.

    python -m espnet_llmasr.bin.score --ref_dir dump --hyp_dir exp/joint_sft/decode test_zh test_en

Reads <ref_dir>/<set>/text and <hyp_dir>/<set>/text of any system. Optional files beside them: wav.scp (for players),
utt2dur or utt2num_frames (lengths of audio without speech), and <hyp_dir>/<set>/{confidence,flagged} of the guard.
Every problem of every set is named before anything is written:

    <hyp_dir>/scores.md, scores.json             the tables with a definition of every column; all figures
    <hyp_dir>/worst.html                         the worst utterances, with alignments and audio
    <hyp_dir>/<set>/alignments.jsonl             every utterance: texts, counts, alignment, hallucination, audio
    <hyp_dir>/<set>/hallucinations.jsonl         those that any definition calls a hallucination

With --unit phone: phone_scores.md, phone_scores.json and <set>/phone_alignments.jsonl.
"""

import argparse
import logging
from pathlib import Path
from typing import List

from espnet_llmasr.cli import Parser, Print, run
from espnet_llmasr.scoring.score import DEFAULT_ROUTES, UNITS, route_tables, score_sets


def route_names(value: str) -> List[str]:
    """An argument type: names between commas or blanks, each once."""
    names = list(dict.fromkeys(value.replace(",", " ").split()))
    if not names:
        raise argparse.ArgumentTypeError("no route is named")
    return names


def get_parser() -> Parser:
    parser = Parser(description="Score decoded sets against their references.")
    add = parser.add_argument
    add("sets", nargs="*", metavar="SET", help="without: every set that is in both folders")
    add("--ref_dir", type=Path, required=True, help="holds <set>/text, or text alone")
    add("--hyp_dir", type=Path, required=True, help="the same of the hypotheses; results are written there")
    add("--unit", choices=list(UNITS), default="text", help="phone compares <set>/phones")
    add("--routes", type=route_names, default=",".join(DEFAULT_ROUTES), help="normalisers of text, the main one first")
    add("--list_routes", action=Print, text=route_tables, help="print what every route does, and exit")
    add("--missing_as_empty", action="store_true", help="count a missing hypothesis as an empty one: else an error")
    add("--out", type=Path, help="another file that gets the content of scores.md")
    return parser


def main(argv=None) -> None:
    options = vars(get_parser().parse_args(argv))
    del options["config"]
    tables, notes = score_sets(**options)
    for note in notes:
        logging.warning(note)
    print(tables, end="")


if __name__ == "__main__":
    run(main)
