"""Error rates, hallucination, the guard and robustness: from what stages 12 and 13 leave."""

from html import escape
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from espnet_llmasr.report.charts import charts, interval_chart
from espnet_llmasr.report.files import made_by, read_json
from espnet_llmasr.report.html import definitions, markdown, note, number, rate_cell, table
from espnet_llmasr.scoring.markdown import GUARD_COLUMNS, INTERVALS, MAIN_COLUMNS, NON_SPEECH_COLUMNS
from espnet_llmasr.metrics.hallucination import DEFINITIONS, DESCRIPTIONS

SCORER = "stage 12"
ERRORS = ("set", "utts", "MER %", "CER zh %", "WER en %", "correct/S/D/I", "sentence error %", "empty", "missing")
PHONES = ("set", "utts", "PER %", "correct/S/D/I", "sentence error %", "empty", "missing")
EDITS = ("correct", "substitutions", "deletions", "insertions")


def decodings(expdir: Path) -> List[Path]:
    """Folders with scores.json; that of joint SFT first, as it is the recipe's result, then the earlier stages'."""
    found = [path.parent for path in sorted(expdir.glob("*/decode/scores.json"))]
    rank = {name: -place for place, name in enumerate(("pretrain", "align", "ia_sft", "ctc_head", "joint_sft"))}
    return sorted(found, key=lambda folder: (rank.get(folder.parent.name, 1), folder.parent.name))


def read_scores(folder: Path) -> Dict:
    return read_json(folder / "scores.json")


def rows_of(scores: Dict) -> Iterator[Tuple[str, Dict]]:
    """Every set, and all of them together where there are several."""
    yield from scores["sets"].items()
    if len(scores["sets"]) > 1:
        yield "all sets", scores["all"]


def main_route(result: Dict) -> Dict:
    """The figures of the first route."""
    return next(iter(result["routes"].values()))


def errors(expdir: Path) -> str:
    """Tables and a chart for every decoded model, and the label error rates of the pretrained encoder."""
    parts = []
    for place, folder in enumerate(decodings(expdir)):
        with made_by(folder / "scores.json", SCORER):
            parts.append(_of_model(f"d{place}", folder.parent.name, read_scores(folder)))
    for path in sorted(expdir.glob("*/decode/phone_scores.json")):
        with made_by(path, SCORER):
            rows = [_phone_cells(name, result) for name, result in rows_of(read_json(path))]
            parts.append(table(f"Labels of {path.parent.parent.name}, greedy CTC", PHONES, rows))
    if not parts:
        return note("No */decode/scores.json: stage 11 decodes and stage 12 scores.")
    return "".join(parts) + note(INTERVALS.replace("`", ""))


def _of_model(ident: str, model: str, scores: Dict) -> str:
    rows = list(rows_of(scores))
    tables = [
        table(f"Error rates of {model}, route {scores['routes'][0]}", ERRORS, [_error_cells(*row) for row in rows]),
        charts([_chart(ident, model, rows)], "No rate is known."),
        _route_table(model, rows, scores["routes"]),
        definitions(MAIN_COLUMNS.items()),
    ]
    return f"<h3>{escape(model)}</h3>\n{''.join(tables)}"


def _error_cells(name: str, result: Dict) -> List[str]:
    route = main_route(result)
    rates = [rate_cell(route[part]) for part in ("mer", "cer_han", "wer_words")]
    return [name, f"{result['utterances']}", *rates, *_shared(route, route["mer"], result)]


def _phone_cells(name: str, result: Dict) -> List[str]:
    return [name, f"{result['utterances']}", rate_cell(result["per"]), *_shared(result, result["per"], result)]


def _shared(figures: Dict, counts: Dict, result: Dict) -> List[str]:
    edits = "/".join(f"{counts[edit]}" for edit in EDITS)
    missing = f"{len(result['missing_counted_as_empty'])}"
    return [edits, rate_cell(figures["sentence_error"]), f"{figures['empty_hypotheses']}", missing]


def _chart(ident: str, model: str, rows: Sequence[Tuple[str, Dict]]) -> str:
    found = [(name, main_route(result)["mer"]) for name, result in rows]
    known = [(name, mer) for name, mer in found if mer["rate"] is not None and None not in mer["interval"]]
    drawn = [(name, 100 * mer["rate"], tuple(100 * end for end in mer["interval"])) for name, mer in known]
    return interval_chart(ident, f"{model}: MER with 95 % intervals", drawn, "MER %")


def _route_table(model: str, rows: Sequence[Tuple[str, Dict]], routes: Sequence[str]) -> str:
    """Nothing where there is only one route."""
    if len(routes) < 2:
        return ""
    names = list(rows[0][1]["routes"])
    cells = [[name, *(rate_cell(result["routes"][route]["mer"]) for route in names)] for name, result in rows]
    return table(f"MER of {model} under every route", ["set", *(f"{name} %" for name in names)], cells)


def hallucination(expdir: Path) -> str:
    """Shares by every rule, what was written where nothing is said, and what the guard has flagged."""
    parts = []
    for folder in decodings(expdir):
        with made_by(folder / "scores.json", SCORER):
            rows, model = list(rows_of(read_scores(folder))), folder.parent.name
            head = ["set", "utts", *(f"{name} rule: n, %" for name in DEFINITIONS), *NON_SPEECH_COLUMNS]
            parts.append(table(f"Hallucination of {model}", head, [_hallucination_cells(*row) for row in rows]))
            guarded = [_guard_cells(*row) for row in rows if row[1].get("guard")]
            if guarded:
                parts.append(table(f"Guard on {model}", ["set", "utts", *GUARD_COLUMNS], guarded))
    if not parts:
        return note("No */decode/scores.json: stage 11 decodes and stage 12 scores.")
    rules = [(f"{name} rule", text) for name, text in DESCRIPTIONS.items()]
    return "".join(parts) + definitions([*rules, *NON_SPEECH_COLUMNS.items(), *GUARD_COLUMNS.items()])


def _counted(share: Dict) -> str:
    return f"{share['count']}, {rate_cell(share)}" if share["of"] else "-"


def _hallucination_cells(name: str, result: Dict) -> List[str]:
    silent = result["non_speech"]
    pace, interval = silent["chars_per_minute"], silent.get("chars_per_minute_interval") or [None]
    spread = "" if None in interval else " ({:.1f}-{:.1f})".format(*interval)
    hits = [_counted(result["hallucination"][rule]) for rule in DEFINITIONS]
    others = [f"{silent['non_empty']['of']}", _counted(silent["non_empty"]), number(pace, "{:.1f}".format) + spread]
    return [name, f"{result['utterances']}", *hits, *others]


def _guard_cells(name: str, result: Dict) -> List[str]:
    guard = result["guard"]
    rates = [rate_cell(guard[part]) for part in ("mer_of_kept", "mer_of_flagged")]
    return [name, f"{result['utterances']}", _counted(guard["flagged"]), *rates]


def robustness(expdir: Path) -> str:
    """What stage 13 has written for each model."""
    parts = []
    for folder in sorted(expdir.glob("*/robustness")):
        pages = {"Clips without speech": "nonspeech.md", "The guard on replaced audio": "replaced.md"}
        texts = {title: _text(folder / name) for title, name in pages.items()}
        texts["What is in doubt decoded again"] = _redecoded(expdir, texts["The guard on replaced audio"])
        parts += [
            f"<h3>{escape(title)} ({escape(folder.parent.name)})</h3>\n{markdown(title, text)}"
            for title, text in texts.items()
            if text
        ]
    return "".join(parts) or note("No */robustness/*.md: stage 13 measures clips without speech and replaced audio.")


def _text(path: Path) -> Optional[str]:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _redecoded(expdir: Path, replaced: Optional[str]) -> Optional[str]:
    """Stands in ROBUSTNESS.md of the recipe alone, which is of this experiment if it has the same guard figures."""
    page = _text(expdir.absolute().parent / "ROBUSTNESS.md")
    if not page or not replaced or replaced not in page:
        return None
    return page.partition("## What is in doubt decoded again\n")[2]


def headline(expdir: Path) -> List[Tuple[str, str]]:
    """The main figures with their 95 % intervals; empty before stage 12."""
    found = []
    for folder in decodings(expdir)[:1]:
        with made_by(folder / "scores.json", SCORER):
            result = read_scores(folder)["all"]
            route, model = main_route(result), folder.parent.name
            parts = {"MER": "mer", "CER zh": "cer_han", "WER en": "wer_words"}
            found = [(f"{name} %, {model}", rate_cell(route[part])) for name, part in parts.items()]
            share = result["hallucination"]["paper"]
            found.append(("hallucinated % (paper's rule)", rate_cell(share)))
    return [(name, cell) for name, cell in found if cell != "-"]
