"""The trainings of an experiment: configuration, what train.log reports for every epoch, and when it was written."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml

from espnet_llmasr.files import read_json_lines, read_text
from espnet_llmasr.report.charts import Points, line_chart
from espnet_llmasr.report.files import DAMAGE, made_by
from espnet_llmasr.scoring.markdown import cell_text, markdown
from espnet_llmasr.train.checkpoints import FINISHED

ORDER = ("pretrain", "align", "ia_sft", "joint_sft", "ctc_head")
COLUMNS = ("stage", "epochs", "began", "last line", "best valid. loss", "last valid. loss", "last train. loss", "FLOPs")
CURVES = {"loss": ("train", "valid"), "per": ("valid",), "acc": ("train", "valid")}
"""Numbers that are drawn, and of which data; those that a stage does not report are left out."""
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
_EPOCH = re.compile(r"(\d+)epoch results: \[train\] (.*?), \[valid\] (.*)")
_NUMBER = re.compile(r"(\w+)=([-+.\de]+|nan|inf)(?=,|$)")


@dataclass
class Stage:
    """A folder in which something was trained. `epochs`: number -> "train" or "valid" -> name -> value.

    ESPnet's train.log begins anew when a training is resumed, so `epochs` may begin after 1 and `began` is that of the
    last start; use_tensorboard keeps all epochs.
    """

    folder: Path
    config: Dict[str, Any]
    epochs: Dict[int, Dict[str, Dict[str, float]]]
    finished: bool
    began: str
    ended: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def flops(self) -> Optional[int]:
        """Of all epochs; None where they were not counted.

        Raises:
            ValueError: a damaged file.
        """
        path = self.folder / "flops.jsonl"
        with made_by(path, "the training"):
            return sum(row["flops"] for row in read_json_lines(path)) or None

    def series(self, data: str, name: str) -> Points:
        return [(epoch, values[data][name]) for epoch, values in self.epochs.items() if name in values[data]]


def find_stages(expdir: Path) -> List[Stage]:
    """Every folder with the configuration of a training, those of the recipe first and in its order."""
    configs = {path.parent.name: _config(path) for path in expdir.glob("*/config.yaml")}
    names = [name for name in configs if "max_epoch" in configs[name]]
    ranked = sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [_stage(expdir / name, configs[name]) for name in ranked]


def _config(path: Path) -> Dict[str, Any]:
    """Empty while ESPnet is writing it."""
    try:
        config = yaml.safe_load(read_text(path))
    except DAMAGE:
        return {}
    return config if isinstance(config, dict) else {}


def _stage(folder: Path, config: Dict[str, Any]) -> Stage:
    log, epochs, times = folder / "train.log", {}, []
    if log.is_file():
        with open(log, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                clock, results = _CLOCK.match(line), _EPOCH.search(line)
                times += [clock[0]] if clock else []
                if results:
                    epochs[int(results[1])] = {"train": _numbers(results[2]), "valid": _numbers(results[3])}
    began, ended = (times[0], times[-1]) if times else ("-", "-")
    return Stage(folder, config, epochs, (folder / FINISHED).is_file(), began, ended)


def _numbers(text: str) -> Dict[str, float]:
    """Plain numbers of "loss=1.5, time=3 seconds, lr=1.0e-03"."""
    return {name: float(value) for name, value in _NUMBER.findall(text)}


def stage_table(stages: List[Stage]) -> List[Dict]:
    """One row for every training, and the curves of each."""
    if not stages:
        return [{"markdown": "No training has begun: stages 5 to 10 train."}]
    notes = [note for stage in stages for note in _notes(stage)]
    blocks = [{"markdown": markdown([COLUMNS, *map(_cells, stages)]), "heading": "Trainings"}]
    blocks += [{"markdown": note} for note in notes]
    for stage in stages:
        for name, parts in CURVES.items():
            lines = {f"{name}, {part}": stage.series(part, name) for part in parts}
            blocks.append(line_chart(f"{stage.name}: {name}", lines, ("epoch", name)))
    return [block for block in blocks if block]


def _notes(stage: Stage) -> List[str]:
    losses = [*stage.series("train", "loss"), *stage.series("valid", "loss")]
    diverged = [epoch for epoch, loss in losses if not math.isfinite(loss)]
    first = min(stage.epochs, default=1)
    resumed = f"{stage.name} was resumed: its log, and so its begin and its curves, start with epoch {first}."
    infinite = f"{stage.name}: the loss is not finite in epochs {', '.join(map(str, sorted(set(diverged))))}."
    return [resumed] * (first > 1) + [infinite] * bool(diverged)


def _cells(stage: Stage) -> List[str]:
    last = max(stage.epochs, default=0)
    state = f"{last}" + ("" if stage.finished else f" of {stage.config['max_epoch']}, not finished")
    losses = [(loss, epoch) for epoch, loss in stage.series("valid", "loss") if math.isfinite(loss)]
    best = "{:.4f} (epoch {})".format(*min(losses)) if losses else "-"
    ends: List[Tuple[float, ...]] = [stage.series(part, "loss")[-1:] for part in ("valid", "train")]
    flops = "-" if stage.flops is None else f"{stage.flops:.3e}"
    numbers = [f"{end[0][1]:.4f}" if end else "-" for end in ends]
    return [cell_text(stage.name), state, stage.began, stage.ended, best, *numbers, flops]
