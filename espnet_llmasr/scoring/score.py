"""Scores decoded sets against their references: tables, all figures, all alignments, a page of the worst utterances."""

from pathlib import Path
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.files import json_lines
from espnet_llmasr.metrics.error_rate import SetCounts, count_labels, score_tokens_of
from espnet_llmasr.metrics.hallucination import ALARM_CHARS_PER_MINUTE, DEFINITIONS, DESCRIPTIONS
from espnet_llmasr.metrics.intervals import RESAMPLES
from espnet_llmasr.scoring.html import render
from espnet_llmasr.scoring.markdown import bullets, cell_text, count_cell, markdown, pace_cell, rate_cell, share_cell
from espnet_llmasr.scoring.results import SetResult, analyse, as_json, errors_as_json, json_text, page_row, utterances
from espnet_llmasr.scoring.sidecar import Sidecar, read_sidecar
from espnet_llmasr.scoring.test_sets import TestSet, check_set, clean_names, refuse, set_names, with_sum, write_results
from espnet_llmasr.text.routes import MAIN_ROUTE, ROUTES, Route, make_route, route_module, tokens_of

UNITS = {"text": "text", "phone": "phones"}
"""Unit -> the file of a set that holds it."""
DEFAULT_ROUTES = tuple(dict.fromkeys((MAIN_ROUTE, "none", *ROUTES)))
"""The main route, then `none`, which shows what the main one hides, then all others."""
LABELS = "labels as they are"
PAGE_ROWS = 50  # utterances in a section of the page

MISSING_ADVICE = " (--missing_as_empty counts an utterance without a hypothesis as an empty one)"


EXAMPLES = (
    "啊，我有300块",
    "啊，我有三百块",
    "我們在那兒用WiFi",
    "It's $5, um, in colour",
    "He said [noise] twenty-five",
)
"""Lines that --list_routes shows under every installed route."""
Results = Dict[str, SetResult]
"""Name of a set -> its result."""
INTERVALS = (
    f"In brackets: 95 % intervals. Of error rates and chars/min from {RESAMPLES} bootstrap samples of the utterances "
    "(BCa; they need two utterances), of shares of utterances Wilson's. `all` takes all utterances together."
)
MAIN_COLUMNS = {
    "set": "",
    "utts": "utterances",
    "MER %": "errors (S + D + I) over the tokens of the references. A token is a Han character or a word of another "
    "script, in lower case and without punctuation: this is the CER of a Mandarin set and the WER of an English one",
    "CER zh %": "the same over the Han characters alone",
    "WER en %": "the same over the other words alone. Each part is aligned by itself. `-`: the references have none; "
    "insertions count in the MER, and in the rates of `all`",
    "correct/S/D/I": "tokens that are correct, substituted, deleted and inserted, over all tokens",
    "sentence error %": "utterances with an error",
    "empty": "hypotheses without a token: all of the reference counts as deleted",
    "missing": "utterances without a hypothesis, counted as empty ones",
    "fallback": "utterances of whose reference the route would leave nothing: both sides are scored without it; and "
    "those with more digits on a side than the route's grammar reads in time: there each digit is read by itself",
}
PHONE_COLUMNS = {
    "set": "",
    "utts": "utterances",
    "PER %": "errors (S + D + I) over the labels of the references, in greedy CTC output; both as they "
    "are, without any route",
    **{name: MAIN_COLUMNS[name].replace("token", "label") for name in list(MAIN_COLUMNS)[5:9]},
}
NON_SPEECH_COLUMNS = {
    "non-speech": "utterances without speech, as their references have no token",
    "non-empty: n, %": "those of them for which something was put out",
    "chars/min": "characters put out for them a minute of audio; above "
    f"{ALARM_CHARS_PER_MINUTE} is an alarm in other test suites. `-`: no such utterance, or no length of its audio "
    "(utt2dur or utt2num_frames beside the references)",
}
GUARD_COLUMNS = {
    "flagged: n, %": "utterances that the guard at decoding doubts, and their share of all",
    "MER kept %": "error rate of the others",
    "MER flagged %": "error rate of the flagged ones",
}


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
    notes = [f"Not scored, as {place}: {', '.join(map(cell_text, names))}." for names, place in alone if names]
    scored = _read_all(ref_dir, hyp_dir, names, file, missing_as_empty)
    figures = {"ref": str(ref_dir), "hyp": str(hyp_dir), "missing_as_empty": missing_as_empty}
    figures.update({"only_in_ref": only_ref, "only_in_hyp": only_hyp})
    if unit == "phone":
        results = {title: _count_labels(texts) for title, texts, _ in scored}
        (tables, footnotes), label = phone_tables(with_sum(results), notes), LABELS
        figures.update(_by_set(results, _label_figures))
    else:
        normalisers = [make_route(name) for name in routes]
        results = {title: analyse(texts, sidecar, normalisers) for title, texts, sidecar in scored}
        (tables, footnotes), label = text_tables(with_sum(results), normalisers, notes), str(normalisers[0])
        figures.update(
            {"routes": list(map(str, normalisers)), **_by_set(results, lambda result: as_json(result, normalisers))}
        )
    rows = {entry.title: utterances(*entry, results[entry.title], label) for entry in scored}
    page = f"{tables}\n{footnotes}"
    files = [(hyp_dir / f"{prefix}scores.json", json_text(figures)), (hyp_dir / f"{prefix}scores.md", page)]
    for title, texts, _ in scored:
        folder = hyp_dir / texts.name
        files.append((folder / f"{prefix}alignments.jsonl", json_lines(rows[title])))
        if unit == "text":
            hallucinated = [row for row in rows[title] if row["hallucinations"]]
            files.append((folder / "hallucinations.jsonl", json_lines(hallucinated)))
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


def _by_set(results: Results, figures: Callable[[SetResult], Dict]) -> Dict:
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


def text_tables(results: Results, routes: Sequence[Route], notes: Sequence[str]) -> Tuple[str, str]:
    """All tables of transcripts; definitions of their columns, the routes with their versions, and further notes."""
    parts = {f"Error rates, route {routes[0]}": table(MAIN_COLUMNS, results, _main_cells)}
    if len(routes) > 1:
        columns = ["set", *(f"{route.name} %" for route in routes)]
        parts["Error rate under every route"] = table(columns, results, lambda result: [*map(_rate, result.scores)])
    columns = ["set", "utts", *(f"{name} rule: n, %" for name in DEFINITIONS), *NON_SPEECH_COLUMNS]
    parts["Hallucination"] = table(columns, results, _hallucination_cells)
    guarded = {name: result for name, result in results.items() if result.flagged is not None}
    if guarded:
        parts["Guard"] = table(["set", "utts", *GUARD_COLUMNS], guarded, _guard_cells)
    definitions = {
        **MAIN_COLUMNS,
        "routes": f"{', '.join(map(str, routes))}; each is applied to references and hypotheses alike. The first is "
        "that of the other tables, the alignments and the page of the worst utterances. speechio makes a token of each "
        "letter in a line with Han characters, as that leaderboard does",
        **{f"{name} rule": f"hallucinated: {DESCRIPTIONS[name].rstrip('.')}" for name in DEFINITIONS},
        "n, %": "such utterances and their share. Loops are looked for without any route, which may hide them",
        **NON_SPEECH_COLUMNS,
        **(GUARD_COLUMNS if guarded else {}),
    }
    tables = "\n".join(f"### {heading}\n\n{part}" for heading, part in parts.items())
    return tables, footnotes(definitions, notes)


def phone_tables(results: Results, notes: Sequence[str]) -> Tuple[str, str]:
    """The only table of phones or characters, and its footnotes."""
    cells = table(PHONE_COLUMNS, results, lambda result: [_utts(result), _rate(result.main), *_edit_cells(result)])
    return cells, footnotes(PHONE_COLUMNS, notes)


def footnotes(columns: Dict[str, str], notes: Sequence[str]) -> str:
    """One item for each column that needs a definition, and one for each note."""
    definitions = [f"**{name}**: {definition}." for name, definition in columns.items() if definition]
    return bullets([*definitions, INTERVALS, *notes])


def table(columns: Iterable[str], results: Results, cells: Callable[[SetResult], List[str]]) -> str:
    """`cells(result)` are those after the name of the set."""
    return markdown([list(columns), *([cell_text(name), *cells(result)] for name, result in results.items())])


def _utts(result: SetResult) -> str:
    return str(len(result.main))


def _edit_cells(result: SetResult) -> List[str]:
    score = result.main
    counts = "/".join(map(str, score.total()))
    return [
        counts,
        share_cell(score.sentence_errors, len(score)),
        str(score.empty_hypotheses),
        str(len(result.missing)),
    ]


def _main_cells(result: SetResult) -> List[str]:
    rates = [_rate(result.main, part) for part in ("all", "han", "words")]
    return [_utts(result), *rates, *_edit_cells(result), str(len(result.main.fallbacks))]


def _hallucination_cells(result: SetResult) -> List[str]:
    hits = [count_cell(result.hits(name), len(result.main)) for name in DEFINITIONS]
    silent, pace = len(result.non_speech), pace_cell(result.chars_per_minute, 1)
    return [_utts(result), *hits, str(silent), count_cell(result.non_empty, silent), pace]


def _guard_cells(result: SetResult) -> List[str]:
    flagged, total = result.flagged, len(result.flagged)
    counts = [result.total_where(chosen) for chosen in (~flagged, flagged)]
    rates = [rate_cell(count.rate) if count.reference_length else "-" for count in counts]
    return [str(total), count_cell(int(flagged.sum()), total), *rates]


def _rate(score: SetCounts, part: str = "all") -> str:
    """Rate and interval; "-" for a script that the references do not have (insertions of it count in the MER)."""
    counts = score.total(part)
    return rate_cell(counts.rate, score.interval(part)) if counts.reference_length else "-"


def route_tables() -> str:
    """What every route does, and what it makes of a few lines; the second table has the installed routes only."""
    modules = {name: route_module(name) for name in ROUTES}
    rows = [(f"`{name}`", file.DESCRIPTION, ", ".join(file.PACKAGES) or "-") for name, file in modules.items()]
    descriptions = markdown([("route", "what it does to both sides", "needs"), *rows], left=3)
    routes = _installed_routes()
    head = ("line", *(f"`{route.name}`" for route in routes))
    lines = [(line, *(" ".join(tokens_of(route, line, "")[0]) for route in routes)) for line in EXAMPLES]
    return f"{descriptions}\n{markdown([head, *lines], left=len(head))}"


def _installed_routes() -> List[Route]:
    routes = []
    for name in ROUTES:
        try:
            routes.append(make_route(name))
        except ValueError:  # its package is not installed
            continue
    return routes
