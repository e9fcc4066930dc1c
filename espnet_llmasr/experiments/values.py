"""A finished run as one line of runs.jsonl: FLOPs of its stages, error rates, metrics of its encoders."""

import json
from pathlib import Path
from typing import Dict, Optional

from espnet_llmasr.experiments.strategies import Strategy
from espnet_llmasr.metrics.encoder_metrics import METRICS, SET_METRICS
from espnet_llmasr.metrics.hallucination import DEFINITIONS
from espnet_llmasr.observe.observations import FILE, read_observations
from espnet_llmasr.train.flops_log import read_flops

NONSPEECH = "nonspeech"
Values = Dict[str, Optional[float]]


def collect(strategy: Strategy, seed: int, exp: Path, base: Path) -> Dict:
    """The line of a run in the folder `exp`, whose pretraining is in `base`.

    Raises:
        ValueError, OSError: a result is missing.
    """
    folders = {name: (base if name == "pretrain" else exp) / name for name in strategy.trainings}
    flops = {name: sum(epoch["flops"] for epoch in read_flops(folder)) for name, folder in folders.items()}
    values = {**scores(exp / strategy.last / "decode" / "scores.json"), **metrics(exp / "observe")}
    return dict(strategy=strategy.name, seed=seed, flops=flops, values=values)


def scores(path: Path) -> Values:
    """Error and hallucination rates of the test set in %, and output for the clips without speech."""
    sets = json.loads(path.read_text())["sets"]
    test, silent = sets["test"], sets[NONSPEECH]
    values = {"MER %": 100 * test["routes"]["none"]["mer"]["rate"]}
    values.update({f"hallucinated ({rule}) %": 100 * test["hallucination"][rule]["rate"] for rule in DEFINITIONS})
    values["nonspeech: non-empty %"] = 100 * silent["non_speech"]["non_empty"]["rate"]
    values["nonspeech: loops %"] = 100 * silent["hallucination"]["loop"]["rate"]
    values["nonspeech: chars/min"] = silent["non_speech"]["chars_per_minute"]
    return values


def metrics(folder: Path) -> Values:
    """All metrics of the final encoder ("after"), those of the set with their bias (permuted utterances).

    Then their change in joint SFT, and CKA to the encoder from which joint SFT started ("before"); null without one.
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
