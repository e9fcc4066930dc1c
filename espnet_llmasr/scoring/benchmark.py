"""Systems on the benchmarks of a configuration: published ones and those scored here, cell by cell."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.scoring.published import SCENARIOS, mean, read_table_1
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse
from espnet_llmasr.metrics.error_rate import SetScore
from espnet_llmasr.metrics.hallucination import judge
from espnet_llmasr.metrics.intervals import Interval
from espnet_llmasr.text.routes import Route

KEYS = ("name", "scenario", "cells")


class Cell(NamedTuple):
    """A figure of Table 1: its label there ("LibriSpeech dev-clean"), its scenario, and the set of data it is."""

    label: str
    scenario: str
    set: str


def read_cells(benchmarks: object, where: str) -> List[Cell]:
    """The list `benchmarks` of a configuration as cells, in its order.

    Raises:
        ValueError: another form, an unknown key, scenario, benchmark or cell, a cell without set, or one set or cell
            given twice.
    """
    if not isinstance(benchmarks, list) or not benchmarks:
        raise ValueError(f"{where}: benchmarks must be a list of {{{', '.join(KEYS)}}}, as in conf/benchmark.yaml")
    cells = [cell for row in benchmarks for cell in _cells_of(row, where)]
    known = read_table_1().labels
    for what, values in (("cell", [cell.label for cell in cells]), ("set", [cell.set for cell in cells])):
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{where}: {what} '{value}' is given twice")
    for cell in cells:
        if cell.label not in known:
            raise ValueError(f"{where}: Table 1 has no '{cell.label}', its cells are {', '.join(known)}")
    return cells


def _cells_of(row: object, where: str) -> List[Cell]:
    if not isinstance(row, dict) or sorted(map(str, row)) != sorted(KEYS):
        raise ValueError(f"{where}: a benchmark must have {', '.join(KEYS)} and nothing else, not {row}")
    name, scenario, sets = (row[key] for key in KEYS)
    if scenario not in SCENARIOS:
        raise ValueError(f"{where}, {name}: unknown scenario '{scenario}', allowed are {', '.join(SCENARIOS)}")
    if not isinstance(sets, dict) or not sets:
        raise ValueError(f"{where}, {name}: cells must name the set of each cell, as {{test: kespeech_test}}")
    for cell, data in sets.items():
        if not isinstance(data, str) or not data:
            raise ValueError(f"{where}, {name}: cell '{cell}' has no set: give the name of a folder of --ref and --hyp")
    return [Cell(f"{name} {cell}", scenario, *clean_names([data])) for cell, data in sets.items()]


class Scored(NamedTuple):
    """A cell of a system that was scored here."""

    score: SetScore
    hallucinated: List[str]  # ids, by the definition `paper`
    interval: Interval  # percent, the one of bin.score


@dataclass
class System:
    """A column of the tables: percent by label; for one scored here also what it was scored from."""

    name: str
    size: str
    rates: Dict[str, Fraction] = field(default_factory=dict)
    scored: Dict[str, Scored] = field(default_factory=dict)
    absent: Dict[str, str] = field(default_factory=dict)  # label -> why

    @property
    def is_published(self) -> bool:
        return not self.scored

    def mean(self, labels: Sequence[str]) -> Optional[Fraction]:
        return mean(self.rates, labels)

    def interval(self, labels: Sequence[str]) -> Interval:
        """95 % interval in percent of the mean over those of the cells that are there, at least one.

        The cells are independent, so the distances of their rates to the ends of their intervals are added as squares,
        each end by itself (MOVER; Zou and Donner, 2008). Of one cell it is the cell's. (nan, nan) if a cell has none.
        """
        there = [label for label in labels if label in self.scored]
        rates = [float(self.rates[label]) for label in there]
        lows, highs = zip(*(self.scored[label].interval for label in there))
        middle = sum(rates) / len(rates)
        return middle - math.dist(rates, lows) / len(rates), middle + math.dist(rates, highs) / len(rates)

    def hallucinations(self, labels: Sequence[str]) -> Tuple[int, int]:
        """(hallucinated utterances, utterances) over those of the cells that are there."""
        there = [self.scored[label] for label in labels if label in self.scored]
        return sum(len(cell.hallucinated) for cell in there), sum(len(cell.score) for cell in there)


def published_systems(cells: Sequence[Cell]) -> List[System]:
    """The systems of Table 1 with their figures of these cells."""
    table, labels = read_table_1(), [cell.label for cell in cells]
    return [
        System(name, table.sizes[name], {label: rates[label] for label in labels if label in rates})
        for name, rates in table.cells.items()
    ]


def score_system(system: System, cells: Sequence[Cell], ref_dir: Path, hyp_dir: Path, route: Route) -> None:
    """Fills a system from <ref_dir>/<set>/text and <hyp_dir>/<set>/text; a set that one of them lacks is noted.

    Raises:
        ValueError: no set is there, hypotheses that do not fit (all problems of all sets), references without a token.
    """
    problems: List[str] = []
    there: Dict[Cell, TestSet] = {}
    for cell in cells:
        lacking = [folder for folder in (ref_dir, hyp_dir) if not (folder / cell.set / "text").is_file()]
        if lacking:
            system.absent[cell.label] = f"no {'references' if lacking[0] == ref_dir else 'hypotheses'} in {lacking[0]}"
        else:
            there[cell] = check_set(ref_dir, hyp_dir, cell.set, problems)
    refuse(problems)
    for cell, test_set in there.items():
        score = test_set.score(route)
        total = score.total()
        if not total.reference_length:
            raise ValueError(f"{ref_dir / cell.set}/text has no token to score: are its transcripts empty?")
        system.rates[cell.label] = Fraction(100 * total.errors, total.reference_length)
        system.scored[cell.label] = _scored(score)
    if not system.scored:
        sets = ", ".join(cell.set for cell in cells[:3])
        raise ValueError(
            f"no set of the configuration is in both {ref_dir} and {hyp_dir}: expected <set>/text for {sets}, ..."
        )


def _scored(score: SetScore) -> Scored:
    utterances = zip(score.ids, score.references, score.hypotheses)
    hallucinated = [uid for uid, *tokens in utterances if "paper" in judge(*tokens)]
    low, high = score.interval()
    return Scored(score, hallucinated, (100 * low, 100 * high))
