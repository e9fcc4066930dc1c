"""The results of encoder analysis: one line per checkpoint in observations.jsonl, and which lines are up to date."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Optional

from espnet_llmasr.files import JsonLines, PathLike
from espnet_llmasr.metrics.encoder_metrics import METRICS

FILE = "observations.jsonl"


@dataclass(frozen=True)
class Observation:
    """One checkpoint, measured on one set.

    Attributes:
        name: unique in its file. stage: pretrain, ia_sft or joint_sft, or the folder of another model.
        step: updates of that stage; None where they are not known. model: PATH[:WEIGHTS] as it was given.
        cka_text: CKA of every layer to the text (Eq. 10); cka_text_adaptor: of the adaptor's output, if there is one.
        cka_reference: CKA of every layer to the encoder `reference` (Eq. 12); empty without one.
        estimator: the EstimatorConfig of PAI and CSAI.
        fingerprint: changes with the checkpoint's files, the data, the targets, the estimator and our code.
        layers: every metric of utterances (metrics.encoder_metrics) for each layer.
        values: every metric of the encoder's output; <name>_std is the standard deviation over utterances,
            <name>_baseline the value with permuted utterances (the bias).
    """

    name: str
    stage: str
    step: Optional[int]
    model: str
    set: str
    utterances: int
    cka_text: List[float]
    cka_text_adaptor: Optional[float]
    cka_reference: List[float] = field(default_factory=list)
    reference: Optional[str] = None
    estimator: Dict[str, object] = field(default_factory=dict)
    fingerprint: str = ""
    layers: Dict[str, List[float]] = field(default_factory=dict)
    values: Dict[str, float] = field(default_factory=dict)


class ObservationLog:
    """The observations in a folder, in the order of the file."""

    def __init__(self, directory: PathLike):
        self.lines = JsonLines(Path(directory) / FILE, Observation)
        self.rows = self.lines.read()

    def find(self, fingerprint: str) -> Optional[Observation]:
        """The measurement of the same weights on the same data, under any name."""
        return next((row for row in self.rows if row.fingerprint == fingerprint), None)

    def put(self, new: Observation) -> None:
        """Replaces the line of the same name, or becomes the last one."""
        self.rows = list({**{row.name: row for row in self.rows}, new.name: new}.values())
        self.lines.write(self.rows)


def read_observations(path: PathLike) -> List[Observation]:
    """All lines of a file of observations.

    Raises ValueError if there is no such file, a line is something else, or a metric is missing.
    """
    advice = "python -m espnet_llmasr.bin.measure_encoders"
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist: make it with {advice}")
    rows = JsonLines(path, Observation).read()
    for row in rows:
        for name in (name for name in METRICS if name not in row.values):
            raise ValueError(f"{path}: '{row.name}' has no {name}: measure it again with {advice}, or remove the line")
    return rows


def fingerprint(files: Iterable[Path], *conditions: object) -> str:
    """Hash of files (name, size, time of change; of a folder its files) and of all else that decides the result."""
    listed = [path for file in files for path in (sorted(Path(file).iterdir()) if Path(file).is_dir() else [file])]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in map(Path, listed)]
    decisive = [stats, code(), conditions]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code(root: Path = Path(__file__).parents[1]) -> str:
    """Hash of the text of this package, so that measurements of an older version are made anew."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(root.rglob("*.py")))).hexdigest()
