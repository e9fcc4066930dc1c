"""The head of the report: what was trained on what, when, with which versions, and what came out."""

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from espnet_llmasr.report.files import beside, made_by, read_json
from espnet_llmasr.report.html import facts, note
from espnet_llmasr.report.scores import decodings, headline, read_scores
from espnet_llmasr.report.stages import Stage, spans, total_flops

_TORCH = re.compile(r"pytorch\.version=([^,\s]+)")
HEAD_LINES = 200  # of a log, in which the versions stand

Pairs = List[Tuple[str, str]]


def title_of(expdir: Path) -> str:
    """The recipe's folder and the experiment's, as "mini_zh_en/llmasr1/exp"."""
    return "/".join(expdir.absolute().parts[-3:])


def head(expdir: Path, stages: Sequence[Stage]) -> str:
    """The main figures as large cards, everything else as small ones."""
    figures = headline(expdir)
    found = facts(figures, "big") if figures else note("No figures yet: stage 12 scores what stage 11 has decoded.")
    if figures:
        found += note("In brackets: 95 % intervals over the utterances of all test sets together.")
    return found + facts(
        [*_dates(expdir, stages), *_models(expdir, stages), *_sets(expdir, stages), *_versions(expdir, stages)]
    )


def _dates(expdir: Path, stages: Sequence[Stage]) -> Pairs:
    """From the first to the last line of any log, and how far the trainings are."""
    times = [moment for _, span in spans(expdir, stages) for moment in span]
    if not times:
        return [("when", "no log has a time yet")]
    begin, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in (min(times), max(times)))
    running = [stage.name for stage in stages if not stage.finished]
    pairs = [("when", f"{begin} to {end}"), ("not finished", ", ".join(running) or "nothing")]
    flops = total_flops(stages)
    return pairs if flops is None else [*pairs, ("FLOPs of all trainings", f"{flops:.3e}")]


def _models(expdir: Path, stages: Sequence[Stage]) -> Pairs:
    """Encoder and LLM as their configurations say."""
    config = next((stage.config for stage in stages if stage.config.get("encoder")), {})
    sizes = config.get("encoder_conf") or {}
    pairs = [("encoder", f"{config['encoder']}{_listed(sizes, 'num_blocks', 'output_size')}")] if config else []
    tokens = next((stage.config["token_list"] for stage in stages if stage.config.get("token_list")), None)
    if tokens:
        count = f"{len(tokens)} labels" if isinstance(tokens, list) else f"labels of {tokens}"
        pairs.append(("pretraining predicts", count))
    told = (stage.config.get("llm_config") for stage in stages)
    llm = next((beside(expdir, name) for name in told if name), expdir / "llm/config.json")
    if llm.is_file():
        with made_by(llm, "stage 4"):
            sizes = read_json(llm)
            pairs.append(("LLM", f"{sizes['model_type']}{_listed(sizes, 'num_hidden_layers', 'hidden_size')}"))
    return pairs


def _listed(sizes: Dict[str, Any], depth: str, width: str) -> str:
    return f", {sizes[depth]} layers of {sizes[width]}" if depth in sizes and width in sizes else ""


def _sets(expdir: Path, stages: Sequence[Stage]) -> Pairs:
    """The training and validation data by the trainings' configurations, and what was scored."""
    pairs = []
    for kind in ("train", "valid"):
        folders = dict.fromkeys(folder for stage in stages for folder in _folders(stage, kind))
        if folders:
            pairs.append(({"train": "trained on", "valid": "validated on"}[kind], "; ".join(_sizes(expdir, folders))))
    for folder in decodings(expdir)[:1]:
        with made_by(folder / "scores.json", "stage 12"):
            sets = read_scores(folder)["sets"]
            tested = ", ".join(f"{name} ({result['utterances']} utterances)" for name, result in sets.items())
            pairs.append(("tested on", tested))
    return pairs


def _folders(stage: Stage, kind: str) -> Iterator[str]:
    for entry in stage.config.get(f"{kind}_data_path_and_name_and_type") or []:
        if entry[1] == "speech":
            yield str(Path(entry[0]).parent)


def _sizes(expdir: Path, folders: Dict[str, None]) -> Iterator[str]:
    """With utterances and hours where stage 2's stats.json is still there."""
    for folder in folders:
        stats = beside(expdir, folder) / "stats.json"
        if stats.is_file():
            with made_by(stats, "stage 2"):
                found = read_json(stats)
                yield f"{folder} ({found['utts']} utterances, {found['hours']:.2f} h)"
        else:
            yield folder


def _versions(expdir: Path, stages: Sequence[Stage]) -> Pairs:
    """Of what has trained and scored, as far as configurations, logs and scores say."""
    espnet = {str(stage.config["version"]) for stage in stages if stage.config.get("version")}
    torch = {version for path in expdir.glob("*/train.log") for version in _torch(path)}
    routes = [route for folder in decodings(expdir)[:1] for route in read_scores(folder).get("routes", [])]
    found = {"ESPnet": sorted(espnet), "PyTorch": sorted(torch), "scored by the route": routes[:1]}
    return [(name, ", ".join(versions)) for name, versions in found.items() if versions]


def _torch(path: Path) -> List[str]:
    with open(path, encoding="utf-8", errors="replace") as lines:
        found: List[Optional[re.Match]] = [_TORCH.search(line) for line, _ in zip(lines, range(HEAD_LINES))]
    return [match[1] for match in found if match]
