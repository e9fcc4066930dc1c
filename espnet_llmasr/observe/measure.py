"""One pass over a set: all metrics and CKA of one encoder (section 3.2, 4.4 and A.4 of arXiv 2604.08003).

Memory does not grow with the audio: of every utterance only its pooled vectors stay.

B utterances, L frames, D encoder width, E width of a text embedding, M metrics of utterances.
"""

import logging
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from espnet_llmasr.files import read_scp
from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool, projected
from espnet_llmasr.metrics.cka import layer_cka, linear_cka
from espnet_llmasr.metrics.encoder_metrics import (
    METRICS,
    SET_METRICS,
    UTTERANCE_METRICS,
    permutation_baseline,
    set_metrics,
    utterance_metrics,
)
from espnet_llmasr.observe.encoders import find_encoder
from espnet_llmasr.observe.frames import Frames, SpeechEncoder
from espnet_llmasr.observe.observations import Observation, ObservationLog, fingerprint
from espnet_llmasr.observe.stages import Checkpoint
from espnet_llmasr.train.speech_batches import read_audio
from espnet_llmasr.train.targets import Targets

NUM_PERMUTATIONS = 20


class Summary(NamedTuple):
    """The values and vectors that are kept of one utterance."""

    metrics: Tensor  # (M, layers)
    pooled: Tensor  # the output by `pool`
    means: List[Tensor]  # every layer's mean frame (D,), the adaptor's last
    cka: Optional[Tensor]  # (layers,) to the reference encoder


def summarise(frames: Frames, pooling: str, reference: Optional[Frames] = None) -> Summary:
    """Pools the frames of one utterance. Raises ValueError for NaN, or a reference with other layers or frames."""
    outputs = [*frames.layers, *([] if frames.adaptor is None else [frames.adaptor])]
    means = [output.double().mean(dim=0).float().cpu() for output in outputs]
    metrics = torch.tensor([list(utterance_metrics(layer).values()) for layer in frames.layers]).T
    cka = None if reference is None else layer_cka(frames.layers, reference.layers)
    return Summary(metrics, pool(frames.layers[-1], pooling).cpu(), means, cka)


def measure(
    encoder: SpeechEncoder,
    entries: Dict[str, str],
    targets: Targets,
    config: EstimatorConfig = EstimatorConfig(),
    reference: Optional[SpeechEncoder] = None,
) -> Dict[str, object]:
    """All numbers of an `Observation` from `entries` (id -> entry of wav.scp).

    Raises ValueError, with the utterance, for audio that cannot be read or is not for this encoder; and for utterances
    without targets, or too few of them.
    """
    (phonetic, semantic), text = targets.rows(entries), targets.text_rows(entries)
    projected(phonetic, phonetic, semantic, config)  # too few utterances: an error before hours of work, not after
    rows = []
    for uid, entry in entries.items():
        try:
            frames = encoder(torch.from_numpy(read_audio(uid, entry, encoder.rate)))
            other = reference and reference(torch.from_numpy(read_audio(uid, entry, reference.rate)))
            rows.append(summarise(frames, config.pooling, other))
        except ValueError as error:
            raise ValueError(str(error) if uid in str(error) else f"{uid}: {error}") from error
    u, columns = torch.stack([row.pooled for row in rows]), torch.stack([row.metrics for row in rows]).unbind(1)
    values, layers = {}, {}
    for name, column in zip(UTTERANCE_METRICS, columns):  # (B, layers)
        values |= {name: float(column[:, -1].mean()), f"{name}_std": float(column[:, -1].std(correction=0))}
        layers[name] = column.mean(dim=0).tolist()
    bias = permutation_baseline(u, phonetic, semantic, config, NUM_PERMUTATIONS)
    values |= set_metrics(u, phonetic, semantic, config) | {f"{name}_baseline": bias[name] for name in SET_METRICS}
    scores = [float(linear_cka(torch.stack(means), text)) for means in zip(*(row.means for row in rows))]
    depth = len(layers[name])
    return dict(
        utterances=len(rows),
        cka_text=scores[:depth],
        cka_text_adaptor=scores[depth] if len(scores) > depth else None,
        cka_reference=[] if reference is None else torch.stack([row.cka for row in rows]).mean(dim=0).tolist(),
        estimator=asdict(config),
        layers=layers,
        values=values,
    )


def choose(ids: Iterable[str], most: Optional[int]) -> List[str]:
    """`most` ids (None: all) spread evenly over their sorted list, so that no speaker or language goes missing."""
    ids = sorted(ids)
    if most is None or most >= len(ids):
        return ids
    return [ids[number] for number in np.linspace(0, len(ids) - 1, most).round().astype(int).tolist()]


def measure_all(
    checkpoints: Sequence[Checkpoint],
    data_dir: Path,
    targets_file: Path,
    log: ObservationLog,
    config: EstimatorConfig,
    num_utterances: Optional[int] = None,
    reference: Optional[str] = None,
    device: str = "cpu",
) -> None:
    """Measures all checkpoints that have changed since the last measurement; each result is written at once.

    Raises ValueError for two checkpoints of one name, or as `measure`.
    """
    name, times = Counter(checkpoint.name for checkpoint in checkpoints).most_common(1)[0]
    if times > 1:
        raise ValueError(f"--model {name}=...: this name is taken, names must differ")
    sources = [find_encoder(checkpoint.spec) for checkpoint in checkpoints]
    other = find_encoder(reference) if reference else None
    targets, wavs = Targets.load(targets_file), read_scp(data_dir / "wav.scp")
    if len(wavs) > len(targets.ids):
        logging.warning("%d of %d utterances have targets: the others are left out", len(targets.ids), len(wavs))
    entries = {uid: wavs[uid] for uid in choose(set(wavs) & set(targets.ids), num_utterances)}
    if not entries:
        raise ValueError(f"no utterance of {data_dir} has targets in {targets_file}: make them from that folder")
    files = [targets_file, data_dir / "wav.scp", *(other.files if other else ())]
    reference_encoder = other.open(device) if other else None
    for checkpoint, source in zip(checkpoints, sources):
        place = dict(name=checkpoint.name, stage=checkpoint.stage, step=checkpoint.step, model=checkpoint.spec)
        mark = fingerprint([*source.files, *files], list(entries), asdict(config), reference)
        row = log.find(mark)
        if row is None:
            numbers = measure(source.open(device), entries, targets, config, reference_encoder)
            row = Observation(**place, set=data_dir.name, **numbers, reference=reference, fingerprint=mark)
            values = ", ".join(f"{metric.label} {row.values[key]:.3f}" for key, metric in METRICS.items())
            logging.info("%s: %s", row.name, values)
        log.put(replace(row, **place))  # IA-SFT uses encoders that were measured in the pretraining
