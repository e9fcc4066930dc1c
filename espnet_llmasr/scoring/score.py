"""Scores decoded sets against their references: tables, all figures, all alignments, a page of the worst utterances."""

import json
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.metrics.error_rate import count_labels, score_tokens_of
from espnet_llmasr.metrics.hallucination import DESCRIPTIONS
from espnet_llmasr.scoring.html import render
from espnet_llmasr.scoring.results import SetResult, analyse, as_json, errors_as_json, page_row, utterances
from espnet_llmasr.scoring.score_tables import phone_footnotes, phone_table, text_footnotes, text_tables
from espnet_llmasr.scoring.sidecar import Sidecar, read_sidecar
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse, set_names, title_of_all
from espnet_llmasr.scoring.test_sets import write_results
from espnet_llmasr.text.routes import MAIN_ROUTE, ROUTES, Route, make_route

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
    file = UNITS[unit]
    names, only_ref, only_hyp = (clean_names(sets), [], []) if sets else set_names(ref_dir, hyp_dir, file)
    alone = [(only_ref, "only in the references"), (only_hyp, "only in the hypotheses")]
    notes = [f"Not scored, as {place}: {', '.join(names)}." for names, place in alone if names]
    scored = _read_all(ref_dir, hyp_dir, names, file, missing_as_empty)
    options = {"ref": str(ref_dir), "hyp": str(hyp_dir), "missing_as_empty": missing_as_empty}
    options.update({"only_in_ref": only_ref, "only_in_hyp": only_hyp})
    if unit == "phone":
        tables, files = _score_labels(scored, notes, options, hyp_dir)
    else:
        tables, files = _score_texts(scored, [make_route(name) for name in routes], notes, options, hyp_dir)
    page = files[hyp_dir / ("phone_scores.md" if unit == "phone" else "scores.md")]
    write_results([*files.items(), *([(out, page)] if out else [])])
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


def _score_texts(
    sets: Sequence[ScoredSet], routes: Sequence[Route], notes: Sequence[str], options: Dict, hyp_dir: Path
) -> Tuple[str, Dict[Path, str]]:
    """The tables, and path -> content of every result."""
    results = [(title, analyse(texts, sidecar, routes)) for title, texts, sidecar in sets]
    rows = {scored.title: utterances(*scored, result, str(routes[0])) for scored, (_, result) in zip(sets, results)}
    files = {}
    for title, texts, _ in sets:
        folder = hyp_dir / texts.name
        files[folder / "alignments.jsonl"] = _json_lines(rows[title])
        hallucinated = [row for row in rows[title] if row["hallucinations"]]
        files[folder / "hallucinations.jsonl"] = _json_lines(hallucinated)
    figures = _by_set(results, lambda result: as_json(result, routes))
    tables = text_tables(_with_all(results), routes)
    guarded = any(sidecar.flagged is not None for _, _, sidecar in sets)
    files[hyp_dir / "worst.html"] = _worst_page(rows, routes[0], hyp_dir)
    files[hyp_dir / "scores.json"] = _as_text({**options, "routes": [str(route) for route in routes], **figures})
    files[hyp_dir / "scores.md"] = f"{tables}\n{text_footnotes(routes, guarded, notes)}"
    return tables, files


def _score_labels(
    sets: Sequence[ScoredSet], notes: Sequence[str], options: Dict, hyp_dir: Path
) -> Tuple[str, Dict[Path, str]]:
    """The same for labels: no routes, no hallucination."""
    results = [(title, _count_labels(texts)) for title, texts, _ in sets]
    files = {}
    for scored, (_, result) in zip(sets, results):
        rows = _json_lines(utterances(*scored, result, LABELS))
        files[hyp_dir / scored.texts.name / "phone_alignments.jsonl"] = rows
    tables = phone_table(_with_all(results))
    files[hyp_dir / "phone_scores.json"] = _as_text({**options, **_by_set(results, _label_figures)})
    files[hyp_dir / "phone_scores.md"] = f"{tables}\n{phone_footnotes(notes)}"
    return tables, files


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


def _with_all(results: List[Tuple[str, SetResult]]) -> List[Tuple[str, SetResult]]:
    """Several sets are followed by all utterances taken together."""
    if len(results) < 2:
        return results
    total = results[0][1]
    for _, result in results[1:]:
        total = total + result
    return [*results, (title_of_all(name for name, _ in results), total)]


def _by_set(results: List[Tuple[str, SetResult]], figures: Callable[[SetResult], Dict]) -> Dict:
    """Figures of every set and, apart from them (a set may be called "all"), of all utterances taken together."""
    return {"sets": {name: figures(result) for name, result in results}, "all": figures(_with_all(results)[-1][1])}


def _worst_page(rows: Dict[str, List[Dict]], route: Route, folder: Path) -> str:
    """The hallucinated utterances and, of every set, those with the most errors."""
    rows = {name: list(map(page_row, utts)) for name, utts in rows.items()}
    every = [row for utts in rows.values() for row in utts]
    sections = [_section("Hallucinated by any rule", [row for row in every if row["hallucinations"]])]
    for name, utts in rows.items():
        sections.append(_section(f"{name}, with errors", [row for row in utts if row["counts"].errors]))
    notes = [f"Scored after the normaliser route {route}; the texts as given stand below every alignment."]
    notes += [f"Hallucinated by the {name} rule: {text}" for name, text in DESCRIPTIONS.items()]
    return render(f"Worst utterances of {', '.join(rows)}", sections, notes, folder)


def _section(title: str, rows: List[Dict]) -> Tuple[str, List[Dict]]:
    """Heading and rows: most errors first, at equal errors the highest rate first."""
    ranked = sorted(rows, key=lambda row: (-row["counts"].errors, -row["rate"]))[:PAGE_ROWS]
    return f"{title} ({len(rows)}{f', the worst {PAGE_ROWS} of them' if len(rows) > PAGE_ROWS else ''})", ranked


def _json_lines(rows: Sequence[Dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _as_text(figures: Dict) -> str:
    return json.dumps(figures, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
