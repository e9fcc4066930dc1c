"""Compares two systems on the same test sets, paired utterance by utterance."""

import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.metrics.error_rate import SetCounts
from espnet_llmasr.metrics.significance import RESAMPLES, Comparison, compare
from espnet_llmasr.scoring.html import render
from espnet_llmasr.scoring.markdown import bullets, cell_text, markdown, p_value
from espnet_llmasr.scoring.results import SetResult, analyse, json_text, page_row, utterances
from espnet_llmasr.scoring.sidecar import Sidecar, read_sidecar
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse, set_names, with_sum, write_results
from espnet_llmasr.text.routes import MAIN_ROUTE, Route, make_route

PAGE_ROWS = 25  # utterances of each section
PARTS = {"all": "MER", "han": "CER zh", "words": "WER en"}
COLUMNS = "set|rate|utts|{a} %|{b} %|difference (95 %)|relative % (95 %)|p|{a} ahead|{a}/{b}/equal|needed"
FOOTNOTE = (
    "Route {route}. Difference: {b} less {a} in points, positive where {a} is better; relative: in percent of the "
    "errors of {b}. p (two-sided) and 95 % intervals: {resamples} paired bootstrap samples of the utterances, which "
    "are taken as independent; p is not corrected, so one of 20 comparisons of equal systems has p < 0.05. "
    "{a} ahead: share of the samples in which {a} makes fewer errors. {a}/{b}/equal: utterances with fewer errors by "
    "either, and others. Needed: utterances like these for a chance of 80 % of p < 0.05, if the true difference is the "
    "one seen. ?: an end that is not known."
)


class PairedSet(NamedTuple):
    """Both systems on one set."""

    name: str
    sets: Tuple[TestSet, TestSet]
    sidecars: Tuple[Sidecar, Sidecar]
    results: Tuple[SetResult, SetResult]


def compare_systems(
    ref_dir: Path,
    hyp_dir: Path,
    other_hyp_dir: Path,
    sets: Sequence[str] = (),
    route: str = MAIN_ROUTE,
    out: Optional[Path] = None,
    page: Optional[Path] = None,
) -> str:
    """Compares the hypotheses of two folders on `sets` (without any: all sets of all three folders).

    `out`: file for all figures as JSON. `page`: file for the utterances (HTML) on which the systems differ most.

    Returns:
        Sentences and a table in Markdown.

    Raises:
        ValueError: all problems of all files in one line; nothing is written.
    """
    names, normalizer = system_names(hyp_dir, other_hyp_dir), make_route(route)
    folders = (ref_dir, hyp_dir, other_hyp_dir)
    chosen, left_out = (clean_names(sets), []) if sets else common_sets(*folders)
    pairs, files = read_pairs(*folders, chosen, normalizer), []
    compared = {name: compare_parts(*scores) for name, scores in scores_by_set(pairs).items()}
    if out:
        paths = dict(zip(("ref", "a", "b"), map(str, folders)))
        figures = {**paths, "names": names, "route": str(normalizer), "resamples": RESAMPLES, "not_compared": left_out}
        figures["sets"] = {
            name: {part: {**result._asdict(), "ties": result.ties} for part, result in parts.items()}
            for name, parts in compared.items()
        }
        files.append((out, json_text(figures)))
    if page:
        files.append((page, differing_page(pairs, names, str(normalizer), page.absolute().parent)))
    write_results(files)
    return report(compared, *names, str(normalizer), left_out)


def system_names(a: Path, b: Path) -> Tuple[str, str]:
    """The last parts in which two paths differ: joint_sft and ia_sft for exp/joint_sft/decode and exp/ia_sft/decode."""
    if a.resolve() == b.resolve():
        raise ValueError(f"--hyp_dir and --other_hyp_dir are both {a}: give the folders of two systems")
    for names in zip(*(reversed(path.absolute().parts) for path in (a, b))):
        if names[0] != names[1] and "/" not in names:
            return names
    return str(a), str(b)


def common_sets(ref_dir: Path, hyp_dir: Path, other_hyp_dir: Path) -> Tuple[List[str], List[str]]:
    """The sets that all three folders have, and those that only one or two have."""
    (own, *alone), (others, *alone_other) = (set_names(ref_dir, folder) for folder in (hyp_dir, other_hyp_dir))
    names = [name for name in own if name in others]
    if not names:
        raise ValueError(
            f"{hyp_dir} has the sets {', '.join(own)}, {other_hyp_dir} {', '.join(others)}: none in common"
        )
    return names, sorted(set(own + others).union(*alone, *alone_other).difference(names))


def read_pairs(
    ref_dir: Path, hyp_dir: Path, other_hyp_dir: Path, names: Sequence[str], route: Route
) -> List[PairedSet]:
    """These sets of both systems, scored.

    Raises:
        ValueError: all problems of all files in one line.
    """
    folders, problems, pairs = (hyp_dir, other_hyp_dir), [], []
    for name in names:
        sets = tuple(check_set(ref_dir, folder, name, problems) for folder in folders)
        sidecars = tuple(read_sidecar(ref_dir, *of_system, problems) for of_system in zip(folders, sets))
        pairs.append((ref_dir.resolve().name if name == "." else name, sets, sidecars))
    refuse(list(dict.fromkeys(problems)))  # those of the references are met twice
    return [
        PairedSet(name, sets, sidecars, tuple(analyse(*of_system, [route]) for of_system in zip(sets, sidecars)))
        for name, sets, sidecars in pairs
    ]


def scores_by_set(pairs: Sequence[PairedSet]) -> Dict[str, Tuple[SetCounts, SetCounts]]:
    """Several sets are followed by all utterances taken together."""
    systems = [with_sum({pair.name: pair.results[number].main for pair in pairs}) for number in (0, 1)]
    return {name: tuple(scores[name] for scores in systems) for name in systems[0]}


def compare_parts(a: SetCounts, b: SetCounts) -> Dict[str, Comparison]:
    """Of all tokens and, where the references have both scripts, of either part."""
    parts = PARTS if a.lengths("han").any() and a.lengths("words").any() else ["all"]
    return {part: compare(a.errors(part), b.errors(part), a.lengths(part)) for part in parts}


def sentence(result: Comparison, a: str, b: str) -> str:
    """The result of a test in words."""
    if math.isnan(result.difference):
        return "no difference can be shown: less than two utterances have reference tokens."
    if not result.difference:
        return f"no difference can be shown: {a} and {b} make equally many errors."
    better, other, sign = (a, b, 1) if result.difference > 0 else (b, a, -1)
    low, high = sorted(100 * sign * bound for bound in result.interval)
    gain = f"{100 * abs(result.difference):.2f} points ({low:.2f} to {high:.2f}), p = {p_value(result.p)}"
    needed = f"{round_up(result.needed):,}"
    if result.p >= 0.05:
        return f"no difference can be shown: {better} is ahead by {gain}; about {needed} utterances would be needed."
    enough = f"{needed} would do"
    if result.needed > result.utterances:
        enough = f"to find it again with a chance of 80 % takes about {needed}"
    return f"{better} is better than {other} by {gain}, {result.utterances:,} utterances; {enough}."


def round_up(number: float) -> int:
    """To two digits, as more are not known."""
    step = 10 ** max(0, len(str(int(number))) - 2)
    return math.ceil(number / step) * step


def bounds(value: float, interval: Sequence[float]) -> str:
    """In percent or points; "-" for an unknown number."""
    if not math.isfinite(value):
        return "-"
    low, high = (f"{100 * bound:.2f}" if math.isfinite(bound) else "?" for bound in interval)
    return f"{100 * value:.2f} ({low} to {high})"


def cells(name: str, part: str, result: Comparison) -> List[str]:
    """One row of the table in the order of its columns."""
    rates = ["-" if math.isnan(rate) else f"{100 * rate:.2f}" for rate in (result.rate_a, result.rate_b)]
    changes = [bounds(result.difference, result.interval), bounds(result.relative, result.relative_interval)]
    chances = [p_value(result.p), f"{100 * result.a_is_better:.1f} %"]
    wins = f"{result.wins_a}/{result.wins_b}/{result.ties}"
    needed = f"{round_up(result.needed)}" if math.isfinite(result.needed) else "-"
    return [name, PARTS[part], str(result.utterances), *rates, *changes, *chances, wins, needed]


def report(compared: Dict[str, Dict[str, Comparison]], a: str, b: str, route: str, left_out: Sequence[str] = ()) -> str:
    """The sentences, the table and a definition of its columns, in Markdown."""
    a, b = cell_text(a), cell_text(b)
    sentences = [f"{cell_text(name)}: {sentence(parts['all'], a, b)}" for name, parts in compared.items()]
    if left_out:
        sentences.append(f"Not compared, as not in all three folders: {', '.join(map(cell_text, left_out))}.")
    header = [column.format(a=a, b=b) for column in COLUMNS.split("|")]
    rows = [cells(cell_text(name), *row) for name, parts in compared.items() for row in parts.items()]
    table = markdown([header, *rows], left=2)
    return f"{bullets(sentences)}\n{table}\n{FOOTNOTE.format(a=a, b=b, route=route, resamples=RESAMPLES)}\n"


def differing_page(pairs: Sequence[PairedSet], names: Sequence[str], route: str, folder: Path) -> str:
    """The utterances on which the systems differ most, first those on which the first system is better."""
    differing = []
    for pair in pairs:
        systems = zip(names, pair.sets, pair.sidecars, pair.results)
        columns = [utterances(f"{pair.name}: {name}", *of_system, route) for name, *of_system in systems]
        differing += [tuple(map(page_row, rows)) for rows in zip(*columns)]
    sections = []
    for better, sign in zip(names, (1, -1)):
        gains = [(sign * (b["counts"].errors - a["counts"].errors), (a, b)) for a, b in differing]
        gains = sorted((gain for gain in gains if gain[0] > 0), key=lambda gain: -gain[0])
        rows = [{**row, "rank": rank} for rank, (_, pair) in enumerate(gains[:PAGE_ROWS], 1) for row in pair]
        sections.append((f"{better} makes fewer errors ({len(rows) // 2} of {len(gains)} utterances)", rows))
    return render(f"{names[0]} and {names[1]}: where they differ most", sections, [f"Route {route}."], folder)
