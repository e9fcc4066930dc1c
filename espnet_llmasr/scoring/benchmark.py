"""Systems on the benchmarks of a configuration, cell by cell: the published ones of arXiv 2604.08003 and others.

The published figures are in paper_tables/table_*.tsv with their source. Rates are percent, as `Fraction`, so that the
arithmetic is exact and halves round up.
"""

import csv
import logging
import math
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.metrics.error_rate import SetCounts
from espnet_llmasr.metrics.hallucination import judge
from espnet_llmasr.metrics.intervals import Interval, wilson_interval
from espnet_llmasr.scoring.results import json_text
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse
from espnet_llmasr.text.routes import Route, make_route

FOLDER = Path(__file__).with_name("paper_tables")
PAPER = "arXiv 2604.08003"
SCENARIOS = ("Mandarin", "Chinese Dialect", "English", "Code-switch")
_SIZE, _AVERAGE = "Model Size", "Avg. CER/WER"
KEYS = ("name", "scenario", "cells")


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


class Cell(NamedTuple):
    """A row of Table 1 or a further one: its label ("LibriSpeech dev-clean"), its scenario, and its set of data."""

    label: str
    scenario: str
    set: str


def read_cells(benchmarks: object, where: str) -> List[Cell]:
    """The list `benchmarks` of a configuration as cells, in its order.

    Raises:
        ValueError: another form, an unknown key or scenario, a cell without set, or one set or cell given twice.
    """
    if benchmarks is None:
        raise ValueError("no benchmarks: give --config conf/benchmark.yaml")
    if not isinstance(benchmarks, list) or not benchmarks:
        raise ValueError(f"{where}: benchmarks must be a list of {{{', '.join(KEYS)}}}, as in conf/benchmark.yaml")
    cells = [cell for row in benchmarks for cell in _cells_of(row, where)]
    for what, values in (("cell", [cell.label for cell in cells]), ("set", [cell.set for cell in cells])):
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{where}: {what} '{value}' is given twice")
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
            raise ValueError(f"{where}, {name}: cell '{cell}' has no set: name a folder below --ref_dir and --hyp_dir")
    return [Cell(f"{name} {cell}", scenario, *clean_names([data])) for cell, data in sets.items()]


class ScoredCell(NamedTuple):
    """A cell of a system that was scored here."""

    counts: SetCounts
    hallucinated: List[str]  # ids, by the definition `paper`
    interval: Interval  # percent, the one of bin.score


@dataclass
class System:
    """A column of the tables: percent by label; of a system scored here also the counts (`scored`)."""

    name: str
    size: str
    rates: Dict[str, Fraction] = field(default_factory=dict)
    scored: Dict[str, ScoredCell] = field(default_factory=dict)
    absent: Dict[str, str] = field(default_factory=dict)  # label -> why

    @property
    def is_published(self) -> bool:
        return not self.scored

    def interval(self, labels: Sequence[str]) -> Interval:
        """95 % interval in percent of the mean over the cells that were scored, at least one.

        The cells are independent, so the distances of their rates to the ends of their intervals are added as squares,
        each end by itself (MOVER; Zou and Donner, 2008). A single cell keeps its own. (nan, nan) if a cell has none.
        """
        scored = [label for label in labels if label in self.scored]
        rates = [float(self.rates[label]) for label in scored]
        lows, highs = zip(*(self.scored[label].interval for label in scored))
        middle = sum(rates) / len(rates)
        return middle - math.dist(rates, lows) / len(rates), middle + math.dist(rates, highs) / len(rates)

    def hallucinations(self, labels: Sequence[str]) -> Tuple[int, int]:
        """(hallucinated utterances, utterances) over the cells that were scored."""
        scored = [self.scored[label] for label in labels if label in self.scored]
        return sum(len(cell.hallucinated) for cell in scored), sum(len(cell.counts) for cell in scored)


def check_options(
    ref_dir: Optional[Path],
    hyp_dirs: Sequence[Path],
    names: Sequence[str],
    sizes: Sequence[str],
    inference_args: Optional[str],
    out: Optional[Path],
) -> None:
    """Raises ValueError where options of bin.benchmark do not fit together."""
    for option, values in (("hyp_dir", hyp_dirs), ("name", names), ("size", sizes)):
        if not isinstance(values, list):
            raise ValueError(f"{option} must be a list in the configuration: [{values}]")
    if bool(hyp_dirs) != bool(ref_dir):
        raise ValueError("--ref_dir and --hyp_dir go together: the references and the hypotheses of a system")
    if (names or sizes) and not hyp_dirs:
        raise ValueError("--name and --size are of systems of --hyp_dir: give their folders, too")
    if inference_args and len(hyp_dirs) != 1:
        raise ValueError("--inference_args decodes for one system: give one --hyp_dir, the folder for its hypotheses")
    if out and out.suffix == ".json":
        raise ValueError(f"--out {out} is the markdown file, the .json goes beside it: name it .md")


def compare_with_paper(
    cells: Sequence[Cell],
    route: str,
    ref_dir: Optional[Path] = None,
    hyp_dirs: Sequence[Path] = (),
    names: Sequence[str] = (),
    sizes: Sequence[str] = (),
) -> Tuple[List[System], str]:
    """The published systems, and beside them one for each folder of hypotheses; the route with its version, if used.

    Raises:
        ValueError: names or sizes that do not fit, no set in both folders, texts that do not fit.
    """
    table, labels = read_table_1(), [cell.label for cell in cells]
    systems = [
        System(name, table.sizes[name], {label: rates[label] for label in labels if label in rates})
        for name, rates in table.cells.items()
    ]
    if not hyp_dirs:
        return systems, ""
    own = own_systems(hyp_dirs, names, sizes, [system.name for system in systems])
    normalizer = make_route(route)
    for system, hyp_dir in zip(own, hyp_dirs):
        score_system(system, cells, ref_dir, hyp_dir, normalizer)
    return systems + own, str(normalizer)


def own_systems(
    hyp_dirs: Sequence[Path], names: Sequence[str], sizes: Sequence[str], taken: Sequence[str]
) -> List[System]:
    """A system, not scored yet, for each folder of hypotheses.

    Raises:
        ValueError: not one name and size for each folder, a name that is taken or breaks a table.
    """
    names = list(map(str, names)) or (["Ours"] if len(hyp_dirs) == 1 else [str(path) for path in hyp_dirs])
    sizes = list(map(str, sizes)) or ["-"] * len(hyp_dirs)
    for option, values in (("--name", names), ("--size", sizes)):
        if len(values) != len(hyp_dirs):
            raise ValueError(f"{len(hyp_dirs)} folders of --hyp_dir but {len(values)} of {option}: give one for each")
        for value in values:
            if "|" in value or len(value.splitlines()) != 1:
                raise ValueError(f"{option} {value!r}: a name is one line without |")
    for number, name in enumerate(names):
        if name in (*taken, *names[:number]):
            raise ValueError(f"the name '{name}' is taken: choose another --name than {', '.join(taken)}")
    return [System(name, size) for name, size in zip(names, sizes)]


def decode_missing(cells: Sequence[Cell], ref_dir: Path, hyp_dir: Path, options: str) -> None:
    """Runs bin.llm_asr_inference with these options for every set that has audio and no hypotheses yet.

    Raises:
        ValueError: it failed.
    """
    command = [sys.executable, "-m", "espnet_llmasr.bin.llm_asr_inference", *shlex.split(options)]
    for cell in cells:
        data_dir, out_dir = ref_dir / cell.set, hyp_dir / cell.set
        if (out_dir / "text").exists() or not (data_dir / "wav.scp").exists():
            continue
        logging.info("decoding %s to %s", data_dir, out_dir)
        done = subprocess.run([*command, "--data_dir", str(data_dir), "--output_dir", str(out_dir)])
        if done.returncode:
            raise ValueError(f"decoding {data_dir} failed: see the message above and correct --inference_args")


def score_system(system: System, cells: Sequence[Cell], ref_dir: Path, hyp_dir: Path, route: Route) -> None:
    """Fills a system from <ref_dir>/<set>/text and <hyp_dir>/<set>/text; `absent` gets the sets that one of them lacks.

    Raises:
        ValueError: no set in both folders, hypotheses that do not fit (all of all sets), references without a token.
    """
    problems: List[str] = []
    test_sets: Dict[Cell, TestSet] = {}
    for cell in cells:
        lacking = [folder for folder in (ref_dir, hyp_dir) if not (folder / cell.set / "text").is_file()]
        if lacking:
            system.absent[cell.label] = f"no {'references' if lacking[0] == ref_dir else 'hypotheses'} in {lacking[0]}"
        else:
            test_sets[cell] = check_set(ref_dir, hyp_dir, cell.set, problems)
    refuse(problems)
    for cell, test_set in test_sets.items():
        score = test_set.score(route)
        total = score.total()
        if not total.reference_length:
            raise ValueError(f"{ref_dir / cell.set}/text has no token to score: are its transcripts empty?")
        system.rates[cell.label] = Fraction(100 * total.errors, total.reference_length)
        sides = zip(score.ids, score.references, score.hypotheses)
        hallucinated = [uid for uid, *tokens in sides if "paper" in judge(*tokens)]
        low, high = score.interval()
        system.scored[cell.label] = ScoredCell(score, hallucinated, (100 * low, 100 * high))
    if not system.scored:
        sets = ", ".join(cell.set for cell in cells[:3])
        raise ValueError(
            f"no set of the configuration is in both {ref_dir} and {hyp_dir}: expected <set>/text for {sets}, ..."
        )


def to_json(cells: Sequence[Cell], systems: Sequence[System], route: str) -> str:
    """All figures, unrounded, in percent."""
    groups = {**labels_of(cells), "all": [cell.label for cell in cells]}
    figures = {"source": "arXiv 2604.08003v1, Table 1", "route": route or None, "systems": {}}
    for system in systems:
        figures["systems"][system.name] = {
            "size": system.size,
            "published": system.is_published,
            "cells": {cell.label: _cell_figures(system, cell) for cell in cells},
            "means": {name: _mean_figures(system, labels) for name, labels in groups.items()},
            "absent": system.absent,
        }
    return json_text(figures)


def labels_of(cells: Sequence[Cell]) -> Dict[str, List[str]]:
    """Scenario -> labels, in the paper's order of scenarios."""
    groups = {name: [cell.label for cell in cells if cell.scenario == name] for name in SCENARIOS}
    return {name: labels for name, labels in groups.items() if labels}


def _mean_figures(system: System, labels: Sequence[str]) -> Optional[Dict]:
    value = mean(system.rates, labels)
    if value is None:
        return None
    figures = {"rate": float(value), "cells": sum(label in system.rates for label in labels)}
    if system.is_published:
        return figures
    hits, total = system.hallucinations(labels)
    bounds = [100 * bound for bound in wilson_interval(hits, total)]
    hallucinations = {"hits": hits, "utterances": total, "interval": bounds}
    return {**figures, "interval": system.interval(labels), "hallucinations": hallucinations}


def _cell_figures(system: System, cell: Cell) -> Optional[Dict]:
    if cell.label not in system.rates:
        return None
    figures = {"rate": float(system.rates[cell.label])}
    if system.is_published:
        return figures
    counts, hallucinated, interval = system.scored[cell.label]
    return {
        **figures,
        "interval": interval,
        "set": cell.set,
        "utterances": len(counts),
        **counts.total()._asdict(),
        "empty_hypotheses": counts.empty_hypotheses,
        "scored_without_route": counts.fallbacks,
        "hallucinated": hallucinated,
    }
