"""The figures of arXiv 2604.08003, as printed, and the recomputation of its means; exact arithmetic throughout.

paper_tables/table_*.tsv hold them with their source. Rates are percent, as `Fraction`, so that halves round as on paper.
"""

import csv
import math
from fractions import Fraction
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

FOLDER = Path(__file__).with_name("paper_tables")
PAPER = "arXiv 2604.08003"
SCENARIOS = ("Mandarin", "Chinese Dialect", "English", "Code-switch")
PUBLIC_UTTERANCES = {"English": 14_721, "Chinese Dialect": 35_526}
"""Utterances of the published test sets: LibriSpeech 11,126 and VoxPopuli 3,595; WSC-Eval easy 6,981 and hard 1,392,
WSYue-ASR-eval short 7,060 and long 370 recordings, KeSpeech 19,723."""

_SIZE, _AVERAGE = "Model Size", "Avg. CER/WER"


class Published(NamedTuple):
    """Table 1: system -> size, -> cell -> percent (a dialect that it does not support is left out), -> printed mean."""

    sizes: Dict[str, str]
    cells: Dict[str, Dict[str, Fraction]]
    averages: Dict[str, str]

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
    sizes, averages = rows.pop(_SIZE), rows.pop(_AVERAGE)
    cells = {
        system: {label: Fraction(row[system]) for label, row in rows.items() if row[system] != "-"} for system in sizes
    }
    return Published(sizes, cells, averages)


def rounded(value: Fraction, digits: int = 2) -> str:
    """Decimal text, halves up: 3.335 is 3.34 (as a binary float it would be 3.33)."""
    scaled = math.floor(value * 10**digits + Fraction(1, 2))
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}}"


def mean(cells: Mapping[str, Fraction], labels: Sequence[str]) -> Optional[Fraction]:
    """Plain mean over those of the cells that are there, as the paper has it; None if none is."""
    values = [cells[label] for label in labels if label in cells]
    return sum(values, Fraction(0)) / len(values) if values else None


def duel(ours: Mapping[str, Fraction], theirs: Mapping[str, Fraction]) -> Tuple[int, int, int]:
    """Cells that we win (a lower rate), lose and share, among those that both have, at the two printed digits."""
    pairs = [(rounded(ours[label]), rounded(theirs[label])) for label in ours if label in theirs]
    ties = sum(mine == other for mine, other in pairs)
    wins = sum(Fraction(mine) < Fraction(other) for mine, other in pairs)
    return wins, len(pairs) - wins - ties, ties


def smallest_pool(rates: Sequence[str], limit: int = 100_000) -> Optional[int]:
    """The fewest utterances of which every printed rate (percent, three digits) is a whole number; None above `limit`.

    hits / total is printed as `rate` if floor(100000 * hits / total + 1/2) = 1000 * rate.
    """
    whole = sorted((int(Fraction(rate) * 1000) for rate in rates), reverse=True)
    for total in range(1, limit + 1):
        if all(whole_hits(rate, total) is not None for rate in whole):
            return total
    return None


def whole_hits(rate: int, total: int) -> Optional[int]:
    """The hits of `total` that are printed as rate / 1000 percent, or None."""
    hits = -((1 - 2 * rate) * total // 200_000)  # the least that does not round to less
    return hits if (200_000 * hits + total) // (2 * total) == rate else None


def check_paper(scenario_of: Mapping[str, str]) -> Iterator[str]:
    """One line for each thing that was recomputed from the paper's tables; cell -> scenario as the config has it."""
    table = read_table_1()
    yield from _check_averages(table)
    yield from _check_table_3(table, scenario_of)
    yield from _check_table_2()


def _check_averages(table: Published) -> Iterator[str]:
    means = {system: rounded(mean(cells, table.labels)) for system, cells in table.cells.items()}
    wrong = {system for system in means if means[system] != table.averages[system]}
    yield (
        f"Table 1, averages: {len(means) - len(wrong)} of {len(means)} agree to the printed digit with the plain mean "
        "of the system's cells."
    )
    for system in sorted(wrong):
        yield f"Table 1, {system}: the mean of its cells is {means[system]}, printed is {table.averages[system]}."
    for system, cells in table.cells.items():
        if len(cells) < len(table.labels):
            common = rounded(mean(table.cells[PAPER], list(cells)))
            yield (
                f"Table 1, {system}: its average of {means[system]} is over {len(cells)} cells, the others' over "
                f"{len(table.labels)}; over the same {len(cells)} the paper's own is {common}, not {means[PAPER]}."
            )


def _check_table_3(table: Published, scenario_of: Mapping[str, str]) -> Iterator[str]:
    full = next(iter(read_table("table_3").values()))
    for scenario, printed in full.items():
        labels = [label for label in table.labels if scenario_of.get(label) == scenario]
        if not labels:
            continue
        value = mean(table.cells[PAPER], labels)
        line = f"Table 3, {scenario}: {printed}; the mean of its {len(labels)} cells in Table 1 is {rounded(value, 3)}"
        slack = abs(Fraction(printed) - value)
        if rounded(value) == printed:
            yield f"{line}, which agrees."
        elif slack <= Fraction(1, 100):  # half a digit of the cells and half a digit of the mean
            yield f"{line}, which agrees if the mean is of cells that were not rounded."
        else:
            yield f"{line}: a slip, which rounded cells cannot explain (they move a mean by 0.005 at most)."


def _check_table_2() -> Iterator[str]:
    rows = read_table("table_2")
    for scenario in SCENARIOS:
        rates = [row[scenario] for row in rows.values()]
        pool, public = smallest_pool(rates), PUBLIC_UTTERANCES.get(scenario)
        line = f"Table 2, {scenario}: all {len(rates)} rates are whole numbers only of {pool:,} utterances or more"
        if public is None:
            yield f"{line}."
        elif pool > public:
            yield f"{line}; the published sets have {public:,}. How the rates were pooled is open."
        else:
            hits = sorted({rate: whole_hits(int(Fraction(rate) * 1000), public) for rate in rates}.items())
            counts = ", ".join(f"{rate} % is {count}" for rate, count in hits)
            yield f"{line}; of the {public:,} utterances of the published sets {counts}."
