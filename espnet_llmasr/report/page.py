"""The report: one HTML page of an experiment, also of one that is still running.

A section is a list of blocks, dictionaries that templates/report.html.j2 shows: `heading`, `markdown`, `figure`
(with `alt`, `src`), `articles` (utterances), `facts` (names and values), `note` (text), `legend`.
"""

import logging
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

from jinja2 import ChoiceLoader, PackageLoader
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from espnet_llmasr.files import recipe_path, write_atomically
from espnet_llmasr.report.encoders import drift, metrics, swaps
from espnet_llmasr.report.examples import examples
from espnet_llmasr.report.files import DAMAGE, describe_error, made_by, read_json
from espnet_llmasr.report.scores import SCORER, decodings, headline, read_scores, robustness, scores
from espnet_llmasr.report.stages import Stage, find_stages, stage_table
from espnet_llmasr.scoring.html import TEMPLATES, environment

Pairs = List[Tuple[str, str]]
RULES = "table heading list emphasis backticks escape entity newline balance_pairs fragments_join text_join".split()
"""All Markdown that is read: no HTML, no links, no images, as names of sets and systems come from elsewhere."""


def render_page(expdir: Path, each: int) -> str:
    """The whole page; `each`: utterances in each group of examples. The same files give the same page."""
    stages = find_stages(expdir)
    makers: Sequence[Tuple[str, Callable[[], List[Dict]]]] = (
        ("Summary", lambda: summary(expdir, stages)),
        ("Stages", lambda: stage_table(stages)),
        ("CKA and encoder swaps", lambda: swaps(expdir, stages)),
        ("Entropy allocation", lambda: metrics(expdir)),
        ("Drift in joint SFT", lambda: drift(expdir)),
        ("Scores", lambda: scores(expdir)),
        ("Robustness", lambda: robustness(expdir)),
        ("Examples", lambda: examples(expdir, each)),
    )
    sections = [(title, blocks_or_note(title, make)) for title, make in makers]
    templates = environment(ChoiceLoader([PackageLoader("espnet_llmasr.report"), TEMPLATES]))
    templates.filters["markdown"] = render_markdown
    title = "/".join(expdir.absolute().parts[-3:])  # the recipe's folder and the experiment's
    return templates.get_template("report.html.j2").render(title=title, sections=sections)


def write_page(expdir: Path, out: Path, each: int) -> int:
    """Writes the page of an experiment; `each`: see `render_page`. Returns its size in bytes.

    Raises:
        ValueError: `expdir` is no folder, or `out` is one.
    """
    if not expdir.is_dir():
        raise ValueError(f"{expdir} is no folder: give that of an experiment, with its stages' folders inside")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: give the name of a file")
    content = render_page(expdir, each).encode("utf-8", "replace")  # half a character in a hypothesis
    write_atomically(out, content)
    return len(content)


def blocks_or_note(title: str, make: Callable[[], List[Dict]]) -> List[Dict]:
    """The blocks of a section; a damaged file costs its section and not the page."""
    try:
        return make()
    except DAMAGE as error:
        reason = str(error) if isinstance(error, ValueError) else describe_error(error)
        logging.warning("%s is left out: %s", title, reason)
        return [{"note": f"Left out: {reason}."}]


def render_markdown(text: str, name: str = "") -> Markup:
    """Markdown as HTML: headings of level 4, tables in boxes called `name` that scroll by themselves."""
    parser = MarkdownIt("zero").enable(RULES)
    box = f'<div class="box" tabindex="0" role="region" aria-label="{escape(name)}">\n<table>\n'
    parser.add_render_rule("table_open", lambda *_: box)
    parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    parser.add_render_rule("heading_open", lambda *_: "<h4>")
    parser.add_render_rule("heading_close", lambda *_: "</h4>\n")
    return Markup(parser.render(text))


def summary(expdir: Path, stages: Sequence[Stage]) -> List[Dict]:
    """The main figures, the models and their data."""
    figures = headline(expdir)
    note = "In brackets: 95 % intervals over the utterances of all test sets together."
    return [
        *([{"facts": figures, "big": True}] if figures else []),
        {"markdown": note if figures else "No figures yet: stage 12 scores what stage 11 has decoded."},
        {"facts": [*_trainings(stages), *_models(expdir, stages), *_scored(expdir)], "big": False},
    ]


def _trainings(stages: Sequence[Stage]) -> Pairs:
    times = sorted(time for stage in stages for time in (stage.began, stage.ended) if time != "-")
    when = f"{times[0]} to {times[-1]}" if times else "no log has a time yet"
    pairs = [("when", when), ("not finished", ", ".join(s.name for s in stages if not s.finished) or "nothing")]
    versions = sorted({str(stage.config["version"]) for stage in stages if stage.config.get("version")})
    return [*pairs, ("ESPnet", ", ".join(versions))] if versions else pairs


def _models(expdir: Path, stages: Sequence[Stage]) -> Pairs:
    """Encoder, labels, LLM and training data as the configurations say."""
    config: Dict[str, Any] = {}
    for stage in reversed(stages):
        config.update(stage.config)
    pairs = []
    if config.get("encoder"):
        sizes = config.get("encoder_conf") or {}
        pairs.append(("encoder", config["encoder"] + _sizes(sizes, "num_blocks", "output_size")))
    if config.get("token_list"):
        tokens = config["token_list"]
        pairs.append(("pretraining predicts", f"{len(tokens)} labels" if isinstance(tokens, list) else str(tokens)))
    llm = recipe_path(expdir, config.get("llm_config") or "exp/llm/config.json")
    if llm.is_file():
        with made_by(llm, "stage 4"):
            sizes = read_json(llm)
            pairs.append(("LLM", sizes["model_type"] + _sizes(sizes, "num_hidden_layers", "hidden_size")))
    data = [entry[0] for entry in config.get("train_data_path_and_name_and_type") or () if entry[1] == "speech"]
    return [*pairs, ("trained on", ", ".join(str(Path(path).parent) for path in data))] if data else pairs


def _sizes(sizes: Dict[str, Any], depth: str, width: str) -> str:
    return f", {sizes[depth]} layers of {sizes[width]}" if depth in sizes and width in sizes else ""


def _scored(expdir: Path) -> Pairs:
    for folder in decodings(expdir)[:1]:
        with made_by(folder / "scores.json", SCORER):
            figures = read_scores(folder)
            tested = (f"{name} ({result['utterances']} utterances)" for name, result in figures["sets"].items())
            return [("tested on", ", ".join(tested)), ("scored by the route", figures["routes"][0])]
    return []
