"""Follows the encoder through joint training: drift from the starting encoder, and the paper's danger sign.

Before the first epoch and after each one rank 0 measures a fixed set of utterances: CKA to the starting encoder
(Eq. 12), NSE, PAI and CSAI (Eq. 7 to 9). drift.jsonl has a line for each, drift.reference.pth keeps the starting
encoder, so that a training that is taken up again goes on as if it had never been killed. The training itself does
not change: no random number is drawn, no mode, weight or gradient is touched.

CKA cannot stand in for PAI and CSAI: it is centred within each utterance, so meaning that is added to all frames of an
utterance alike leaves it at 1.
"""

import logging
import time
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Dict, Iterator, List, Tuple

import torch
from espnet2.utils.types import str2bool, str_or_none
from torch import Tensor, nn

from espnet_llmasr.asr.modules import is_frozen
from espnet_llmasr.files import atomic_path, read_scp
from espnet_llmasr.metrics.accessible_information import Choices, accessible_information, pool
from espnet_llmasr.metrics.spectral_entropy import nse
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.checkpoints import FINISHED
from espnet_llmasr.train.danger import (
    Drift,
    check_enough,
    describe,
    is_danger,
    measure_change,
    read_drifts,
    warning,
    write_drifts,
)
from espnet_llmasr.encoder_swap.probe import Probe, layer_cka, mean_layers
from espnet_llmasr.train.speech_batches import speech_batches
from espnet_llmasr.encoder_swap.trainer import agree
from espnet_llmasr.train.targets import Targets

MAX_FRAMES = 6000  # padded feature frames in a batch of a check
REFERENCE = "drift.reference.pth"


def check_options(options) -> None:
    """Raises ValueError for drift options that would have no effect, or cannot work."""
    if options.drift_data is None and (options.drift_targets is not None or options.drift_stop):
        raise ValueError("--drift_targets and --drift_stop need --drift_data: give dump/<set>, or leave them out")
    if options.drift_stop and options.drift_targets is None:
        raise ValueError("--drift_stop needs --drift_targets: without targets there is no PAI and no CSAI")
    if options.drift_checks < 1:
        raise ValueError(f"--drift_checks is {options.drift_checks}, expected at least 1")
    Choices(num_components=options.drift_components)


class DriftMixin:
    """Adds the checks to `train_one_epoch` of any ESPnet-style trainer."""

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        group = parser.add_argument_group("Drift of a trained encoder")
        group.add_argument("--drift_data", type=str_or_none, default=None, help="set to observe after each epoch")
        group.add_argument("--drift_targets", type=str_or_none, default=None, help="its targets: PAI and CSAI too")
        group.add_argument("--drift_components", type=int, default=16, help="principal components of PAI and CSAI")
        group.add_argument(
            "--drift_checks",
            type=int,
            default=3,
            help="so many checks in a row make the danger sign: PAI falls, CSAI rises",
        )
        group.add_argument("--drift_stop", type=str2bool, default=False, help="end the training at the danger sign")

    @classmethod
    def run(cls, trainer_options, **kwargs) -> None:
        """As the base class, but a training that the danger sign has ended does not go on with --drift_stop."""
        check_options(trainer_options)
        output_dir = Path(trainer_options.output_dir)
        if trainer_options.resume and trainer_options.drift_stop and has_stopped(output_dir):
            logging.warning(
                "the training in %s was ended by the danger sign after epoch %d and stays as it is: remove it to train "
                "otherwise, or give --drift_stop false to go on",
                output_dir,
                read_drifts(output_dir)[-1].epoch,
            )
            return
        super().run(trainer_options=trainer_options, **kwargs)

    @classmethod
    def train_one_epoch(cls, model, reporter, summary_writer, options, **kwargs) -> bool:
        parts = dict(model=model, reporter=reporter, summary_writer=summary_writer, options=options, **kwargs)
        if options.drift_data is None:
            return super().train_one_epoch(**parts)
        observer, epoch = Observer(getattr(model, "module", model), options, summary_writer), reporter.epoch
        agree(lambda: observer.begin(epoch))
        all_invalid = super().train_one_epoch(**parts)
        if agree(lambda: observer.check(epoch)) and options.drift_stop:
            logging.warning(
                "--drift_stop: epoch %d is the last, latest.pth will be the model at the danger sign", epoch
            )
            options.patience = -1  # the one way to make ESPnet's loop stop after this epoch
            options.max_epoch = epoch  # `finished` then names a shorter training, which can be made longer
        return all_invalid


def has_stopped(output_dir: Path) -> bool:
    """True if a training has ended with the danger sign."""
    drifts = read_drifts(output_dir)
    return (output_dir / FINISHED).exists() and bool(drifts) and drifts[-1].danger


class Observer:
    """The checks of one epoch. Nothing is read before `begin`, so that other ranks may have one too."""

    def __init__(self, model: nn.Module, options, summary_writer):
        self.model, self.options, self.board = model, options, summary_writer
        self.output_dir, self.data = Path(options.output_dir), Path(options.drift_data or "")
        self.choices = Choices(num_components=options.drift_components)

    def begin(self, epoch: int) -> None:
        """Keeps and measures the starting encoder before the first epoch; later looks whether it is there.

        Raises:
            ValueError: a frozen encoder, an unusable set, or another one than before.
        """
        if is_frozen(self.model.encoder):
            raise ValueError(
                "--drift_data needs an encoder that is trained: leave it out, or do not freeze the encoder"
            )
        self.wavs = read_scp(self.data / "wav.scp")
        self.targets = Targets.load(self.options.drift_targets) if self.options.drift_targets else None
        observed = self._observed()
        if epoch == 1:
            with atomic_path(self.output_dir / REFERENCE) as path:
                torch.save({"encoder": self.model.encoder.state_dict(), "observed": observed}, path)
            self.history = []
            self.check(0)
            return
        self._check_same(observed)
        self.history = [drift for drift in read_drifts(self.output_dir) if drift.epoch < epoch]

    def _observed(self) -> Dict[str, object]:
        """What must stay the same for the lines of one drift.jsonl to be comparable."""
        if self.targets is None:
            return {"utterances": sorted(self.wavs)}
        self.targets.rows(self.wavs)  # names utterances without targets before the training starts
        check_enough(len(self.wavs), self.choices.num_components)
        components = self.choices.num_components
        return {"utterances": sorted(self.wavs), "targets": self.targets.made, "components": components}

    def _check_same(self, observed: Dict[str, object]) -> None:
        path = self.output_dir / REFERENCE
        if not path.exists():
            raise ValueError(
                f"{path} is missing: this training began without --drift_data; leave it out, "
                "or choose another --output_dir"
            )
        before = torch.load(path, map_location="cpu", weights_only=True)["observed"]
        changed = [name for name in {**before, **observed} if before.get(name) != observed.get(name)]
        if changed:
            raise ValueError(
                f"{self.output_dir} began with other {changed[0]}: give --drift_data, --drift_targets and "
                "--drift_components as before, or choose another --output_dir"
            )

    @torch.no_grad()
    def check(self, epoch: int) -> bool:
        """Measures, logs, and says whether there is danger."""
        began = time.monotonic()
        drift = self._measure(epoch)
        self.history.append(drift)
        drift.danger = is_danger(self.history, self.options.drift_checks)
        drift.seconds = round(time.monotonic() - began, 3)
        drift.time = time.strftime("%Y-%m-%dT%H:%M:%S")
        write_drifts(self.output_dir, self.history)
        logging.info(describe(self.history))
        if drift.danger:
            logging.warning(warning(self.history, self.options.drift_checks))
        if self.board is not None:
            show(drift, self.board)
        return drift.danger

    def _measure(self, epoch: int) -> Drift:
        ids, batches = self._speech()
        reference = self._reference()
        scores, entropies, starts, nows = [], [], [], []
        with evaluating(self.model.encoder) as encoder:
            parts = dict(frontend=self.model.frontend, normalize=self.model.normalize, ctc_head=nn.Identity())
            probe = Probe(SimpleNamespace(encoder=encoder, **parts), batches)  # joint training has no CTC head
            for layers, references in zip(probe.utterances(encoder), probe.utterances(reference)):
                scores.append(layer_cka(layers, references))
                entropies.append(float(nse(layers[-1])))
                starts.append(pool(references[-1], self.choices.pooling).cpu())
                nows.append(pool(layers[-1], self.choices.pooling).cpu())
        layers = mean_layers(scores)
        drift = Drift(epoch, layers[-1], layers, sum(entropies) / len(entropies))
        if self.targets is not None:
            self._add_information(drift, ids, torch.stack(starts), torch.stack(nows))
        return drift

    def _add_information(self, drift: Drift, ids: List[str], start: Tensor, now: Tensor) -> None:
        phonetic, semantic = self.targets.rows(ids)
        if drift.epoch == 0:
            drift.pai, drift.csai = accessible_information(now, phonetic, semantic, self.choices)
        else:
            (drift.pai, drift.csai), *noise = measure_change(start, now, phonetic, semantic, self.choices)
            drift.pai_noise, drift.csai_noise = noise

    def _speech(self) -> Tuple[List[str], Iterator[Tuple[Tensor, Tensor]]]:
        """The ids in the order of the batches, and the batches (speech (B, N), lengths (B,)) where the model is."""
        frames = read_num_frames(self.data / "utt2num_frames")
        batches = list(speech_batches(self.wavs, frames, MAX_FRAMES, self.model.frontend.fs))
        device = next(self.model.encoder.parameters()).device
        ids = [uid for uids, _, _ in batches for uid in uids]
        return ids, ((speech.to(device), lengths.to(device)) for _, speech, lengths in batches)

    def _reference(self) -> nn.Module:
        """The starting encoder, beside the present one."""
        state = torch.load(self.output_dir / REFERENCE, map_location="cpu", weights_only=True)["encoder"]
        reference = deepcopy(self.model.encoder).eval()
        reference.load_state_dict(state)
        return reference


def show(drift: Drift, summary_writer) -> None:
    """The numbers of a line as curves in ESPnet's TensorBoard."""
    values = {"cka": drift.cka, "nse": drift.nse, "pai": drift.pai, "csai": drift.csai}
    values |= {f"cka_layer{number}": cka for number, cka in enumerate(drift.cka_layers, 1)}
    for name, value in values.items():
        if value is not None:
            summary_writer.add_scalar(f"drift/{name}", value, drift.epoch)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Puts a module into eval mode, and afterwards each of its parts back into the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield module.eval()
    finally:
        for part, mode in modes:
            part.training = mode
