"""The tables of scores.md and phone_scores.md, with a definition of every column."""

from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from espnet_llmasr.metrics.error_rate import Counts, SetCounts
from espnet_llmasr.metrics.hallucination import ALARM_CHARS_PER_MINUTE, DEFINITIONS, DESCRIPTIONS
from espnet_llmasr.metrics.intervals import RESAMPLES
from espnet_llmasr.scoring.markdown import bullets, count_cell, escape_bars, interval, markdown, pace_cell
from espnet_llmasr.scoring.markdown import percent, share_cell
from espnet_llmasr.scoring.results import SetResult
from espnet_llmasr.text.routes import Route

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
    "what is inserted counts in the MER, and in the rates of `all`",
    "correct/S/D/I": "tokens that are correct, substituted, deleted and inserted, over all tokens",
    "sentence error %": "utterances with an error",
    "empty": "hypotheses without a token: all of the reference counts as deleted",
    "missing": "utterances without a hypothesis, counted as empty ones",
    "fallback": "utterances of whose reference the route would leave nothing: both sides are scored without it",
}
PHONE_COLUMNS = {
    "set": "",
    "utts": "utterances",
    "PER %": "errors (S + D + I) over the labels of the references, in greedy CTC output; both as they "
    "are, without any route",
    **{name: MAIN_COLUMNS[name].replace("token", "label") for name in ("correct/S/D/I", "sentence error %")},
    **{name: MAIN_COLUMNS[name].replace("token", "label") for name in ("empty", "missing")},
}
NON_SPEECH_COLUMNS = {
    "non-speech": "utterances in which nothing is said, as their references have no token",
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

Rows = Sequence[Tuple[str, SetResult]]


def text_tables(rows: Rows, routes: Sequence[Route]) -> str:
    """All tables of transcripts, as they are printed."""
    parts = {f"Error rates, route {routes[0]}": table(MAIN_COLUMNS, rows, _main_cells)}
    if len(routes) > 1:
        columns = ["set", *(f"{route.name} %" for route in routes)]
        parts["Error rate under every route"] = table(columns, rows, _route_cells)
    columns = ["set", "utts", *(f"{name} rule: n, %" for name in DEFINITIONS), *NON_SPEECH_COLUMNS]
    parts["Hallucination"] = table(columns, rows, _hallucination_cells)
    guarded = [(name, result) for name, result in rows if result.flagged is not None]
    if guarded:
        parts["Guard"] = table(["set", "utts", *GUARD_COLUMNS], guarded, _guard_cells)
    return "\n".join(f"### {heading}\n\n{part}" for heading, part in parts.items())


def text_footnotes(routes: Sequence[Route], guarded: bool, notes: Sequence[str]) -> str:
    """A definition of every column of `text_tables`, the routes with their versions, and further notes."""
    listed = ", ".join(str(route) for route in routes)
    columns = {
        **MAIN_COLUMNS,
        "routes": f"{listed}; each is applied to references and hypotheses alike. The first one is that of the other "
        "tables, the alignments and the page of the worst utterances. speechio makes a token of each letter in a line "
        "with Han characters, as that leaderboard does",
        **{f"{name} rule": f"hallucinated: {DESCRIPTIONS[name].rstrip('.')}" for name in DEFINITIONS},
        "n, %": "such utterances and their share. Loops are looked for without any route, which may hide them",
        **NON_SPEECH_COLUMNS,
        **(GUARD_COLUMNS if guarded else {}),
    }
    return footnotes(columns, [INTERVALS, *notes])


def phone_table(rows: Rows) -> str:
    """The only table of phones or characters."""
    return table(PHONE_COLUMNS, rows, _phone_cells)


def phone_footnotes(notes: Sequence[str]) -> str:
    return footnotes(PHONE_COLUMNS, [INTERVALS, *notes])


def footnotes(columns: Dict[str, str], sentences: Iterable[str]) -> str:
    """One item for each column that needs a definition, and one for each sentence."""
    definitions = [f"**{name}**: {definition}." for name, definition in columns.items() if definition]
    return bullets([*definitions, *sentences])


def table(columns: Iterable[str], rows: Rows, cells: Callable[[SetResult], List[str]]) -> str:
    """`cells(result)` are those after the name of the set."""
    return markdown([list(columns), *([escape_bars(name), *cells(result)] for name, result in rows)])


def _main_cells(result: SetResult) -> List[str]:
    score = result.main
    rates = [_rate(score, part) for part in ("all", "han", "words")]
    return [str(len(score)), *rates, *_shared_cells(result), str(len(score.fallbacks))]


def _phone_cells(result: SetResult) -> List[str]:
    return [str(len(result.main)), _rate(result.main, "all"), *_shared_cells(result)]


def _shared_cells(result: SetResult) -> List[str]:
    score = result.main
    edits = "/".join(map(str, score.total()))
    empty, missing = str(score.empty_hypotheses), str(len(result.missing))
    return [edits, share_cell(score.sentence_errors, len(score)), empty, missing]


def _route_cells(result: SetResult) -> List[str]:
    return [_rate(score, "all") for score in result.scores]


def _hallucination_cells(result: SetResult) -> List[str]:
    hits = [count_cell(result.hits(name), len(result.main)) for name in DEFINITIONS]
    silent, pace = len(result.non_speech), result.chars_per_minute
    non_empty = count_cell(result.non_empty, silent)
    return [str(len(result.main)), *hits, str(silent), non_empty, "-" if pace is None else pace_cell(pace, 1)]


def _guard_cells(result: SetResult) -> List[str]:
    flagged, total = int(result.flagged.sum()), len(result.flagged)
    counts = [result.total_where(chosen) for chosen in (~result.flagged, result.flagged)]
    return [str(total), count_cell(flagged, total), *map(_rate_alone, counts)]


def _rate_alone(counts: Counts) -> str:
    return percent(counts.rate) if counts.reference_length else "-"


def _rate(score: SetCounts, part: str) -> str:
    """Rate and interval; "-" for a script that the references do not have (insertions of it count in the MER)."""
    counts = score.total(part)
    return f"{percent(counts.rate)} {interval(score.interval(part))}" if counts.reference_length else "-"
