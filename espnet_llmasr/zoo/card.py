"""The model card: README.md of a pack, with the metadata that the Hub reads, figures with intervals, and limits."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from espnet_llmasr.files import read_json, read_scp
from espnet_llmasr.scoring.markdown import markdown, rate_cell, share_cell
from espnet_llmasr.scoring.sidecar import FRAME_S
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.zoo.pack import requirement

RATES = {"mer": "MER", "cer_han": "CER of Han", "wer_words": "WER of words"}
MODES = {"off": "without the guard", "flag": "flagged ones dropped", "redecode": "decoded again"}
UNKNOWN = "not stated"


@dataclass
class Facts:
    """What the card says beyond the files of the model."""

    name: str
    licence: str = UNKNOWN
    languages: Sequence[str] = ()
    base_model: Optional[str] = None
    """The released LLM, a name on the Hub."""
    data: Sequence[Path] = field(default_factory=list)
    """Dump directories of the training data."""
    scores: Optional[Path] = None
    """scores.json of bin.score."""
    robustness: Optional[Path] = None
    """The folder of stage 13, with <mode>/scores.json of clips without speech."""
    guarded: bool = False
    decoding: str = ""
    """The options by which the transcripts of `scores` were decoded."""


def write_card(facts: Facts, config: Path) -> str:
    """The model card of a training with this config.yaml. Raises ValueError for a file that is missing or damaged."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData  # half a second

    sets = read_json(facts.scores)["sets"] if facts.scores else {}
    measured = [(title, figures["mer"]) for title, result in sets.items() for figures in main_routes(result)]
    task = dict(task_type="automatic-speech-recognition", dataset_type="other", metric_type="wer")
    results = [
        EvalResult(**task, dataset_name=title, metric_name="MER", metric_value=round(100 * mer["rate"], 2))
        for title, mer in measured
        if mer["rate"] is not None
    ]
    tags = ["espnet", "audio", "automatic-speech-recognition", "speech-llm"]
    data = ModelCardData(
        language=list(facts.languages) or None,
        license=None if facts.licence == UNKNOWN else facts.licence,
        library_name="espnet_llmasr",
        pipeline_tag="automatic-speech-recognition",
        tags=tags,
        base_model=facts.base_model,
        model_name=facts.name if results else None,
        eval_results=results or None,
    )
    options = vars(LLMASRTask.config_of(config))
    template = Path(__file__).parent / "templates" / "card.md.j2"
    tables = dict(data_table=data_table(facts.data), rates=rate_table(sets), made_up=hallucination_table(sets))
    tables["nonspeech"] = nonspeech_table(facts.robustness)
    card = ModelCard.from_template(
        data, template_path=template, facts=facts, options=options, requires=requirement(), **tables
    )
    return re.sub(r"\n{3,}", "\n\n", str(card)).rstrip() + "\n"


def main_routes(result: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The figures under the main route, in a list that is empty for a set without any."""
    return list(result["routes"].values())[:1]


def data_table(folders: Sequence[Path]) -> str:
    """Utterances and hours of dump directories; empty without any."""
    rows = [["set", "utterances", "hours"]]
    for folder in folders:
        frames = read_scp(folder / "utt2num_frames", parse=int)
        hours = sum(frames.values()) * FRAME_S / 3600
        rows.append([folder.name, f"{len(frames):,}", f"{hours:,.2f}"])
    return markdown(rows) if len(rows) > 1 else ""


def rate_table(sets: Dict[str, Dict]) -> str:
    """Error rates in percent with their 95 % intervals, under the main route."""
    rows = [["set", "utterances", "route", *RATES.values(), "sentence errors"]]
    for title, result in sets.items():
        for figures in main_routes(result):
            cells = [_rate(figures[name]) for name in RATES]
            rows.append([title, str(result["utterances"]), figures["name"], *cells, _share(figures["sentence_error"])])
    return markdown(rows) if len(rows) > 1 else ""


def hallucination_table(sets: Dict[str, Dict]) -> str:
    """Utterances whose transcripts have words that nobody said, by kind."""
    kinds = list(next(iter(sets.values()))["hallucination"]) if sets else []
    rows = [["set", *kinds]]
    rows += [[title, *(_share(result["hallucination"][kind]) for kind in kinds)] for title, result in sets.items()]
    return markdown(rows) if kinds else ""


def nonspeech_table(folder: Optional[Path]) -> str:
    """Clips without speech that got a transcript, in each mode of the guard; empty if none were decoded.

    In the mode "flag" flagged transcripts count as empty, as in the table of stage 13. Raises ValueError for scores of
    that mode without flags.
    """
    rows = [["decoding", "clips with a transcript", "characters a minute"]]
    for mode, words in MODES.items():
        file = folder and folder / mode / "scores.json"
        for result in read_json(file)["sets"].values() if file and file.is_file() else ():
            clips = (result["guard"] or {}).get("non_speech_kept") if mode == "flag" else result["non_speech"]
            if clips is None:
                raise ValueError(f"{file} does not count what the guard keeps: score again (stage 13)")
            flagged = f" ({_share(result['guard']['flagged'])} % flagged)" if result["guard"] else ""
            pace = clips["chars_per_minute"]
            rows.append([words + flagged, _share(clips["non_empty"]), "-" if pace is None else f"{pace:.0f}"])
    return markdown(rows) if len(rows) > 1 else ""


def _rate(figures: Dict[str, Any]) -> str:
    return "-" if figures["rate"] is None else rate_cell(figures["rate"], tuple(_bounds(figures["interval"])))


def _bounds(interval: Optional[Sequence[Optional[float]]]) -> List[float]:
    return [float("nan") if bound is None else bound for bound in interval or (None, None)]


def _share(figures: Dict[str, Any]) -> str:
    return share_cell(figures["count"], figures["of"])
