"""The encoder's part of the report: CKA and swaps, the metrics of entropy allocation, and the drift of joint SFT."""

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import yaml

from espnet_llmasr.report.charts import charts, finite, image, line_chart
from espnet_llmasr.report.files import made_by
from espnet_llmasr.report.html import details, note, number, table
from espnet_llmasr.encoder_swap.rule import CKACheck, cka_log
from espnet_llmasr.encoder_swap.table import ACTIONS, count_swaps, uses
from espnet_llmasr.encoder_swap.trainer import Swap, swap_log
from espnet_llmasr.metrics.encoder_metrics import METRICS, SET_METRICS, UTTERANCE_METRICS
from espnet_llmasr.observe.observations import Observation, read_observations
from espnet_llmasr.train.drift import Drift, drift_log

STEP = "pretraining update"
DRAWN_LAYERS = 4
OBSERVED = ("checkpoint", "stage", "update", "encoder or model", "set", "utts")
OBSERVED_CKA = ("CKA text", "CKA text, adaptor", "CKA reference")
ABOUT_METRICS = (
    "NSE: normalised singular entropy of the encoder's output, and its standard deviation over utterances. PAI and "
    "CSAI: bits about the phonetic and, beyond them, the semantic targets; shuffled: with the utterances permuted, "
    "which is the estimator's bias. CKA text: of the last layer to the text (Eq. 10); reference: to another encoder."
)


def swap_epochs(expdir: Path) -> Dict[str, List[int]]:
    """Stage -> the epochs that began with another encoder."""
    found = {}
    for path in sorted(expdir.glob("*/swaps.jsonl")):
        with made_by(path, "stage 7 or 8"):
            swapped = [int(swap.epoch) for swap in swap_log(path).read() if swap.encoder_step != swap.previous_step]
        found[path.parent.name] = swapped
    return found


def swaps(expdir: Path, folder: Path) -> str:
    """CKA over the pretraining, the layers, and which epoch took which encoder of `folder`."""
    log, taken = folder / "cka.jsonl", expdir / "ia_sft/swaps.jsonl"
    with made_by(taken, "stage 8"):
        swapped = swap_log(taken).read()
    with made_by(log, "stage 6"):
        checks = cka_log(folder).read()
        if not checks:
            return note(f"No {folder.name}/cka.jsonl: stage 6 (the watcher) measures CKA while stage 5 trains.")
        drawn = [_cka_chart(checks, _threshold(folder)), _layer_chart(checks), *_head_charts(checks)]
        missing = "Only the first reference so far: CKA begins with the next check."
        return charts(drawn, missing) + _tables(checks, swapped)


def _threshold(folder: Path) -> Optional[float]:
    """What the watcher has noted, None where it has not."""
    path = folder / "watch.yaml"
    with made_by(path, "stage 6"):
        found = yaml.safe_load(path.read_text(encoding="utf-8")).get("threshold") if path.is_file() else None
        return None if found is None else float(found)


def _column(checks: Sequence[CKACheck], name: str, *actions: str) -> Tuple[List[int], List[Optional[float]]]:
    """Steps and values, of checks with one of the actions or of all."""
    rows = [check for check in checks if not actions or check.action in actions]
    return [check.step for check in rows], [check.cka if name == "cka" else check.values.get(name) for check in rows]


def _cka_chart(checks: Sequence[CKACheck], threshold: Optional[float]) -> str:
    lines = [
        finite("CKA to the reference", *_column(checks, "cka")),
        finite("published: new reference", *_column(checks, "cka", "publish"), "v"),
        finite("pretraining ended", *_column(checks, "cka", "final"), "s"),
    ]
    levels = [] if threshold is None else [(f"threshold {threshold:g}", threshold)]
    begin = [check.step for check in checks if check.action == "reference"]
    return line_chart("cka", "CKA of the encoder to the reference", lines, (STEP, "linear CKA"), levels, begin)


def _layer_chart(checks: Sequence[CKACheck]) -> str:
    """The first, the last and some between."""
    compared = [check for check in checks if check.cka_layers]
    depth = len(compared[0].cka_layers) if compared else 0
    chosen = sorted({round(layer) for layer in np.linspace(0, depth - 1, min(DRAWN_LAYERS, depth))})
    steps = [check.step for check in compared]
    lines = [finite(f"block {n + 1} of {depth}", steps, [check.cka_layers[n] for check in compared]) for n in chosen]
    return line_chart("cka-layers", "CKA of single blocks to the reference", lines, (STEP, "linear CKA"))


def _head_charts(checks: Sequence[CKACheck]) -> List[str]:
    """The metrics of the encoder, and the CTC head."""
    metrics = [
        line_chart(
            f"watch-{name}",
            f"{metric.name} of the encoder at each check",
            [finite(metric.name, *_column(checks, name))],
            (STEP, metric.label),
        )
        for name, metric in UTTERANCE_METRICS.items()
    ]
    head = [finite("blank share", *_column(checks, "blank")), finite("peak probability", *_column(checks, "peak"))]
    return [*metrics, line_chart("watch-head", "CTC head at each check", head, (STEP, "share, probability"))]


def _tables(checks: Sequence[CKACheck], swapped: Sequence[Swap]) -> str:
    used = [_swap_cells(check, swapped) for check in checks if check.action != "keep"]
    head = (STEP, "CKA to the reference", "action", "encoder used in", "time of the check")
    said = f"Encoder swaps during IA-SFT: {count_swaps(swapped)}." if swapped else "No ia_sft/swaps.jsonl: stage 8 swaps encoders."
    layers = [[f"{check.step}", *map(number, check.cka_layers)] for check in checks if check.cka_layers]
    blocks = [STEP, *(f"block {place}" for place in range(1, max(map(len, layers), default=1)))]
    every = details("CKA of every block at every check", table("CKA of every block", blocks, layers)) if layers else ""
    return table("Encoders", head, used, text_columns=(2, 3)) + note(said) + every


def _swap_cells(check: CKACheck, swapped: Sequence[Swap]) -> List[str]:
    action, used = ACTIONS.get(check.action, check.action), "; ".join(uses(check, swapped)) or "-"
    return [f"{check.step}", number(check.cka), action, used, check.time.replace("T", " ")]


def metrics(expdir: Path) -> str:
    """The table of observations, and the figures that lie beside it."""
    path = expdir / "observe/observations.jsonl"
    if not path.is_file():
        return note("No observe/observations.jsonl: stage 14 measures NSE, PAI, CSAI and CKA of all stored encoders.")
    with made_by(path, "stage 14"):
        rows = [_observed(row) for row in read_observations(path)]
        names = [m.name + (" (shuffled)" if key in SET_METRICS else "") for key, m in METRICS.items()]
        observed = table("Entropy allocation", [*OBSERVED, *names, *OBSERVED_CKA], rows, text_columns=(1, 3, 4))
    figures = [image(one, one.stem.replace("_", " ")) for one in sorted(path.parent.glob("figure_*.svg"))]
    drawn = "".join(figures) or note("No observe/figure_*.svg: stage 14 draws them.")
    return observed + note(ABOUT_METRICS) + drawn


def _observed(row: Observation) -> List[str]:
    return [
        *(row.name, row.stage, "-" if row.step is None else f"{row.step}", row.model, row.set, f"{row.utterances}"),
        *(f"{number(row.values[name])} ± {number(row.values[f'{name}_std'])}" for name in UTTERANCE_METRICS),
        *(f"{number(row.values[name])} ({number(row.values[f'{name}_baseline'])})" for name in SET_METRICS),
        *(number(layers[-1] if layers else None) for layers in (row.cka_text, [row.cka_text_adaptor])),
        number(row.cka_reference[-1] if row.cka_reference else None),
    ]


def drift(expdir: Path) -> str:
    """How far joint training moved its encoder; warnings are marked."""
    parts = [_drift(place, path) for place, path in enumerate(sorted(expdir.glob("*/drift.jsonl")))]
    return "".join(parts) or note("No joint_sft/drift.jsonl: stage 9 writes it with --drift_data.")


def _drift(place: int, path: Path) -> str:
    with made_by(path, "stage 9"):
        return _drift_part(place, path.parent.name, drift_log(path.parent).read())


def _drift_part(place: int, stage: str, rows: Sequence[Drift]) -> str:
    epochs, warned = [row.epoch for row in rows], [row.epoch for row in rows if row.warning]
    cka = [finite("CKA to the start", epochs, [row.cka for row in rows])]
    bits = [finite(m.name, epochs, [row.values.get(name) for row in rows]) for name, m in SET_METRICS.items()]
    drawn = [
        line_chart(
            f"drift{place}-cka", f"{stage}: CKA to the starting encoder", cka, ("epoch", "linear CKA"), (), warned
        ),
        line_chart(f"drift{place}-bits", f"{stage}: PAI and CSAI", bits, ("epoch", "bits"), (), warned),
    ]
    listed = ", ".join(map(str, warned))
    said = f"PAI lower and CSAI higher than at the start: epochs {listed} (dotted lines)." if warned else "No warning."
    head = ("epoch", "CKA to the start", *(metric.name for metric in METRICS.values()), "warning")
    cells = table(f"Drift of {stage}", head, map(_drift_cells, rows))
    return note(f"{stage}: {said}") + charts(drawn, "No check is complete yet.") + cells


def _drift_cells(row: Drift) -> List[str]:
    values = [number(row.values.get(name)) for name in METRICS]
    return [f"{row.epoch}", number(row.cka), *values, "⚠ yes" if row.warning else "no"]
