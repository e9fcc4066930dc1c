"""Stage of scoring: error and hallucination rates of decoded sets as a markdown table.

    python -m espnet_llmasr.bin.score --ref_dir dump --hyp_dir exp/joint_sft/decode test --out exp/joint_sft/RESULTS.md

Reads <ref_dir>/<set>/text and <hyp_dir>/<set>/text (`phones` with --unit phone) and writes the alignment of every
utterance to <hyp_dir>/<set>/alignments.jsonl.
"""

import json
from pathlib import Path
from typing import Dict, List, Optional

from espnet_llmasr.bin._cli import Parser, run
from espnet_llmasr.files import read_scp, write_atomically
from espnet_llmasr.metrics.error_rate import Counts, SetScore, score_set
from espnet_llmasr.metrics.hallucination import wilson_interval
from espnet_llmasr.text.normalize import score_tokens

TEXT_COLUMNS = "set|utts|MER %|CER zh %|WER en %|S/D/I|sentence error %|empty|hallucination % (95 %)"
PHONE_COLUMNS = "set|utts|PER %|S/D/I|sentence error %|empty"
FOOTNOTES = {
    "text": "Tokens after normalisation (lower case, no punctuation): a Han character or a word. CER zh and WER en "
    "align only the tokens of their script. Hallucination: over 1.5 times the reference's tokens and no correct one.",
    "phone": "Phone error rate of the greedy CTC output.",
}


def score_one(reference: Path, hypothesis: Path, unit: str) -> SetScore:
    """Scores two tables; an error names the hypothesis file."""
    tokenize = str.split if unit == "phone" else score_tokens
    references, hypotheses = read_scp(reference), read_scp(hypothesis)
    try:
        return score_set(references, hypotheses, tokenize)
    except ValueError as error:
        raise ValueError(f"{hypothesis}: {error}") from error


def percent(rate: float) -> str:
    return f"{100 * rate:.2f}"


def rate_of(counts: Counts) -> str:
    """The rate in percent, "-" for a script that the references do not have (insertions of it count in MER)."""
    return percent(counts.rate) if counts.reference_length else "-"


def hallucination_cell(score: SetScore) -> str:
    low, high = wilson_interval(score.hallucinations, score.utterances)
    return f"{percent(score.hallucinations / score.utterances)} ({percent(low)}-{percent(high)})"


def cells(name: str, score: SetScore, unit: str) -> List[str]:
    """One row of the table in the order of its columns."""
    total = score.tokens
    edits = f"{total.substitutions}/{total.deletions}/{total.insertions}"
    shared = [edits, percent(score.sentence_error_rate), str(score.empty_hypotheses)]
    if unit == "phone":
        return [name, str(score.utterances), rate_of(total), *shared]
    rates = [rate_of(counts) for counts in (total, score.han, score.words)]
    return [name, str(score.utterances), *rates, *shared, hallucination_cell(score)]


def table(scores: Dict[str, SetScore], unit: str) -> str:
    """Set name -> score as a markdown table; several sets are followed by all utterances taken together."""
    if len(scores) > 1:
        scores = {**scores, "all": sum(scores.values(), SetScore())}
    header = (PHONE_COLUMNS if unit == "phone" else TEXT_COLUMNS).split("|")
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    rows += [cells(name, score, unit) for name, score in scores.items()]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def write_alignments(path: Path, score: SetScore) -> None:
    lines = (json.dumps(detail, ensure_ascii=False) + "\n" for detail in score.details)
    write_atomically(path, "".join(lines))


def get_parser() -> Parser:
    parser = Parser(description="Score decoded sets against their references.")
    parser.add_argument("sets", nargs="+", metavar="SET")
    parser.add_argument("--ref_dir", type=Path, required=True, help="holds <set>/text")
    parser.add_argument("--hyp_dir", type=Path, required=True, help="holds <set>/text, the decoded transcripts")
    parser.add_argument("--unit", choices=["text", "phone"], default="text", help="phone compares <set>/phones")
    parser.add_argument("--out", type=Path, help="markdown file to write the table to")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    name = "phones" if args.unit == "phone" else "text"
    scores = {s: score_one(args.ref_dir / s / name, args.hyp_dir / s / name, args.unit) for s in args.sets}
    alignments = "alignments.jsonl" if args.unit == "text" else "phone_alignments.jsonl"
    for set_name, score in scores.items():
        write_alignments(args.hyp_dir / set_name / alignments, score)
    result = table(scores, args.unit)
    if args.out:
        write_atomically(args.out, f"{result}\n{FOOTNOTES[args.unit]}\n")
    print(result, end="")


if __name__ == "__main__":
    run(main)
