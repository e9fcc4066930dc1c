"""Error rates, hallucination, benchmarks and robustness: the Markdown that stages 12 and 13 wrote, as it is."""

from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

from espnet_llmasr.files import read_text
from espnet_llmasr.report.files import made_by, read_json
from espnet_llmasr.scoring.markdown import rate_cell

SCORER = "stage 12"
PAGES = {"scores.md": "transcripts", "phone_scores.md": "labels of greedy CTC", "benchmark.md": "benchmarks"}
ROBUSTNESS = {
    "nonspeech.md": "Clips without speech",
    "replaced.md": "The guard on replaced audio",
    "redecode.md": "Doubtful transcripts decoded again",
}


def decodings(expdir: Path) -> List[Path]:
    """Folders with scores.json; that of joint SFT first, as it is the recipe's result, then the earlier stages'."""
    folders = [path.parent for path in sorted(expdir.glob("*/decode/scores.json"))]
    rank = {name: -place for place, name in enumerate(("pretrain", "align", "ia_sft", "ctc_head", "joint_sft"))}
    return sorted(folders, key=lambda folder: (rank.get(folder.parent.name, 1), folder.parent.name))


def read_scores(folder: Path) -> Dict:
    return read_json(folder / "scores.json")


def main_route(result: Dict) -> Dict:
    """The figures of the first route."""
    return next(iter(result["routes"].values()))


def scores(expdir: Path) -> List[Dict]:
    """The tables of every decoded model."""
    models = [*decodings(expdir), *(path.parent for path in sorted(expdir.glob("*/decode/phone_scores.md")))]
    pages = [(folder / file, f"{folder.parent.name}: {title}") for folder in models for file, title in PAGES.items()]
    return _pages(pages) or [{"markdown": "No scores.md: stage 11 decodes and stage 12 scores."}]


def robustness(expdir: Path) -> List[Dict]:
    """The tables of stage 13 for each model."""
    folders = sorted(expdir.glob("*/robustness"))
    pages = [
        (folder / file, f"{title} ({folder.parent.name})") for folder in folders for file, title in ROBUSTNESS.items()
    ]
    note = "No robustness/*.md: stage 13 measures clips without speech and replaced audio."
    return _pages(pages) or [{"markdown": note}]


def _pages(pages: Iterable[Tuple[Path, str]]) -> List[Dict]:
    """Those that exist, each once."""
    texts = {title: read_text(path) for path, title in pages if path.is_file()}
    return [{"heading": title, "markdown": text} for title, text in texts.items()]


def headline(expdir: Path) -> List[Tuple[str, str]]:
    """The main figures with their 95 % intervals; empty before stage 12."""
    for folder in decodings(expdir)[:1]:
        with made_by(folder / "scores.json", SCORER):
            result = read_scores(folder)["all"]
            route, model = main_route(result), folder.parent.name
            parts = {"MER": "mer", "CER zh": "cer_han", "WER en": "wer_words"}
            rates = {f"{name} %, {model}": route[part] for name, part in parts.items()}
            rates["hallucinated % (paper's rule)"] = result["hallucination"]["paper"]
            known = {name: rate for name, rate in rates.items() if rate["rate"] is not None}
            return [(name, rate_cell(rate["rate"], _bounds(rate["interval"]))) for name, rate in known.items()]
    return []


def _bounds(interval: List[Optional[float]]) -> Optional[List[float]]:
    return None if None in interval else interval
