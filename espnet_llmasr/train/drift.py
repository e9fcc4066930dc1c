"""Follows the encoder through joint SFT: CKA to the starting encoder (Eq. 12), NSE, PAI and CSAI (Eq. 7 to 9).

Rank 0 measures a fixed set of utterances before the first epoch and after each one. drift.jsonl has a line for each
check, drift.reference.pth keeps the starting encoder for a training that is resumed. The training itself does not
change: no random number is drawn, no mode, weight or gradient is touched.

CKA cannot replace PAI and CSAI: it is centred within each utterance, so meaning that is added to all frames of an
utterance alike leaves it at 1.
"""

import logging
import time
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

import torch
from espnet2.utils.types import str_or_none
from torch import nn

from espnet_llmasr.asr.modules import is_frozen
from espnet_llmasr.asr.weights import read_state, write_state
from espnet_llmasr.files import JsonLines
from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool
from espnet_llmasr.metrics.encoder_metrics import METRICS, set_metrics
from espnet_llmasr.train.fixed_set import FixedSet
from espnet_llmasr.train.speech_batches import SpeechSet
from espnet_llmasr.train.targets import Targets
from espnet_llmasr.train.trainer import agree

MAX_FRAMES = 6000  # padded feature frames in a batch of a check
FILE, REFERENCE = "drift.jsonl", "drift.reference.pth"
NUM_WARNING_CHECKS = 3


@dataclass
class Drift:
    """One line of drift.jsonl: the encoder after `epoch`; epoch 0 is the starting encoder.

    Attributes:
        cka, cka_layers: of the output and of every block to the starting encoder, means over utterances.
        values: the metrics by name; those of the whole set only with --drift_targets.
        warning: see `loses_phones`. seconds: the time that the check took.
    """

    epoch: int
    cka: float
    cka_layers: List[float]
    values: Dict[str, float] = field(default_factory=dict)
    warning: bool = False
    time: str = ""
    seconds: float = 0.0


def drift_log(output_dir: Path) -> JsonLines[Drift]:
    """The log in the folder of a training."""
    return JsonLines(output_dir / FILE, Drift)


def loses_phones(history: Sequence[Drift]) -> bool:
    """True if PAI was lower and CSAI higher than at the start in the last three checks; pure.

    The paper wants "CSAI not to exhibit a sustained rise at the expense of declining PAI" (section 3.2). Three in a
    row stand for "sustained", since a single change may be noise. `history` begins with the starting encoder.
    """
    start, last = history[0].values, [drift.values for drift in history[1:][-NUM_WARNING_CHECKS:]]
    if "pai" not in start or len(last) < NUM_WARNING_CHECKS:
        return False
    return all(values["pai"] < start["pai"] and values["csai"] > start["csai"] for values in last)


class DriftMixin:
    """Adds the checks to a trainer's `train_one_epoch`."""

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        add = parser.add_argument_group("Drift of a trained encoder").add_argument
        add("--drift_data", type=str_or_none, help="set to measure after each epoch")
        add("--drift_targets", type=str_or_none, help="its targets: PAI and CSAI too")

    @classmethod
    def run(cls, model, trainer_options, **kwargs) -> None:
        """As the base class. Raises ValueError for targets without a set."""
        if trainer_options.drift_data is None and trainer_options.drift_targets is not None:
            raise ValueError("--drift_targets needs --drift_data: give dump/<set>, or leave it out")
        if trainer_options.drift_data is not None and is_frozen(model.encoder):
            logging.info("the encoder is frozen and cannot drift: --drift_data has nothing to measure")
        super().run(model=model, trainer_options=trainer_options, **kwargs)

    @classmethod
    def train_one_epoch(cls, engine, reporter, options, summary_writer, **parts) -> None:
        parts |= dict(engine=engine, reporter=reporter, options=options)
        if options.drift_data is None or is_frozen(engine.module.encoder):
            return super().train_one_epoch(**parts)
        checks = DriftChecks(engine.module, options, summary_writer)
        agree(lambda: checks.begin(reporter.epoch))
        super().train_one_epoch(**parts)
        agree(lambda: checks.check(reporter.epoch))


class DriftChecks:
    """The checks of one epoch. Only rank 0 calls `begin` and `check`, so nothing is read before."""

    def __init__(self, model: nn.Module, options, summary_writer):
        self.model, self.summary_writer = model, summary_writer
        self.data_dir, self.targets_file = Path(options.drift_data), options.drift_targets
        self.log = drift_log(Path(options.output_dir))
        self.reference = self.log.path.with_name(REFERENCE)

    def begin(self, epoch: int) -> None:
        """Keeps and measures the starting encoder before the first epoch.

        Raises ValueError for an unusable set.
        """
        self.speech_set = SpeechSet(self.data_dir)
        self.targets = Targets.load(self.targets_file) if self.targets_file else None
        if self.targets is not None:
            self.targets.rows(self.speech_set.wavs)  # names utterances without targets before the training starts
        self.history = [drift for drift in self.log.read() if drift.epoch < epoch]
        if epoch == 1:
            self.history = []  # an earlier training in this folder may have left lines
            write_state(self.reference, self.model.encoder.state_dict())
            self.check(0)

    @torch.no_grad()
    def check(self, epoch: int) -> None:
        """Measures, logs and warns."""
        began = time.monotonic()
        drift = self._measure(epoch)
        self.history.append(drift)
        drift.warning = loses_phones(self.history)
        drift.time, drift.seconds = time.strftime("%Y-%m-%dT%H:%M:%S"), round(time.monotonic() - began, 3)
        self.log.write(self.history)
        values = "".join(f", {METRICS[name].label} {value:.3f}" for name, value in drift.values.items())
        line = "drift after epoch %d: CKA to the starting encoder %.4f%s (%.1f s)"
        logging.info(line, epoch, drift.cka, values, drift.seconds)
        if drift.warning:
            logging.warning(
                "PAI is lower and CSAI higher than at the start of this training, %d checks in a row: the encoder "
                "gives up phones for meaning, which makes hallucinations likelier. Lower the learning rate, or train "
                "IA-SFT longer before",
                NUM_WARNING_CHECKS,
            )
        if self.summary_writer is not None:
            for name, value in {"cka": drift.cka, **drift.values}.items():
                self.summary_writer.add_scalar(f"drift/{name}", value, epoch)

    def _measure(self, epoch: int) -> Drift:
        batches = list(self.speech_set.batches(MAX_FRAMES, self.model.frontend.fs))
        device = next(self.model.encoder.parameters()).device
        speech = ((speech.to(device), lengths) for _, speech, lengths in batches)
        fixed_set = FixedSet(speech, self.model.frontend, self.model.normalize)
        config, pooled = EstimatorConfig.for_utterances(len(self.speech_set.wavs)), []
        start = deepcopy(self.model.encoder).eval()
        start.load_state_dict(read_state(self.reference))
        with evaluating(self.model.encoder) as encoder:
            each = lambda output: pooled.append(pool(output, config.pooling).cpu())
            result = fixed_set.compare(encoder, fixed_set.utterances(start), each)
        if self.targets is not None:
            ids = [uid for uids, _, _ in batches for uid in uids]
            result.values |= set_metrics(torch.stack(pooled), *self.targets.rows(ids), config)
        return Drift(epoch, result.cka_layers[-1], result.cka_layers, result.values)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Puts a module into eval mode, and afterwards each of its parts back into its own mode."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield module.eval()
    finally:
        for part, mode in modes:
            part.training = mode
