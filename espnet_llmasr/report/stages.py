"""The trainings of an experiment: the table of stages, the timeline, and the curves of each."""

import logging
import math
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import yaml

from espnet_llmasr.report.charts import Bar, Line, charts, line_chart, timeline
from espnet_llmasr.report.files import DAMAGE, Span, beside, log_span, made_by, told
from espnet_llmasr.report.history import Epoch, read_epochs, seconds, series, updates
from espnet_llmasr.report.html import duration, note, number, table
from espnet_llmasr.train.checkpoints import FINISHED
from espnet_llmasr.train.flops_log import FILE, read_flops
from espnet_llmasr.encoder_swap.rule import cka_log
from espnet_llmasr.encoder_swap.trainer import swap_log

ORDER = ("pretrain", "align", "ia_sft", "joint_sft", "ctc_head")
OTHER_LOGS = {
    "statistics": "stats/stats.log",
    "LLM": "llm/prepare.log",
    "guard": "ctc_head/guard.log",
    "decoding": "*/decode/*/log/*.log",
}
COLUMNS = ("stage", "epochs", "updates", "training time", "began", "last line")
LOSSES = ("best valid. loss", "last valid. loss", "last train. loss")
CURVES: Tuple[Tuple[str, str, Sequence[Tuple[str, str, str]]], ...] = (
    ("loss", "Loss", (("training", "train", "loss"), ("validation", "valid", "loss"))),
    ("per", "Label error rate, validation", (("label error rate", "valid", "per"),)),
    ("acc", "Token accuracy", (("training", "train", "acc"), ("validation", "valid", "acc"))),
    ("lr", "Learning rate", (("learning rate", "train", "lr"),)),
    ("peaks", "CTC output, validation", (("blank share", "valid", "blank"), ("peak probability", "valid", "peak"))),
)
"""Name, title, and the curves as (label, part of the epoch, number); what a stage does not report is left out."""


@dataclass
class Stage:
    """A folder in which something was trained. `span`: of its log, which begins anew when a training is resumed."""

    name: str
    config: Dict[str, Any]
    epochs: Dict[int, Epoch]
    finished: bool
    span: Optional[Span]
    flops: Optional[float]

    @property
    def last_epoch(self) -> int:
        return max(self.epochs, default=0)


def find_stages(expdir: Path) -> List[Stage]:
    """Every folder with the configuration of a training, those of the recipe first and in its order."""
    configs = {path.parent.name: _config(path) for path in sorted(expdir.glob("*/config.yaml"))}
    names = [name for name in configs if "max_epoch" in configs[name]]
    ranked = sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [_stage(expdir / name, configs[name]) for name in ranked]


def _config(path: Path) -> Dict[str, Any]:
    """Empty while ESPnet is writing it."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except DAMAGE:
        return {}
    return config if isinstance(config, dict) else {}


def _stage(folder: Path, config: Dict[str, Any]) -> Stage:
    log = folder / "train.log"
    span = log_span([log]) if log.is_file() else None
    return Stage(folder.name, config, read_epochs(folder), (folder / FINISHED).is_file(), span, _flops(folder))


def _flops(folder: Path) -> Optional[float]:
    """Of all epochs; None where they were not all counted."""
    if not (folder / FILE).is_file():
        return None
    try:
        return float(sum(line["flops"] for line in read_flops(folder)))
    except DAMAGE as error:
        logging.warning("no FLOPs: %s", told(error))
        return None


def stage_table(stages: Sequence[Stage]) -> str:
    """One row a training."""
    if not stages:
        return note("No training has begun: stages 5 to 10 train.")
    resumed = [stage.name for stage in stages if _is_resumed(stage)]
    notes = note("Training time: of all epochs, with their validation, and with waiting for a first encoder.")
    if resumed:
        notes += note(f"Resumed: {', '.join(resumed)}. The log, and so the begin, is that of the last start.")
    for stage in stages:
        if min(stage.epochs, default=1) > 1:
            notes += note(f"{stage.name}: what epochs 1 to {min(stage.epochs) - 1} took and reported is not known.")
        if diverged := _not_finite(stage):
            notes += note(f"{stage.name}: the loss is not finite in {len(diverged)} epochs, first in {diverged[0]}.")
    head, rows = [*COLUMNS, *LOSSES], [_cells(stage) for stage in stages]
    if any(stage.flops is not None for stage in stages):
        head.append("FLOPs")
        rows = [[*cells, number(stage.flops, "{:.3e}".format)] for cells, stage in zip(rows, stages)]
    return table("Trainings", head, rows) + notes


def _is_resumed(stage: Stage) -> bool:
    """The log begins after the first epoch, or its span is shorter than the epochs took."""
    if min(stage.epochs, default=1) > 1:
        return True
    return stage.span is not None and seconds(stage.epochs) > (stage.span[1] - stage.span[0]).total_seconds() + 60


def _not_finite(stage: Stage) -> List[int]:
    """Epochs in which the loss in training or validation is not a number, or infinite."""
    return [
        number
        for number, epoch in stage.epochs.items()
        if not all(math.isfinite(values.get("loss", 0.0)) for values in epoch.values())
    ]


def _cells(stage: Stage) -> List[str]:
    state = f"{stage.last_epoch}" + ("" if stage.finished else f" of {stage.config['max_epoch']}, not finished")
    numbers, losses = series(stage.epochs, "valid", "loss")
    best = min(zip(losses, numbers), default=None)
    last = stage.epochs.get(stage.last_epoch, {})
    begin, end = (_clock(moment) for moment in stage.span or (None, None))
    return [
        stage.name,
        state,
        f"{updates(stage.epochs, stage.config.get('accum_grad') or 1):,}",
        duration(seconds(stage.epochs)),
        begin,
        end,
        f"{best[0]:.4f} (epoch {best[1]})" if best else "-",
        *(number(last.get(part, {}).get("loss")) for part in ("valid", "train")),
    ]


def _clock(moment: Optional[datetime]) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "-"


def encoder_dir(expdir: Path, stages: Sequence[Stage]) -> Path:
    """Where the watcher published encoders: as the fine-tuning was told, else in the experiment."""
    told = (stage.config.get("encoder_dir") for stage in stages)
    return next((beside(expdir, name) for name in told if name), expdir / "encoders")


def spans(expdir: Path, stages: Sequence[Stage]) -> List[Tuple[str, Span]]:
    """What ran when, by the first and last line of its logs, in the order in which it began."""
    found = {stage.name: stage.span for stage in stages}
    found["watcher"] = log_span(encoder_dir(expdir, stages).glob("*.log"))
    found.update({name: log_span(sorted(expdir.glob(pattern))) for name, pattern in OTHER_LOGS.items()})
    return sorted(((name, span) for name, span in found.items() if span), key=lambda row: row[1])


def timeline_chart(expdir: Path, stages: Sequence[Stage]) -> str:
    """Bars of all that left a log, encoder updates marked on them, and in words what ran beside what."""
    rows = spans(expdir, stages)
    if not rows:
        return note("No log has a time of day yet: every stage leaves one.")
    origin = min(begin for _, (begin, _) in rows)
    points = _points(expdir, encoder_dir(expdir, stages) / "cka.jsonl")
    bars = [
        Bar(name, *(_hours(moment, origin) for moment in span), [_hours(p, origin) for p in points.get(name, ())])
        for name, span in rows
    ]
    told = f"{_beside(rows)} Diamonds: encoders published by the watcher, and taken by IA-SFT."
    return charts([timeline("timeline", "What ran when", bars, told)], "") + note(told)


def _points(expdir: Path, log: Path) -> Dict[str, List[datetime]]:
    """When encoders were published and when IA-SFT took them."""
    with made_by(log, "stage 6"):
        published = _moments(check.time for check in cka_log(log.parent).read() if check.action in ("publish", "final"))
    with made_by(expdir / "ia_sft/swaps.jsonl", "stage 8"):
        taken = _moments(swap.time for swap in swap_log(expdir / "ia_sft/swaps.jsonl").read())
    return {"watcher": published, "ia_sft": taken}


def _moments(times: Iterable[str]) -> List[datetime]:
    return [datetime.fromisoformat(time) for time in times if time]


def _hours(moment: datetime, origin: datetime) -> float:
    return (moment - origin).total_seconds() / 3600


def _beside(rows: Sequence[Tuple[str, Span]]) -> str:
    """For everybody who does not see the bars."""
    pairs = [
        (name, [other for other, its in rows if other != name and its[0] < span[1] and span[0] < its[1]])
        for name, span in rows
    ]
    told = [f"{name} ran beside {', '.join(others)}." for name, others in pairs if others]
    return " ".join(told) or "Nothing ran side by side."


def curves(stages: Sequence[Stage], swap_epochs: Dict[str, Sequence[int]]) -> str:
    """A heading and its charts for every training; vertical lines mark the epochs of `swap_epochs`, by stage."""
    parts = []
    for place, stage in enumerate(stages):
        marks = swap_epochs.get(stage.name, ())
        drawn = [_curve(f"s{place}-{name}", title, stage, lines, marks) for name, title, lines in CURVES]
        body = charts(drawn, "No epoch is complete yet.")
        parts.append(f"<h3>{escape(stage.name)}</h3>\n{note(MARKS) if marks else ''}{body}")
    return "".join(parts) or note("No training has begun: stages 5 to 10 train.")


MARKS = "Dotted vertical lines: epochs that began with another encoder."


def _curve(ident: str, title: str, stage: Stage, lines, marks: Sequence[int]) -> str:
    drawn = [Line(label, *series(stage.epochs, part, name)) for label, part, name in lines]
    ends = [mark for mark in marks if mark <= max(stage.last_epoch, 1)] if ident.endswith("loss") else []
    return line_chart(ident, f"{stage.name}: {title}", drawn, ("epoch", title.partition(",")[0].lower()), marks=ends)


def total_flops(stages: Sequence[Stage]) -> Optional[float]:
    """Of all trainings together, None where one of them has not counted."""
    counted = [stage.flops for stage in stages]
    return math.fsum(counted) if counted and None not in counted else None
