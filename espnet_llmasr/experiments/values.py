"""What the files of one finished run say: FLOPs of its stages, error rates, metrics of its encoders."""

import json
from pathlib import Path
from typing import Dict, Optional

from espnet_llmasr.metrics.encoder_metrics import METRICS, SET_METRICS
from espnet_llmasr.metrics.hallucination import DEFINITIONS
from espnet_llmasr.observe.observations import FILE, read_observations
from espnet_llmasr.train.flops_log import read_flops

NONSPEECH = "nonspeech"
Values = Dict[str, Optional[float]]


def stage_flops(folder: Path) -> float:
    """All that a training has cost, from its flops.jsonl."""
    return sum(line["flops"] for line in read_flops(folder))


def scores(path: Path) -> Values:
    """Error and hallucination rates of the test set in %, and what was written where nothing is said."""
    sets = json.loads(path.read_text())["sets"]
    test, silent = sets["test"], sets[NONSPEECH]
    values = {"MER %": 100 * test["routes"]["none"]["mer"]["rate"]}
    values.update({f"hallucinated ({rule}) %": 100 * test["hallucination"][rule]["rate"] for rule in DEFINITIONS})
    values["nonspeech: non-empty %"] = 100 * silent["non_speech"]["non_empty"]["rate"]
    values["nonspeech: loops %"] = 100 * silent["hallucination"]["loop"]["rate"]
    values["nonspeech: chars/min"] = silent["non_speech"]["chars_per_minute"]
    return values


def metrics(folder: Path) -> Values:
    """Of the final encoder ("after"): all metrics, those of the set with their bias (permuted utterances).

    Then their change in the joint SFT, and CKA to the encoder with which that has started ("before"); null without one.
    """
    rows = {row.name: row for row in read_observations(folder / FILE)}
    after, before = rows["after"], rows.get("before")
    values = {}
    for name, metric in METRICS.items():
        values[metric.name] = after.values[name]
        if name in SET_METRICS:
            values[f"{metric.name} baseline"] = after.values[f"{name}_baseline"]
    for name, metric in METRICS.items():
        values[f"{metric.name} change"] = None if before is None else after.values[name] - before.values[name]
    values["CKA to start"] = None if before is None else after.cka_reference[-1]
    return values
