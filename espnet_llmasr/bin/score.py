"""Scores of decoded sets that can be compared: error rates under named normaliser routes, hallucination, intervals.

    python -m espnet_llmasr.bin.score --ref dump --hyp exp/joint_sft/decode test_zh test_en

Reads <ref>/<set>/text and <hyp>/<set>/text, of any system, strictly; beside them wav.scp (places of the audio), utt2dur
or utt2num_frames (its length, for utterances in which nothing is said), and <hyp>/<set>/{confidence,flagged} of the
guard. When all has been read and is right, writes

    <hyp>/scores.md, scores.json             the tables with a definition of every column; all figures
    <hyp>/worst.html                         the worst utterances to look at and listen to
    <hyp>/<set>/alignments.jsonl             every utterance: texts, counts, alignment, hallucination, audio
    <hyp>/<set>/hallucinations.jsonl         those that are hallucinated by any definition

With --unit phone: phone_scores.md, phone_scores.json and <set>/phone_alignments.jsonl.
"""

import json
import logging
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from espnet_llmasr.scoring.sidecar import Beside, read_beside
from espnet_llmasr.cli import Parser, run
from espnet_llmasr.scoring.html import render
from espnet_llmasr.scoring.results import Result, analyse, as_json, errors_as_json, page_row, utterances
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse, set_names, title_of_all, write_results
from espnet_llmasr.scoring.markdown import phone_footnotes, phone_table, text_footnotes, text_tables
from espnet_llmasr.metrics.error_rate import count_labels, score_tokens_of
from espnet_llmasr.metrics.hallucination import DESCRIPTIONS
from espnet_llmasr.text.routes import Route, make_route

ROUTES = "paper,none,sure,speechio,whisper"
"""The default. `paper` is the main one, as published rates (its Table 1, and NIM4-ASR's) are under it, and "300" for
三百 is no error of recognition; `none` beside it shows what the normaliser has hidden."""
LABELS = "labels as they are"
PAGE_ROWS = 50
"""Utterances of a section of the page."""

MISSING_ADVICE = " (--missing_as_empty true counts an utterance without a hypothesis as an empty one)"

Sets = List[Tuple[str, TestSet, Beside]]


def read_all(args: Namespace, names: Sequence[str], file: str) -> Sets:
    """(name in the tables, texts, what lies beside) of every set.

    Raises:
        ValueError: with all problems of all sets in one line.
    """
    problems: List[str] = []
    sets = []
    for name in names:
        test_set = check_set(args.ref, args.hyp, name, problems, args.missing_as_empty == "true", file)
        beside = read_beside(args.ref, args.hyp, test_set, problems) if file == "text" else Beside({}, None, None, None)
        sets.append((args.hyp.resolve().name if name == "." else name, test_set, beside))
    refuse(problems, MISSING_ADVICE if any(s.references.keys() - s.hypotheses.keys() for _, s, _ in sets) else "")
    return sets


def score_phones(test_set: TestSet) -> Result:
    """Labels as they are: no route, no hallucination."""
    references, hypotheses = test_set.references, test_set.hypotheses
    labels = ((uid, references[uid].split(), hypotheses[uid].split(), False) for uid in test_set.ids)
    score = score_tokens_of(labels, count_labels)
    return Result([score], test_set.missing, [()] * len(score), [], None)


def with_all(results: List[Tuple[str, Result]]) -> List[Tuple[str, Result]]:
    """Several sets are followed by all utterances taken together."""
    if len(results) < 2:
        return results
    total = results[0][1]
    for _, result in results[1:]:
        total = total + result
    return [*results, (title_of_all(name for name, _ in results), total)]


def page(rows: Dict[str, List[Dict]], routes: Sequence[Route], folder: Path) -> str:
    """The hallucinated utterances and, of every set, those with the most errors."""
    rows = {name: list(map(page_row, utts)) for name, utts in rows.items()}
    every = [row for utts in rows.values() for row in utts]
    sections = [section("Hallucinated by any rule", [row for row in every if row["hallucinations"]])]
    for name, utts in rows.items():
        sections.append(section(f"{name}, with errors", [row for row in utts if row["counts"].errors]))
    notes = [f"Scored after the normaliser route {routes[0]}; the texts as given stand below every alignment."]
    notes += [f"Hallucinated by the {name} rule: {text}" for name, text in DESCRIPTIONS.items()]
    return render(f"Worst utterances of {', '.join(rows)}", sections, notes, folder)


def section(title: str, rows: List[Dict]) -> Tuple[str, List[Dict]]:
    """Heading and rows, those with the most errors first, of equals the highest rate."""
    ranked = sorted(rows, key=lambda row: (-row["counts"].errors, -row["rate"]))[:PAGE_ROWS]
    return f"{title} ({len(rows)}{f', the worst {PAGE_ROWS} of them' if len(rows) > PAGE_ROWS else ''})", ranked


def json_lines(rows: Sequence[Dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def score_texts(sets: Sets, routes: List[Route], notes: List[str], options: Dict, hyp: Path) -> Tuple[str, Dict]:
    """The tables, and path -> content of everything to be written."""
    results = [(name, analyse(test_set, beside, routes)) for name, test_set, beside in sets]
    rows = {s[0]: utterances(*s, result, str(routes[0])) for s, (_, result) in zip(sets, results)}
    files = {}
    for name, test_set, _ in sets:
        folder = hyp / test_set.name
        files[folder / "alignments.jsonl"] = json_lines(rows[name])
        hallucinated = [row for row in rows[name] if row["hallucinations"]]
        files[folder / "hallucinations.jsonl"] = json_lines(hallucinated)
    figures = by_set(results, lambda result: as_json(result, routes))
    tables = text_tables(with_all(results), routes)
    guarded = any(beside.flagged is not None for _, _, beside in sets)
    files[hyp / "worst.html"] = page(rows, routes, hyp)
    files[hyp / "scores.json"] = as_text({**options, "routes": [str(route) for route in routes], **figures})
    files[hyp / "scores.md"] = f"{tables}\n{text_footnotes(routes, guarded, notes)}"
    return tables, files


def score_labels(sets: Sets, notes: List[str], options: Dict, hyp: Path) -> Tuple[str, Dict]:
    """The same of phones or characters."""
    results = [(name, score_phones(test_set)) for name, test_set, _ in sets]
    files = {}
    for (name, test_set, beside), (_, result) in zip(sets, results):
        rows = json_lines(utterances(name, test_set, beside, result, LABELS))
        files[hyp / test_set.name / "phone_alignments.jsonl"] = rows
    tables = phone_table(with_all(results))
    files[hyp / "phone_scores.json"] = as_text({**options, **by_set(results, label_figures)})
    files[hyp / "phone_scores.md"] = f"{tables}\n{phone_footnotes(notes)}"
    return tables, files


def label_figures(result: Result) -> Dict:
    """Of what holds for labels: no route, no parts by script."""
    figures = errors_as_json(result.main, LABELS)
    kept = {name: figures[name] for name in ("sentence_error", "empty_hypotheses")}
    missing = {"missing_counted_as_empty": result.missing}
    return {"utterances": len(result.main), "per": figures["mer"], **kept, **missing}


def by_set(results: List[Tuple[str, Result]], figures: Callable[[Result], Dict]) -> Dict:
    """Figures of every set and, apart from them (a set may be called "all"), of all utterances taken together."""
    return {"sets": {name: figures(result) for name, result in results}, "all": figures(with_all(results)[-1][1])}


def as_text(figures: Dict) -> str:
    return json.dumps(figures, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def route_names(value: str) -> List[str]:
    """An argument type: names between commas or blanks, each once."""
    names = list(dict.fromkeys(value.replace(",", " ").split()))
    if not names:
        raise ArgumentTypeError("no route is named")
    return names


def get_parser() -> Parser:
    parser = Parser(description="Score decoded sets against their references.")
    parser.add_argument("sets", nargs="*", metavar="SET", help="without: every set that is in both folders")
    parser.add_argument("--ref", type=Path, required=True, help="holds <set>/text, or text alone")
    parser.add_argument("--hyp", type=Path, required=True, help="the same of the hypotheses; results are written there")
    parser.add_argument("--unit", choices=["text", "phone"], default="text", help="phone compares <set>/phones")
    parser.add_argument(
        "--routes", type=route_names, default=ROUTES, help="normalisers of text, the main one first, between commas"
    )
    parser.add_argument(
        "--missing_as_empty",
        choices=["true", "false"],
        default="false",
        help="true: an utterance without a hypothesis counts as an empty one; false: it is an error",
    )
    parser.add_argument("--out", type=Path, help="another file that gets the content of scores.md")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    file = "phones" if args.unit == "phone" else "text"
    names, only_ref, only_hyp = (clean_names(args.sets), [], []) if args.sets else set_names(args.ref, args.hyp, file)
    if args.ref.resolve() == args.hyp.resolve():
        raise ValueError(f"--ref and --hyp are both {args.ref}: a set compared with itself has no errors")
    alone = [(only_ref, "only in the references"), (only_hyp, "only in the hypotheses")]
    notes = [f"Not scored, as {place}: {', '.join(found)}." for found, place in alone if found]
    sets = read_all(args, names, file)
    options = {"ref": str(args.ref), "hyp": str(args.hyp), "missing_as_empty": args.missing_as_empty == "true"}
    options.update({"only_in_ref": only_ref, "only_in_hyp": only_hyp})
    if args.unit == "phone":
        tables, files = score_labels(sets, notes, options, args.hyp)
    else:
        routes = [make_route(name) for name in args.routes]
        tables, files = score_texts(sets, routes, notes, options, args.hyp)
    page = files[args.hyp / ("phone_scores.md" if args.unit == "phone" else "scores.md")]
    write_results([*files.items(), *([(args.out, page)] if args.out else [])])
    for note in notes:
        logging.warning(note)
    print(tables, end="")


if __name__ == "__main__":
    run(main)
