"""The training strategies of a matrix of runs: which trainings each consists of, and what it shares with others."""

from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

BASELINE = "ia_sft"
"""The strategy to which the others are compared."""


class Strategy(NamedTuple):
    """The trainings that are part of it, in their order, and the folder of the data with its labels."""

    stages: Tuple[str, ...]
    dump: str = "dump"

    @property
    def start(self) -> Optional[str]:
        """The training whose encoder the joint SFT starts with; None without one."""
        return self.stages[-2] if self.stages[-1] == "joint_sft" and len(self.stages) > 1 else None

    @property
    def shares_pretraining(self) -> bool:
        """Strategies that pretrain on the same labels share the pretraining of a seed."""
        return "pretrain" in self.stages and self.dump == "dump"


STAGES = ("pretrain", "align", "ia_sft", "joint_sft")
STRATEGIES = {
    "ia_sft": Strategy(STAGES),
    "no_swap": Strategy(STAGES),
    "no_ia_sft": Strategy(("pretrain", "align", "joint_sft")),
    "no_joint": Strategy(("pretrain", "align", "ia_sft")),
    "char": Strategy(STAGES, "dump_char"),
    "joint_only": Strategy(("joint_sft",)),
    "efin": Strategy(("pretrain", "align", "ia_sft")),
}


@dataclass(frozen=True)
class Run:
    """One strategy with one seed."""

    strategy: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder in the matrix's."""
        return f"{self.strategy}/seed{self.seed}"

    @property
    def plan(self) -> Strategy:
        """What its strategy consists of."""
        return STRATEGIES[self.strategy]

    @property
    def model(self) -> str:
        """The folder of the model that is scored."""
        return self.plan.stages[-1]

    @property
    def base(self) -> str:
        """The experiment that holds statistics, LLM and pretraining; strategies share that of their seed."""
        return self.name if self.plan.dump != "dump" else f"base/seed{self.seed}"
