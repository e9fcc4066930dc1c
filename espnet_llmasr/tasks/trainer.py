"""The trainer of both tasks: ESPnet's loop with our step, encoder swaps and drift checks."""

from dataclasses import dataclass
from typing import Optional

from espnet2.utils.build_dataclass import build_dataclass

from espnet_llmasr.encoder_swap.trainer import SwapMixin
from espnet_llmasr.train.drift import DriftMixin
from espnet_llmasr.train.trainer import ExactTrainer, ExactTrainerOptions


@dataclass
class TrainerOptions(ExactTrainerOptions):
    """The options of the exact trainer, of the encoder swaps and of the drift checks."""

    encoder_dir: Optional[str]
    swap: str
    final_epochs: Optional[int]
    swap_schedule: Optional[str]
    drift_data: Optional[str]
    drift_targets: Optional[str]


class Trainer(DriftMixin, SwapMixin, ExactTrainer):
    """The trainer of both tasks."""

    @classmethod
    def build_options(cls, args) -> TrainerOptions:
        return build_dataclass(TrainerOptions, args)
