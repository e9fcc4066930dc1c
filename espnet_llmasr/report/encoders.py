"""The encoder's part of the report: CKA and swaps, the metrics of entropy allocation, and the drift of joint SFT."""

from pathlib import Path
from typing import Dict, List, Optional, Sequence

from espnet_llmasr.files import read_json_lines, read_text, read_yaml, recipe_path
from espnet_llmasr.metrics.encoder_metrics import UTTERANCE_METRICS
from espnet_llmasr.report.charts import figure_file, line_chart
from espnet_llmasr.report.files import log_table, made_by
from espnet_llmasr.report.stages import Stage

STEP = "pretraining update"
HIDDEN = ("estimator num_components", "estimator ridge", "estimator pooling", "fingerprint", "reference")
NO_CKA = "No cka.jsonl: stage 6 (the watcher) measures CKA while stage 5 trains."
NO_SWAPS = "No swaps.jsonl: stage 8 swaps encoders."
NO_METRICS = "No observe/observations.jsonl: stage 14 measures NSE, PAI, CSAI and CKA of all stored encoders."
NO_DRIFT = "No drift.jsonl: stage 9 writes it with --drift_data."


def swaps(expdir: Path, stages: Sequence[Stage]) -> List[Dict]:
    """CKA over the pretraining, every check of the watcher, every swap."""
    named = (stage.config.get("encoder_dir") for stage in stages)
    folder = next((recipe_path(expdir, name) for name in named if name), expdir / "encoders")
    log, blocks = folder / "cka.jsonl", []
    with made_by(log, "stage 6"):
        checks = read_json_lines(log)
        curves = {"cka": "CKA", **{key: metric.name for key, metric in UTTERANCE_METRICS.items()}}
        (cka, *metrics) = ({name: [(row["step"], row.get(key)) for row in checks]} for key, name in curves.items())
        charts = [
            line_chart("CKA to the reference", cka, (STEP, "CKA"), _threshold(folder / "watch.yaml")),
            *(line_chart(f"{name} of the encoder", curve, (STEP, name)) for curve in metrics for name in curve),
        ]
        table = log_table(log) or NO_CKA
    for path in sorted(expdir.glob("*/decode/swaps.md")):
        blocks.append({"markdown": read_text(path), "heading": f"Encoders of {path.parts[-3]}"})
    for path in sorted(expdir.glob("*/swaps.jsonl")):
        with made_by(path, "stage 8"):
            blocks.append({"markdown": log_table(path), "heading": f"Swaps in {path.parent.name}"})
    blocks += [] if blocks else [{"markdown": NO_SWAPS}]
    return [*filter(None, charts), *blocks, {"markdown": table, "heading": "Checks of the watcher"}]


def _threshold(path: Path) -> Optional[float]:
    """From the watcher's settings; None without them."""
    with made_by(path, "stage 6"):
        settings = read_yaml(path) if path.is_file() else {}
        threshold = settings.get("threshold")
        return None if threshold is None else float(threshold)


def metrics(expdir: Path) -> List[Dict]:
    """All observations of stage 14, and the figures beside them."""
    path = expdir / "observe/observations.jsonl"
    with made_by(path, "stage 14"):
        table = log_table(path, HIDDEN) or NO_METRICS
    figures = [figure_file(file) for file in sorted(path.parent.glob("figure_*.svg"))]
    return [{"markdown": table, "heading": "Entropy allocation"}, *figures]


def drift(expdir: Path) -> List[Dict]:
    """How far joint training moved its encoder from its start."""
    blocks = []
    for path in sorted(expdir.glob("*/drift.jsonl")):
        with made_by(path, "stage 9"):
            rows, name = read_json_lines(path), path.parent.name
            cka = {"CKA": [(row["epoch"], row["cka"]) for row in rows]}
            chart = line_chart(f"{name}: CKA to the starting encoder", cka, ("epoch", "CKA"))
            blocks += [*filter(None, [chart]), {"markdown": log_table(path), "heading": f"Drift of {name}"}]
    return blocks or [{"markdown": NO_DRIFT}]
