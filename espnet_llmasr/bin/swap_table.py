"""Prints the paper's Table 5 for a run.

python -m espnet_llmasr.bin.swap_table --encoder_dir exp/encoders --ia_sft_dir exp/ia_sft
"""

import json
from pathlib import Path
from typing import Iterator, Tuple

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.files import write_atomically
from espnet_llmasr.encoder_swap.trainer import read_swaps
from espnet_llmasr.encoder_swap.rule import Check

ACTIONS = {
    "reference": "first reference encoder",
    "publish": "published, new reference",
    "final": "pretraining ended, published",
}


def rows(encoder_dir: Path, ia_sft_dir: Path) -> Iterator[Tuple[str, ...]]:
    """One row for each reference or published encoder, with what the fine-tuning did with it."""
    log = encoder_dir / "cka.jsonl"
    if not log.exists():
        raise ValueError(f"{log} does not exist: run stages 5 to 8")
    swaps = read_swaps(ia_sft_dir / "swaps.jsonl")
    initial = swaps[0].previous_step if swaps else None
    for line in log.read_text().splitlines():
        check = Check(**json.loads(line))
        if check.action == "keep":
            continue
        used = [
            f"IA-SFT from epoch {swap.epoch} at {swap.time[11:]}" for swap in swaps if swap.encoder_step == check.step
        ]
        if check.step == initial:
            used.insert(0, "alignment and the start of IA-SFT")
        cka = "-" if check.cka is None else f"{check.cka:.4f}"
        yield f"{check.step}", cka, ACTIONS[check.action], "; ".join(used) or "-", check.time


def table(encoder_dir: Path, ia_sft_dir: Path) -> str:
    """The table in Markdown."""
    head = ("pretraining step", "CKA to the reference", "action", "encoder used in", "time of the check")
    lines = [head, ("---",) * len(head), *rows(encoder_dir, ia_sft_dir)]
    swapped = sum(swap.encoder_step != swap.previous_step for swap in read_swaps(ia_sft_dir / "swaps.jsonl"))
    text = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return f"{text}\nEncoder swaps during IA-SFT: {swapped}\n"


def main(argv=None):
    """Prints the table and writes it to --out."""
    parser = Parser(description=__doc__)
    parser.add_argument("--encoder_dir", type=Path, required=True, help="encoder store with cka.jsonl")
    parser.add_argument("--ia_sft_dir", type=Path, required=True, help="IA-SFT experiment with swaps.jsonl")
    parser.add_argument("--out", type=Path, help="also write the table here")
    args = parser.parse_args(argv)
    text = table(args.encoder_dir, args.ia_sft_dir)
    print(text)
    if args.out:
        write_atomically(args.out, text)


if __name__ == "__main__":
    run(main)
