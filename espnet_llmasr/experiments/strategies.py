"""The training strategies: what strategies.yaml states, and what follows from it for the stages of llmasr.sh."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

from espnet_llmasr.files import read_yaml

FILE = Path(__file__).with_name("strategies.yaml")
BASELINE = "ia_sft"
"""The strategy to which the tables compare the others."""
STAGES = {"pretrain": 5, "align": 7, "ia_sft": 8, "joint_sft": 9}
WATCH_STAGE, LLM_STAGE = 6, 4
COMMON_EXP = "exp"
"""The folder whose statistics, LLM and pretraining the strategies share."""


@dataclass(frozen=True)
class Strategy:
    """One entry of strategies.yaml, which explains the fields."""

    name: str
    trainings: Tuple[str, ...]
    swaps: bool = False
    unit: Optional[str] = None
    expdir: Optional[str] = None

    @property
    def last(self) -> str:
        """The last training, whose model is decoded."""
        return self.trainings[-1]

    @property
    def start(self) -> Optional[str]:
        """The training from which joint SFT starts; None without joint SFT, and where it starts from the LLM."""
        return self.trainings[-2] if self.last == "joint_sft" and len(self.trainings) > 1 else None

    @property
    def pretrains(self) -> bool:
        return "pretrain" in self.trainings

    @property
    def shares_pretraining(self) -> bool:
        """Strategies that predict the same labels share the pretraining of a seed."""
        return self.pretrains and self.unit is None

    @property
    def dumpdir(self) -> str:
        return f"dump_{self.unit}" if self.unit else "dump"

    @property
    def left_out(self) -> Tuple[int, ...]:
        """Stages without a part in the strategy; the watcher (6) needs a pretraining."""
        stages = {stage for training, stage in STAGES.items() if training not in self.trainings}
        return tuple(sorted(stages if self.pretrains else {*stages, WATCH_STAGE}))

    def check(self) -> None:
        """Raises ValueError for trainings that llmasr.sh cannot run in this way."""
        places = [list(STAGES).index(name) for name in self.trainings if name in STAGES]
        if len(places) < len(self.trainings) or sorted(set(places)) != places or not places:
            raise ValueError(f"trainings are {self.trainings}, allowed are {', '.join(STAGES)}, in this order")
        if self.last not in ("ia_sft", "joint_sft"):
            raise ValueError(f"the last training is {self.last}, allowed are ia_sft and joint_sft")
        for training, needed in (("align", "pretrain"), ("ia_sft", "align"), ("pretrain", "align")):
            if training in self.trainings and needed not in self.trainings:
                raise ValueError(f"trainings have {training} without {needed}: add {needed}")
        if self.unit not in (None, "phone", "char"):
            raise ValueError(f"unit is '{self.unit}', allowed are phone and char")
        if type(self.swaps) is not bool or self.swaps and "ia_sft" not in self.trainings:
            raise ValueError(f"swaps is {self.swaps}, expected true or false, and true only with ia_sft")


def read_strategies(path: Path = FILE) -> Dict[str, Strategy]:
    """Strategies by their names, in the order of the file.

    Raises:
        ValueError: no file, or an entry of another form than the file's head explains.
    """
    if not path.is_file():
        raise ValueError(f"no file {path}: copy or link conf/strategies.yaml")
    strategies = {}
    for name, entry in read_yaml(path).items():
        try:
            strategies[name] = Strategy(name, **{**entry, "trainings": tuple(entry["trainings"])})
            strategies[name].check()
        except (TypeError, KeyError) as error:
            keys = "trainings (a list), swaps, unit and expdir"
            raise ValueError(f"{path}: the entry of {name} is {entry}, allowed keys are {keys}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {name}: {error}") from error
    return strategies


def recipe_file(place: Path) -> Path:
    """conf/strategies.yaml of the recipe that `place` is in; the package's, where it is in none."""
    paths = (folder / "conf/strategies.yaml" for folder in (place.resolve(), *place.resolve().parents))
    return next((path for path in paths if path.is_file()), FILE)


def choose(strategies: Dict[str, Strategy], names: Sequence[str], option: str) -> Sequence[Strategy]:
    """The strategies of these names. Raises ValueError, with the name of the option, for an unknown one."""
    for name in names:
        if name not in strategies:
            raise ValueError(f"{option} is '{name}', allowed are {', '.join(strategies)}")
    return [strategies[name] for name in names]


def shell_variables(
    strategy: Strategy, unit: str, expdir: str, base_exp: str, dumpdir: str, ia_sft_epochs: str, flops_budget: str
) -> Dict[str, str]:
    """The variables that a strategy sets in llmasr.sh; the arguments are its options of these names ("": not given)."""
    expdir = expdir or strategy.expdir or f"{COMMON_EXP}_{strategy.name}"
    has_own_base = strategy.unit is not None or strategy.expdir == COMMON_EXP
    base_exp = base_exp or (expdir if has_own_base else COMMON_EXP)
    # IA-SFT of a length known in advance comes after the pretraining, on planned swaps; others run beside it
    has_length = ia_sft_epochs or (flops_budget and strategy.last == "ia_sft")
    return {
        "unit": strategy.unit or unit,
        "expdir": expdir,
        "base_exp": base_exp,
        "dumpdir": dumpdir or strategy.dumpdir,
        "results": "RESULTS.md" if strategy.expdir == COMMON_EXP else f"{expdir}/RESULTS.md",
        "left_out": " ".join(map(str, strategy.left_out)),
        "pretrains": str(strategy.pretrains).lower(),
        "beside": "true" if strategy.swaps and not has_length else "false",
        "watched": ("stored" if has_length else "every") if strategy.swaps else "last",
        "last": strategy.last,
        "last_stage": str(STAGES[strategy.last]),
        "trained_before": " ".join(strategy.trainings[:-1]),
        "joint_from": f"{expdir}/{strategy.start}/latest.pth" if strategy.start else f"{base_exp}/llm/llm.pth::llm",
        "joint_stage": str(STAGES[strategy.start] if strategy.start else LLM_STAGE),
    }
