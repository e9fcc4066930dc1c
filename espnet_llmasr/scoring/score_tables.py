"""The tables of scores.md and phone_scores.md, with a definition of every column."""

from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from espnet_llmasr.metrics.error_rate import SetCounts
from espnet_llmasr.metrics.hallucination import ALARM_CHARS_PER_MINUTE, DEFINITIONS, DESCRIPTIONS
from espnet_llmasr.metrics.intervals import RESAMPLES
from espnet_llmasr.scoring.markdown import bullets, cell_text, count_cell, markdown, pace_cell, rate_cell, share_cell
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
    **{name: MAIN_COLUMNS[name].replace("token", "label") for name in list(MAIN_COLUMNS)[5:9]},
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

Results = Dict[str, SetResult]
"""Name of a set -> its result."""


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
        "routes": f"{', '.join(map(str, routes))}; each is applied to references and hypotheses alike. The first one is "
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
    cells = table(PHONE_COLUMNS, results, lambda result: [_utts(result), _rate(result.main), *_edits(result)])
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


def _edits(result: SetResult) -> List[str]:
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
    return [_utts(result), *rates, *_edits(result), str(len(result.main.fallbacks))]


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
