"""When joint training pulls the encoder towards meaning: PAI falls while CSAI rises (section 3.2 of arXiv 2604.08003).

The paper wants "CSAI not to exhibit a sustained rise at the expense of declining PAI". Here a check shows that sign if
both have changed since the start by more than the estimate's own noise, and it is a danger if checks in a row show it.

B utterances, D encoder width, V phones, E width of the text embedder, k components.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from espnet_llmasr.files import write_atomically
from espnet_llmasr.metrics.accessible_information import AccessibleInformation, Choices, accessible_information, project

NOISE_FACTOR = 2.0  # standard errors; of an unchanged encoder 2 % of the changes are larger, on either side
GROUPS = 20  # of utterances that are left out in turn; the standard error is known to 1 / sqrt(2 (GROUPS - 1)) = 16 %
FILE = "drift.jsonl"


@dataclass
class Drift:
    """One line of drift.jsonl: the encoder after `epoch`, 0 being the starting encoder.

    Attributes:
        cka, cka_layers: of the output and of every block to the starting encoder. nse: mean over utterances.
        pai, csai: bits; None without targets.
        pai_noise, csai_noise: standard error of their change since epoch 0, in bits; None at epoch 0.
        seconds: what the check took.
    """

    epoch: int
    cka: float
    cka_layers: List[float]
    nse: float
    pai: Optional[float] = None
    csai: Optional[float] = None
    pai_noise: Optional[float] = None
    csai_noise: Optional[float] = None
    danger: bool = False
    time: str = ""
    seconds: float = 0.0


def read_drifts(directory: Path) -> List[Drift]:
    """The lines of drift.jsonl in the folder of a training (none if there is no file)."""
    path = directory / FILE
    return [Drift(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def write_drifts(directory: Path, drifts: Sequence[Drift]) -> None:
    """Writes the whole file."""
    write_atomically(directory / FILE, "".join(json.dumps(asdict(drift)) + "\n" for drift in drifts))


def shows_sign(start: Drift, now: Drift) -> bool:
    """PAI has fallen and CSAI has risen since the start, each by more than NOISE_FACTOR standard errors; pure."""
    if now.pai_noise is None or now.csai_noise is None:
        return False
    fallen, risen = start.pai - now.pai, now.csai - start.csai
    return fallen > NOISE_FACTOR * now.pai_noise and risen > NOISE_FACTOR * now.csai_noise


def is_danger(history: Sequence[Drift], checks: int) -> bool:
    """True if the last `checks` lines all show the sign; pure. `history` begins with the starting encoder's line."""
    return all(shows_sign(history[0], drift) for drift in history[-checks:])  # the start's own line never shows it


class Change(NamedTuple):
    """PAI and CSAI of an encoder, and the standard errors of what has changed since the starting encoder (bits)."""

    now: AccessibleInformation
    pai_noise: float
    csai_noise: float


def check_enough(utterances: int, num_components: int) -> None:
    """Raises ValueError if PAI and CSAI cannot be had with a group of the utterances left out."""
    left = utterances - -(-utterances // GROUPS)
    most = (left - 1) // 3
    if num_components > most:
        raise ValueError(
            f"{utterances} utterances are too few for --drift_components {num_components}: give --drift_data a larger "
            f"set{f', or {most} components or less' if most > 0 else ''}"
        )


def measure_change(start: Tensor, now: Tensor, phonetic: Tensor, semantic: Tensor, choices: Choices) -> Change:
    """How far `now` is from `start` (both (B, 2D), the same utterances), and how sure that is.

    The standard errors are those of a grouped jackknife: both encoders are measured without each group in turn, so
    what is hard about an utterance for both cancels. The principal components stay those of all utterances. Against
    the spread over fresh samples the error of PAI was 0.6 to 1.0 times as large (least where the number of components
    cuts between equal ones), that of CSAI 1.2 to 1.7 times. A bootstrap gives nearly the same errors, but needs random
    numbers and ten times as many measurements.
    """
    k, groups = choices.num_components, torch.arange(len(now)) % GROUPS
    parts = [project(x, k) for x in (start, now, phonetic, semantic)]
    changes = []
    for group in groups.unique():
        first, second, *targets = (part[groups != group] for part in parts)
        before, after = (accessible_information(u, *targets, choices) for u in (first, second))
        changes.append([after.pai - before.pai, after.csai - before.csai])
    changes = torch.tensor(changes, dtype=torch.float64)
    errors = (changes.var(dim=0, correction=0) * (len(changes) - 1)).sqrt()
    return Change(accessible_information(now, phonetic, semantic, choices), *errors.tolist())


def describe(history: Sequence[Drift]) -> str:
    """The last check for the reader of a log, in one line."""
    start, now = history[0], history[-1]
    layers = " ".join(f"{cka:.4f}" for cka in now.cka_layers)
    line = (
        f"drift after epoch {now.epoch}: CKA to the starting encoder {now.cka:.4f} (layers {layers}), NSE {now.nse:.3f}"
    )
    for name, value, first, noise in (
        ("PAI", now.pai, start.pai, now.pai_noise),
        ("CSAI", now.csai, start.csai, now.csai_noise),
    ):
        if value is not None:
            line += f", {name} {value:.2f}" + ("" if noise is None else f" ({value - first:+.2f} +- {noise:.2f})")
    return f"{line} ({now.seconds:.1f} s)"


def warning(history: Sequence[Drift], checks: int) -> str:
    """What was seen and what to do, in one line."""
    start, now = history[0], history[-1]
    return (
        f"danger sign after epoch {now.epoch}: since the start PAI has fallen from {start.pai:.2f} to {now.pai:.2f} "
        f"bits (noise {now.pai_noise:.2f}) while CSAI has risen from {start.csai:.2f} to {now.csai:.2f} bits (noise "
        f"{now.csai_noise:.2f}), seen in {checks} check(s) in a row: the encoder gives up phones for meaning, "
        "which makes hallucinations likelier. Lower the learning rate, train IA-SFT longer before, "
        "or let --drift_stop true end the training here"
    )
