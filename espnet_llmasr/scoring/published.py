"""The figures of arXiv 2604.08003 as printed, and the arithmetic of its tables, exact.

They are in paper_tables/table_*.tsv with their source. Rates are percent, as `Fraction`, so that halves round up.
"""

import csv
import math
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

FOLDER = Path(__file__).with_name("paper_tables")
PAPER = "arXiv 2604.08003"
SCENARIOS = ("Mandarin", "Chinese Dialect", "English", "Code-switch")
_SIZE, _AVERAGE = "Model Size", "Avg. CER/WER"


class Published(NamedTuple):
    """Table 1: system -> size, and system -> cell -> percent (a dialect that it does not support is left out)."""

    sizes: Dict[str, str]
    cells: Dict[str, Dict[str, Fraction]]

    @property
    def labels(self) -> List[str]:
        """All cells, as "LibriSpeech dev-clean", in the order of the table."""
        return list(self.cells[PAPER])


def read_table(name: str) -> Dict[str, Dict[str, str]]:
    """Row -> column -> text of paper_tables/<name>.tsv."""
    with open(FOLDER / f"{name}.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader((line for line in file if not line.startswith("#")), delimiter="\t"))
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}


def read_table_1() -> Published:
    rows = read_table("table_1")
    sizes, _ = rows.pop(_SIZE), rows.pop(_AVERAGE)  # means are computed, as a configuration may lack cells
    cells = {
        system: {label: Fraction(row[system]) for label, row in rows.items() if row[system] != "-"} for system in sizes
    }
    return Published(sizes, cells)


def rounded(value: Fraction, digits: int = 2) -> str:
    """Decimal text, halves up: 3.335 is 3.34 (as a binary float it would be 3.33)."""
    scaled = math.floor(value * 10**digits + Fraction(1, 2))
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}}"


def mean(cells: Mapping[str, Fraction], labels: Sequence[str]) -> Optional[Fraction]:
    """Plain mean over the cells that exist, as in the paper; None without any."""
    values = [cells[label] for label in labels if label in cells]
    return sum(values, Fraction(0)) / len(values) if values else None


def duel(ours: Mapping[str, Fraction], theirs: Mapping[str, Fraction]) -> Tuple[int, int, int]:
    """Cells that we win (a lower rate), lose and share, among those that both have, at the two printed digits."""
    pairs = [(Fraction(rounded(ours[label])), Fraction(rounded(theirs[label]))) for label in ours if label in theirs]
    ties = sum(our_rate == their_rate for our_rate, their_rate in pairs)
    wins = sum(our_rate < their_rate for our_rate, their_rate in pairs)
    return wins, len(pairs) - wins - ties, ties
