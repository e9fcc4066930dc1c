"""Scores decoded sets against their references: tables, all figures, all alignments, a page of the worst utterances."""

import json
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.metrics.error_rate import count_labels, score_tokens_of
from espnet_llmasr.metrics.hallucination import DESCRIPTIONS
from espnet_llmasr.scoring.html import render
from espnet_llmasr.scoring.results import SetResult, analyse, as_json, errors_as_json, json_text, page_row, utterances
from espnet_llmasr.scoring.score_tables import phone_tables, text_tables
from espnet_llmasr.scoring.sidecar import Sidecar, read_sidecar
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse, set_names, with_sum, write_results
from espnet_llmasr.text.routes import MAIN_ROUTE, ROUTES, make_route

UNITS = {"text": "text", "phone": "phones"}
"""Unit -> the file of a set that holds it."""
DEFAULT_ROUTES = tuple(dict.fromkeys((MAIN_ROUTE, "none", *ROUTES)))
"""The main route, then `none`, which shows what the main one hides, then all others."""
LABELS = "labels as they are"
PAGE_ROWS = 50  # utterances in a section of the page

MISSING_ADVICE = " (--missing_as_empty counts an utterance without a hypothesis as an empty one)"


class ScoredSet(NamedTuple):
    """A set with its name in the tables."""

    title: str
    texts: TestSet
    sidecar: Sidecar


def score_sets(
    ref_dir: Path,
    hyp_dir: Path,
    sets: Sequence[str] = (),
    unit: str = "text",
    routes: Sequence[str] = DEFAULT_ROUTES,
    missing_as_empty: bool = False,
    out: Optional[Path] = None,
) -> Tuple[str, List[str]]:
    """Scores `sets` (without any: all that both folders have) and writes the results into `hyp_dir`.

    `unit`: "text", or "phone" for labels without any route. `out`: another file for the content of scores.md.

    Returns:
        The tables in Markdown, and notes on sets that only one of the folders has.

    Raises:
        ValueError: all problems of all sets in one line; nothing is written.
    """
    if ref_dir.resolve() == hyp_dir.resolve():
        raise ValueError(f"--ref_dir and --hyp_dir are both {ref_dir}: a set compared with itself has no errors")
    file, prefix = UNITS[unit], "phone_" if unit == "phone" else ""
    names, only_ref, only_hyp = (clean_names(sets), [], []) if sets else set_names(ref_dir, hyp_dir, file)
    alone = [(only_ref, "only in the references"), (only_hyp, "only in the hypotheses")]
    notes = [f"Not scored, as {place}: {', '.join(names)}." for names, place in alone if names]
    scored = _read_all(ref_dir, hyp_dir, names, file, missing_as_empty)
    figures = {"ref": str(ref_dir), "hyp": str(hyp_dir), "missing_as_empty": missing_as_empty}
    figures.update({"only_in_ref": only_ref, "only_in_hyp": only_hyp})
    if unit == "phone":
        results = {title: _count_labels(texts) for title, texts, _ in scored}
        (tables, footnotes), label = phone_tables(with_sum(results), notes), LABELS
        figures.update(_by_set(results, _label_figures))
    else:
        made = [make_route(name) for name in routes]
        results = {title: analyse(texts, sidecar, made) for title, texts, sidecar in scored}
        (tables, footnotes), label = text_tables(with_sum(results), made, notes), str(made[0])
        figures.update({"routes": list(map(str, made)), **_by_set(results, lambda result: as_json(result, made))})
    rows = {entry.title: utterances(*entry, results[entry.title], label) for entry in scored}
    page = f"{tables}\n{footnotes}"
    files = [(hyp_dir / f"{prefix}scores.json", json_text(figures)), (hyp_dir / f"{prefix}scores.md", page)]
    for title, texts, _ in scored:
        folder = hyp_dir / texts.name
        files.append((folder / f"{prefix}alignments.jsonl", _json_lines(rows[title])))
        if unit == "text":
            hallucinated = [row for row in rows[title] if row["hallucinations"]]
            files.append((folder / "hallucinations.jsonl", _json_lines(hallucinated)))
    files += [(hyp_dir / "worst.html", _worst_page(rows, label, hyp_dir))] if unit == "text" else []
    write_results([*files, *([(out, page)] if out else [])])
    return tables, notes


def _read_all(ref_dir: Path, hyp_dir: Path, names: Sequence[str], file: str, missing_as_empty: bool) -> List[ScoredSet]:
    problems: List[str] = []
    sets = []
    for name in names:
        texts = check_set(ref_dir, hyp_dir, name, problems, missing_as_empty, file)
        sidecar = read_sidecar(ref_dir, hyp_dir, texts, problems) if file == "text" else Sidecar({}, None, None, None)
        sets.append(ScoredSet(hyp_dir.resolve().name if name == "." else name, texts, sidecar))
    is_missing = any(scored.texts.references.keys() - scored.texts.hypotheses.keys() for scored in sets)
    refuse(problems, MISSING_ADVICE if is_missing else "")
    return sets


def _count_labels(texts: TestSet) -> SetResult:
    labels = ((uid, texts.references[uid].split(), texts.hypotheses[uid].split(), False) for uid in texts.ids)
    counts = score_tokens_of(labels, count_labels)
    return SetResult([counts], texts.missing, [()] * len(counts), [], None)


def _label_figures(result: SetResult) -> Dict:
    """As `as_json`, without the parts by script."""
    figures = errors_as_json(result.main, LABELS)
    kept = {name: figures[name] for name in ("sentence_error", "empty_hypotheses")}
    missing = {"missing_counted_as_empty": result.missing}
    return {"utterances": len(result.main), "per": figures["mer"], **kept, **missing}


def _by_set(results: Dict[str, SetResult], figures: Callable[[SetResult], Dict]) -> Dict:
    """Figures of every set and, apart from them (a set may be called "all"), of all utterances taken together."""
    by_set = {name: figures(result) for name, result in with_sum(results).items()}
    return {"sets": {name: by_set[name] for name in results}, "all": list(by_set.values())[-1]}


def _worst_page(rows: Dict[str, List[Dict]], route: str, folder: Path) -> str:
    """The hallucinated utterances and, of every set, those with the most errors."""
    rows = {name: list(map(page_row, utts)) for name, utts in rows.items()}
    every = [row for utts in rows.values() for row in utts]
    sections = [_section("Hallucinated by any rule", [row for row in every if row["hallucinations"]])]
    for name, utts in rows.items():
        sections.append(_section(f"{name}, with errors", [row for row in utts if row["counts"].errors]))
    notes = [f"Scored after the normaliser route {route}; the texts as given are below every alignment."]
    notes += [f"Hallucinated by the {name} rule: {text}" for name, text in DESCRIPTIONS.items()]
    return render(f"Worst utterances of {', '.join(rows)}", sections, notes, folder)


def _section(title: str, rows: List[Dict]) -> Tuple[str, List[Dict]]:
    """Heading and rows: most errors first, at equal errors the highest rate first."""
    ranked = sorted(rows, key=lambda row: (-row["counts"].errors, -row["rate"]))[:PAGE_ROWS]
    return f"{title} ({len(rows)}{f', the worst {PAGE_ROWS} of them' if len(rows) > PAGE_ROWS else ''})", ranked


def _json_lines(rows: Sequence[Dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
