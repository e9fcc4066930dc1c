"""What was measured: one JSON line per checkpoint in observations.jsonl, and which line is still true."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Dict, Iterable, List, Optional

from espnet_llmasr.files import PathLike, write_atomically

FILE = "observations.jsonl"


@dataclass(frozen=True)
class Observation:
    """One checkpoint, measured on one set.

    Attributes:
        name: unique in its file. stage: pretrain, ia_sft or joint_sft, or the folder of another model.
        step: updates of that stage; None where they are not known. model: PATH[:WEIGHTS] as it was given.
        nse, nse_std: mean and standard deviation over utterances of the encoder's output; nse_layers: means of every
            layer. pai, csai, and their values with permuted utterances (the bias): bits.
        choices: what PAI and CSAI leave open (metrics.accessible_information.Choices).
        cka_text: CKA of every layer to the text (Eq. 10); cka_text_adaptor: of the adaptor's output, if there is one.
        cka_reference: CKA of every layer to the encoder `reference` (Eq. 12); empty without one.
        fingerprint: changes with the checkpoint's files, the data, the targets, the choices and our code.
    """

    name: str
    stage: str
    step: Optional[int]
    model: str
    set: str
    utterances: int
    nse: float
    nse_std: float
    pai: float
    csai: float
    pai_baseline: float
    csai_baseline: float
    choices: Dict[str, object]
    cka_text: List[float]
    cka_text_adaptor: Optional[float]
    nse_layers: List[float]
    cka_reference: List[float] = field(default_factory=list)
    reference: Optional[str] = None
    fingerprint: str = ""


class Log:
    """The observations in a folder, in the order of the file."""

    def __init__(self, directory: PathLike):
        self.path = Path(directory) / FILE
        self.rows = read_observations(self.path) if self.path.exists() else []

    def find(self, fingerprint: str) -> Optional[Observation]:
        """What was measured of the same weights on the same data, under whatever name."""
        return next((row for row in self.rows if row.fingerprint == fingerprint), None)

    def put(self, new: Observation) -> None:
        """Takes the place of the line of the same name, or becomes the last one; the file is written as a whole."""
        names = [row.name for row in self.rows]
        if new.name in names:
            self.rows[names.index(new.name)] = new
        else:
            self.rows.append(new)
        write_atomically(self.path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in self.rows))


def read_observations(path: PathLike) -> List[Observation]:
    """All lines of a file of observations; fields that this version does not know are left out.

    Raises:
        ValueError: there is no such file, or a line is something else.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist: make it with python -m espnet_llmasr.bin.measure_encoders")
    known, rows = {f.name for f in fields(Observation)}, []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(Observation(**{key: value for key, value in json.loads(line).items() if key in known}))
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}, line {number} is no observation: {error}: remove the line") from error
    return rows


def fingerprint(files: Iterable[Path], *conditions: object) -> str:
    """Of files (name, size, time of change; of a folder its files) and whatever else decides the result."""
    listed = [path for file in files for path in (sorted(Path(file).iterdir()) if Path(file).is_dir() else [file])]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in map(Path, listed)]
    decisive = [stats, code(), conditions]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code(root: Path = Path(__file__).parents[1]) -> str:
    """Changes with the text of this package, so that what an older version measured is measured anew."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(root.rglob("*.py")))).hexdigest()


def renamed(row: Observation, name: str, stage: str, step: Optional[int], model: str) -> Observation:
    """The same measurement under another name: IA-SFT shows encoders that were measured in the pretraining."""
    return replace(row, name=name, stage=stage, step=step, model=model)
