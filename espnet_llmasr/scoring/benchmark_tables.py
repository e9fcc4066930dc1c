"""Tables 1 and 2 of arXiv 2604.08003 in Markdown, with systems scored here beside the published ones."""

import math
from dataclasses import replace
from typing import Dict, Iterator, List, Sequence

from espnet_llmasr.metrics.error_rate import LETTERS
from espnet_llmasr.metrics.hallucination import DESCRIPTIONS
from espnet_llmasr.metrics.intervals import wilson_interval
from espnet_llmasr.scoring.benchmark import (
    PAPER,
    Cell,
    System,
    duel,
    labels_of,
    mean,
    read_table,
    read_table_1,
    rounded,
)
from espnet_llmasr.scoring.markdown import bullets, cell_text, markdown, percent

PUBLISHED_NOTE = (
    f'Published: Tables 1 and 2 of arXiv 2604.08003v1 ({PAPER} is "Ours" there), with WeTextProcessing on both sides. '
    "All means are computed here: the plain mean over the cells that a system has, whatever their sizes."
)
OWN_NOTE = (
    "Tokens are Han characters and other words: the rate is the CER of Mandarin and dialects, the WER of English, and "
    "the MER of code-switch sets, where the paper takes CER and does not say whether it counts letters."
)
INTERVAL_NOTE = (
    "95 % intervals in brackets: bootstrap over the utterances of a cell; for a mean the cells' distances to their "
    "ends are added as squares (MOVER). Win:lose: at two digits, over the cells that both have."
)


def rate_cell(system: System, labels: Sequence[str]) -> str:
    """The mean over the cells that exist, with its interval for a system scored here."""
    value = mean(system.rates, labels)
    if value is None:
        return "-"
    if system.is_published:
        return rounded(value)
    low, high = system.interval(labels)
    return rounded(value) if math.isnan(low) else f"{rounded(value)} ({low:.2f}-{high:.2f})"


def table_1(cells: Sequence[Cell], systems: Sequence[System]) -> str:
    """Cells, means of the scenarios and of all cells, number of cells, and win:lose."""
    rows = [["", *(system.name for system in systems)], ["Model size", *(system.size for system in systems)]]
    for scenario, labels in labels_of(cells).items():
        rows.append([f"**{scenario}**", *[""] * len(systems)])
        rows += [[cell_text(label), *(rate_cell(system, [label]) for system in systems)] for label in labels]
        rows.append([f"*mean of {scenario}*", *(rate_cell(system, labels) for system in systems)])
    labels = [cell.label for cell in cells]
    rows.append(["**Average**", *(rate_cell(system, labels) for system in systems)])
    rows.append(["cells in it", *(str(sum(label in system.rates for label in labels)) for system in systems)])
    own = [system for system in systems if not system.is_published]
    for system in (system for system in own if len(system.rates) < len(labels)):
        title = f"average over the cells of {system.name}"
        rows.append([title, *(_common_mean(system, other) for other in systems)])
    for system in [*(system for system in systems if system.name == PAPER), *own]:
        rows.append([f"win:lose (ties) of {system.name}", *(_duel_cell(system, other) for other in systems)])
    return markdown(rows)


def _common_mean(system: System, other: System) -> str:
    """The mean of `other` over the cells of `system`; "-" if `other` lacks a cell."""
    labels = list(system.rates)
    return rounded(mean(other.rates, labels)) if all(label in other.rates for label in labels) else "-"


def _duel_cell(system: System, other: System) -> str:
    if system is other:
        return ""
    wins, losses, ties = duel(system.rates, other.rates)
    return f"{wins}:{losses}" + (f" ({ties})" if ties else "")


def table_as_printed(name: str, cells: Sequence[Cell]) -> List[List[str]]:
    """Table 2 (hallucination rates) or 3 (the ablation) of the paper, with the scenarios of these cells."""
    groups = labels_of(cells)
    return [["", *groups], *([row, *(rates[name] for name in groups)] for row, rates in read_table(name).items())]


def _hallucination_cell(system: System, labels: Sequence[str]) -> str:
    hits, total = system.hallucinations(labels)
    if not total:
        return "-"
    low, high = (100 * bound for bound in wilson_interval(hits, total))
    scored = sum(label in system.scored for label in labels)
    part = "" if scored == len(labels) else f"; {scored} of {len(labels)} sets"
    return f"{100 * hits / total:.3f} ({low:.3f}-{high:.3f}; {hits}/{total:,}{part})"


def notes(cells: Sequence[Cell], system: System) -> Iterator[str]:
    """Remarks on the column of a system that was scored here."""
    sets = {cell.label: cell.set for cell in cells}
    counts = {label: cell.counts for label, cell in system.scored.items()}
    empty = {label: count.empty_hypotheses for label, count in counts.items()}
    deleted = {label: len(count.fallbacks) for label, count in counts.items()}
    if system.absent:
        yield absence(system, cells)
    for subject, numbers in (
        ("empty hypotheses", empty),
        ("references that the normaliser would delete, scored without it", deleted),
    ):
        where = ", ".join(f"{number} in {cell_text(sets[label])}" for label, number in numbers.items() if number)
        if where:
            yield f"{system.name}: {subject}: {where}."
    switched = [cell.label for cell in cells if cell.scenario == "Code-switch" and cell.label in counts]
    rates = ", ".join(f"{cell_text(label)} {percent(counts[label].total(LETTERS).rate)}" for label in switched)
    if rates:
        yield f"{system.name}: code-switch CER with each Latin letter as a character: {rates}."


def absence(system: System, cells: Sequence[Cell]) -> str:
    """Which cells a system lacks and why, in one line; only with some."""
    sets = {cell.label: cell.set for cell in cells}
    reasons: Dict[str, List[str]] = {}
    for label, reason in system.absent.items():
        reasons.setdefault(reason, []).append(cell_text(sets[label]))
    listed = "; ".join(f"{reason} for {', '.join(names)}" for reason, names in reasons.items())
    return (
        f"{system.name}: {len(system.absent)} of {len(cells)} sets are not there, so its averages are not the paper's "
        f"averages: {listed}."
    )


def page(cells: Sequence[Cell], systems: Sequence[System], route: str) -> str:
    """Tables 1 and 2 with their notes; without a system scored here also Table 3, the paper's ablation."""
    systems = [replace(system, name=cell_text(system.name), size=cell_text(system.size)) for system in systems]
    own = [system for system in systems if not system.is_published]
    first, second = [PUBLISHED_NOTE], ["Hallucinated utterances of all utterances of a scenario; published as printed."]
    unknown = [cell_text(cell.label) for cell in cells if cell.label not in read_table_1().labels]
    if unknown:
        first.append(f"Not in the paper's Table 1: {', '.join(unknown)}.")
    if own:
        names = ", ".join(system.name for system in own)
        first += [f"Scored here: {names}. Normaliser route: {route}. {OWN_NOTE}", INTERVAL_NOTE]
        first += [note for system in own for note in notes(cells, system)]
        second.append(f"{names}: with Wilson's 95 % interval and the counts. Hallucination: {DESCRIPTIONS['paper']}")
    second_rows = table_as_printed("table_2", cells)
    groups = labels_of(cells).values()
    second_rows += [[system.name, *(_hallucination_cell(system, labels) for labels in groups)] for system in own]
    parts = {
        "Table 1: CER and WER in percent": f"{table_1(cells, systems)}\n{bullets(first)}",
        "Table 2: hallucination rate in percent": f"{markdown(second_rows)}\n{bullets(second)}",
    }
    if not own:
        parts["Table 3: ablation, mean CER or WER in percent"] = markdown(table_as_printed("table_3", cells))
    return "\n".join(f"## {title}\n\n{part}" for title, part in parts.items())
