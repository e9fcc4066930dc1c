"""Observations arranged for the figures: one series per experiment."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.observe.observations import FILE, Observation, read_observations
from espnet_llmasr.observe.stages import STAGES


class Series(NamedTuple):
    """The observations of one experiment under the name that the figures give it."""

    label: str
    rows: List[Observation]

    def stage(self, stage: str) -> List[Observation]:
        """Those of a stage of the recipe by its updates."""
        return sorted((row for row in self.rows if row.stage == stage and row.step is not None), key=lambda r: r.step)

    def others(self) -> List[Observation]:
        """Models that --model named; they have no place on the trajectory."""
        return [row for row in self.rows if row.step is None or row.stage not in STAGES]

    def before_joint(self) -> Optional[Observation]:
        """The encoder that joint SFT starts from, else the newest one of the stages before it."""
        earlier = [row for stage in STAGES[:-1] for row in self.stage(stage)]
        return next((row for row in self.stage("joint_sft") if row.step == 0), earlier[-1] if earlier else None)

    def after_joint(self) -> Optional[Observation]:
        """The newest encoder of the joint SFT."""
        rows = [row for row in self.stage("joint_sft") if row.step]
        return rows[-1] if rows else None


class Pair(NamedTuple):
    """An encoder before and after joint training (Figure 1)."""

    label: str
    before: Observation
    after: Observation


class Line(NamedTuple):
    """A line of Figure 4; those of one experiment have one colour."""

    label: str
    row: Observation
    colour: int
    dashed: bool


def read_series(label: str, directory: Path) -> Series:
    """The series in the --out folder of an earlier command. Raises ValueError if there is none."""
    return Series(label, read_observations(directory / FILE))


def pairs_of(series: Sequence[Series], given: Sequence[str]) -> List[Pair]:
    """The pairs that --pair names, else those of the experiments that have had a joint SFT.

    Raises:
        ValueError: a name that was not measured, or another form than LABEL=BEFORE,AFTER.
    """
    rows: Dict[str, Observation] = {row.name: row for one in reversed(series) for row in one.rows}
    if not given:
        found = [Pair(one.label, one.before_joint(), one.after_joint()) for one in series]
        return [pair for pair in found if pair.before and pair.after]
    pairs = []
    for spec in given:
        label, names = split_pair(spec)
        missing = [name for name in names if name not in rows]
        if missing:
            raise ValueError(f"--pair {spec}: '{missing[0]}' was not measured; there are {', '.join(rows)}")
        pairs.append(Pair(label, *(rows[name] for name in names)))
    return pairs


def split_pair(spec: str) -> Tuple[str, List[str]]:
    """LABEL=BEFORE,AFTER -> (label, the two names). Raises ValueError for another form."""
    label, _, names = spec.partition("=")
    if not label or names.count(",") != 1:
        raise ValueError(f"--pair {spec}: expected LABEL=BEFORE,AFTER with two names that were measured")
    return label, names.split(",")


def lines_of(series: Sequence[Series]) -> List[Line]:
    """The lines of Figure 4: of each experiment before and after joint SFT (dashed), and every other model."""
    lines = []
    for number, one in enumerate(series):
        ends = (("before", one.before_joint(), False), ("after", one.after_joint(), True))
        lines += [Line(f"{one.label}, {when} joint SFT", row, number, dashed) for when, row, dashed in ends if row]
    others = [row for one in series for row in one.others()]
    return [*lines, *(Line(row.name, row, len(series) + number, False) for number, row in enumerate(others))]


def differing(series: Sequence[Series]) -> str:
    """What makes the figures of these series incomparable: other sets, numbers of utterances or choices; else ""."""
    for name in ("set", "utterances", "choices"):
        values = {str(getattr(row, name)) for one in series for row in one.rows}
        if len(values) > 1:
            return f"{name} {' and '.join(sorted(values))}"
    return ""
