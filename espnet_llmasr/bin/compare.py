"""Is one system better than another? Their hypotheses for the same test sets, paired utterance by utterance.

    python -m espnet_llmasr.bin.compare --ref dump --hyp exp/joint_sft/decode --hyp_other exp/ia_sft/decode

Reads <ref>/<set>/text and <set>/text of both folders, as strictly as bin.score, and prints a table and a sentence a
set. A system is called by the part of its path in which the two differ.
"""

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.scoring.sidecar import Beside, read_beside
from espnet_llmasr.cli import Parser, run
from espnet_llmasr.scoring.html import render
from espnet_llmasr.scoring.results import Result, analyse, finite, page_row, utterances
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse, set_names, title_of_all, write_results
from espnet_llmasr.scoring.markdown import markdown
from espnet_llmasr.metrics.error_rate import SetScore
from espnet_llmasr.metrics.significance import RESAMPLES, Comparison, compare
from espnet_llmasr.text.routes import ROUTES, make_route

PAGE_ROWS = 25  # utterances of each section
PARTS = {"all": "MER", "han": "CER zh", "words": "WER en"}
COLUMNS = "set|rate|utts|{a} %|{b} %|difference (95 %)|relative % (95 %)|p|{a} ahead|{a}/{b}/equal|needed"
FOOTNOTE = (
    "Route {route}. Difference: {b} less {a} in points, positive where {a} is better; relative: in percent of the "
    "errors of {b}. p (two-sided) and 95 % intervals: {resamples} paired bootstrap samples of the utterances, which "
    "are taken as independent; every p stands for itself, so of 20 comparisons of equal systems one has p < 0.05. "
    "{a} ahead: share of the samples in which {a} makes fewer errors. {a}/{b}/equal: utterances with fewer errors by "
    "either, and others. Needed: utterances like these for a chance of 80 % of p < 0.05, if the true difference is the "
    "one seen. ?: an end that is not known."
)


class Pair(NamedTuple):
    """Both systems on one set: texts, what lies beside them, results."""

    name: str
    sets: Tuple[TestSet, TestSet]
    beside: Tuple[Beside, Beside]
    results: Tuple[Result, Result]


Scores = Tuple[SetScore, SetScore]


def system_names(a: Path, b: Path) -> Tuple[str, str]:
    """The last parts in which two paths differ: joint_sft and ia_sft for exp/joint_sft/decode and exp/ia_sft/decode."""
    if a.resolve() == b.resolve():
        raise ValueError(f"--hyp and --hyp_other are both {a}: give the folders of two systems")
    for names in zip(*(reversed(path.absolute().parts) for path in (a, b))):
        if names[0] != names[1] and "/" not in names:
            return names
    return str(a), str(b)


def common_sets(args: Namespace) -> Tuple[List[str], List[str]]:
    """The sets that were asked for, else those that all three folders have, and those that only one or two have."""
    if args.sets:
        return clean_names(args.sets), []
    (mine, *alone), (others, *alone_other) = (set_names(args.ref, folder) for folder in (args.hyp, args.hyp_other))
    names = [name for name in mine if name in others]
    if not names:
        raise ValueError(
            f"{args.hyp} has the sets {', '.join(mine)}, {args.hyp_other} {', '.join(others)}: none in common"
        )
    return names, sorted(set(mine + others).union(*alone, *alone_other).difference(names))


def read_pairs(args: Namespace, names: Sequence[str]) -> List[Pair]:
    """These sets of both systems, scored.

    Raises:
        ValueError: with all problems of all files in one line.
    """
    route, problems, read = make_route(args.route), [], []
    for name in names:
        folders = (args.hyp, args.hyp_other)
        sets = tuple(check_set(args.ref, folder, name, problems) for folder in folders)
        beside = tuple(read_beside(args.ref, folder, test_set, problems) for folder, test_set in zip(folders, sets))
        read.append((args.ref.resolve().name if name == "." else name, sets, beside))
    refuse(list(dict.fromkeys(problems)))  # those of the references are met twice
    return [
        Pair(name, sets, beside, tuple(analyse(*one, [route]) for one in zip(sets, beside)))
        for name, sets, beside in read
    ]


def scores_by_set(pairs: Sequence[Pair]) -> Dict[str, Scores]:
    """Several sets are followed by all utterances taken together."""
    scores = {pair.name: tuple(result.main for result in pair.results) for pair in pairs}
    if len(scores) > 1:
        scores[title_of_all(scores)] = tuple(sum(column, SetScore()) for column in zip(*scores.values()))
    return scores


def compare_parts(scores: Scores) -> Dict[str, Comparison]:
    """Of all tokens and, where the references have both scripts, of either part."""
    a, b = scores
    parts = PARTS if a.lengths("han").any() and a.lengths("words").any() else ["all"]
    return {part: compare(a.errors(part), b.errors(part), a.lengths(part)) for part in parts}


def sentence(result: Comparison, a: str, b: str) -> str:
    """What can be said, in words."""
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
    enough = (
        f"{needed} would do"
        if result.needed <= result.utterances
        else f"to find it again with a chance of 80 % takes about {needed}"
    )
    return f"{better} is better than {other} by {gain}, {result.utterances:,} utterances; {enough}."


def round_up(number: float) -> int:
    """To two digits, as more are not known."""
    step = 10 ** max(0, len(str(int(number))) - 2)
    return math.ceil(number / step) * step


def p_value(p: float) -> str:
    return f"{p:.2f}" if p >= 0.1 else f"{p:.3f}" if p >= 0.001 else f"{p:.4f}"


def bounds(value: float, interval: Sequence[float]) -> str:
    """In percent or points; "-" for what is not known."""
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
    """The sentences, the table and what its columns mean, as markdown."""
    a, b = (name.replace("|", "\\|") for name in (a, b))
    header = [column.format(a=a, b=b) for column in COLUMNS.split("|")]
    rows = [
        cells(name.replace("|", "\\|"), part, result)
        for name, parts in compared.items()
        for part, result in parts.items()
    ]
    table = markdown([header, *rows], left=2)
    said = "".join(f"- {name}: {sentence(parts['all'], a, b)}\n" for name, parts in compared.items())
    if left_out:
        said += f"- Not compared, as not in all three folders: {', '.join(left_out)}.\n"
    return f"{said}\n{table}\n{FOOTNOTE.format(a=a, b=b, route=route, resamples=RESAMPLES)}\n"


def as_json(result: Comparison) -> Dict:
    """All figures; null where there is no such number."""
    figures = {**result._asdict(), "ties": result.ties}
    return {
        name: list(map(finite, value)) if isinstance(value, tuple) else finite(value) for name, value in figures.items()
    }


def page(pairs: Sequence[Pair], names: Sequence[str], route: str, folder: Path) -> str:
    """The utterances on which the systems differ most, first those on which the first one is better."""
    differing = []
    for pair in pairs:
        columns = [
            utterances(f"{pair.name}: {name}", *one, route)
            for name, *one in zip(names, pair.sets, pair.beside, pair.results)
        ]
        differing += [tuple(map(page_row, rows)) for rows in zip(*columns)]
    sections = []
    for better, sign in zip(names, (1, -1)):
        gains = [(sign * (b["counts"].errors - a["counts"].errors), (a, b)) for a, b in differing]
        gains = sorted((gain for gain in gains if gain[0] > 0), key=lambda gain: -gain[0])
        rows = [{**row, "rank": rank} for rank, (_, both) in enumerate(gains[:PAGE_ROWS], 1) for row in both]
        sections.append((f"{better} makes fewer errors ({len(rows) // 2} of {len(gains)} utterances)", rows))
    return render(f"{names[0]} and {names[1]}: where they differ most", sections, [f"Route {route}."], folder)


def get_parser() -> Parser:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help="without: every set that all folders have")
    parser.add_argument("--ref", type=Path, required=True, help="holds <set>/text, or text alone")
    parser.add_argument("--hyp", type=Path, required=True, help="the same of the hypotheses of one system")
    parser.add_argument("--hyp_other", type=Path, required=True, help="and of another one")
    parser.add_argument("--route", choices=ROUTES, default="paper", help="normaliser of the text of all three")
    parser.add_argument("--out", type=Path, help="file for all figures as JSON")
    parser.add_argument("--page", type=Path, help="file for a page (HTML) of the utterances that differ most")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    names = system_names(args.hyp, args.hyp_other)
    route = str(make_route(args.route))
    common, left_out = common_sets(args)
    pairs, files = read_pairs(args, common), []
    compared = {name: compare_parts(scores) for name, scores in scores_by_set(pairs).items()}
    if args.out:
        sets = {name: {part: as_json(result) for part, result in parts.items()} for name, parts in compared.items()}
        paths = {"ref": str(args.ref), "a": str(args.hyp), "b": str(args.hyp_other)}
        figures = {**paths, "names": names, "route": route, "resamples": RESAMPLES, "not_compared": left_out}
        figures["sets"] = sets
        files.append((args.out, json.dumps(figures, ensure_ascii=False, indent=1, allow_nan=False) + "\n"))
    if args.page:
        files.append((args.page, page(pairs, names, route, args.page.absolute().parent)))
    write_results(files)
    print(report(compared, *names, route, left_out), end="")


if __name__ == "__main__":
    run(main)
