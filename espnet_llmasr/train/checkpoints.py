"""The files of a training, safe against a kill at any moment; config.yaml, too (ESPnet writes all of them in place).

    <n>epoch.pth            weights of epoch n, and a reference to those that are not trained (asr/weights.py)
    frozen/<hash>.pth       weights that are not trained, written once and after every swap of the encoder
    checkpoint.pth          all else that a resume needs, and a reference to <n>epoch.pth; it is renamed into place after
                            the other files, so the training goes on from the epoch that it names
    checkpoint.<n>.rank<r>of<N>.pth     the optimizer of rank r > 0 where every rank has a part of it (ZeRO-2)
    latest.pth, valid.loss.best.pth     links to <n>epoch.pth; of a finished training to whole/<n>epoch.pth, if that refers
    finished                others read it as "this training has ended"
    unchecked/              made by a watcher, who takes the weights of every epoch but the last from here

Everything random depends on seed + epoch, so epochs after the last saved one, trained again, give the same weights.
"""

import json
import logging
import os
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Sequence

import torch
import yaml
from espnet2.train.reporter import Reporter
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

from espnet_llmasr.asr.weights import (
    FROZEN,
    REFERENCE,
    read_state,
    reference_in,
    with_referred,
    write_state,
    write_weights,
)
from espnet_llmasr.espnet_versions import load_checkpoint
from espnet_llmasr.files import PathLike, read_json, read_text, write_atomically
from espnet_llmasr.train.optimizer_state import check_parameters

CURRENT, FINISHED, UNCHECKED, WHOLE = "checkpoint.pth", "finished", "unchecked", "whole"
PREVIOUS = "checkpoint.prev.pth"  # of earlier versions: the last whole one, while checkpoint.pth may be torn
LAST_OPTION = "distributed"  # in a config.yaml
LONGEST_WAIT = timedelta(days=1)  # of ranks while another one writes; a rank that has ended is noticed at once


def check_options(options) -> None:
    """Raises ValueError for options of the checkpoints that are impossible."""
    for name in ("save_interval", "keep_last"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} is {value}, expected at least 1")
    if options.wandb_model_log_interval > 0:
        raise ValueError(
            f"--wandb_model_log_interval is {options.wandb_model_log_interval}, but nothing is sent: omit it"
        )
    if options.save_interval is not None and not options.num_iters_per_epoch:
        raise ValueError(
            "--save_interval without --num_iters_per_epoch: give the length of an epoch, or omit --save_interval"
        )


def epochs_between_saves(options) -> int:
    """--save_interval, which counts updates, in epochs; rounded up."""
    if options.save_interval is None:
        return 1
    updates = -(-options.num_iters_per_epoch // options.accum_grad)
    return -(-options.save_interval // updates)


class Checkpoints:
    """Saves and restores the state of a training. All ranks call its methods, rank 0 writes, the others wait.

    Args:
        options: output_dir, keep_last, keep_nbest_models, best_model_criterion, max_epoch of the training.
        ranks: ESPnet's DistributedOption.
    """

    def __init__(self, options, ranks):
        self.folder, self.options = Path(options.output_dir), options
        self.rank, self.num_ranks, self.group = 0, 1, None
        if ranks.distributed:
            self.rank, self.num_ranks = ranks.dist_rank, torch.distributed.get_world_size()
            self.group = torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
        counts = options.keep_nbest_models
        self.num_best = [counts] if isinstance(counts, int) else list(counts) or [1]

    def wait(self) -> None:
        """Returns when all ranks have called this; nobody waits in a collective of the training meanwhile."""
        if self.group is not None:
            torch.distributed.barrier(self.group)

    def save(self, engine, schedulers: Sequence, reporter: Reporter, ends: bool) -> None:
        """Writes the state after the reporter's epoch, which may be the last. A kill leaves the state before, or this."""
        epoch, optimizer = reporter.get_epoch(), engine.optimizer_state()
        if engine.is_sharded and self.rank > 0:
            write_state(self._part(epoch, self.rank, self.num_ranks), {"optimizers": [optimizer]})
        self.wait()
        if self.rank == 0:
            name = f"{epoch}epoch.pth"
            sha256 = write_weights(self.folder / name, engine.module)
            states = {
                "model": {REFERENCE: {"file": name, "sha256": sha256}},
                "reporter": reporter.state_dict(),
                "optimizers": [optimizer],
                "parameters": engine.parameters,
                "schedulers": [scheduler and scheduler.state_dict() for scheduler in schedulers],
                "scaler": None,
                "parts": self.num_ranks if engine.is_sharded else 1,
                "num_ranks": self.num_ranks,
                "ended": self.options.max_epoch if ends else None,
            }
            write_state(self.folder / CURRENT, states)
            self._settle(reporter)
        self.wait()

    def restore(self, engine, schedulers: Sequence, reporter: Reporter) -> bool:
        """Puts back the last saved state, if there is one; True if no epoch is left but only `finish`.

        Raises ValueError for files that are broken, missing, or of other parameters; all files are then as before.
        """
        if self.rank == 0 and not self.options.resume:
            forget(self.folder)
        self.wait()
        path = next(filter(Path.exists, (self.folder / PREVIOUS, self.folder / CURRENT)), None)
        if path is None:
            if self.rank == 0:
                (self.folder / FINISHED).unlink(missing_ok=True)
                remove_epochs(self.folder)
            return False
        try:
            states = load_checkpoint(path, map_location="cpu")
        except ValueError as error:
            raise ValueError(f"{error}: remove it to train from the first epoch again") from error
        reporter.load_state_dict(states["reporter"])
        parts, epoch = states.get("parts", 1), reporter.get_epoch()
        others = [read_state(self._part(epoch, rank, parts), lazy=True) for rank in range(1, parts)]
        optimizers = [part["optimizers"][0] for part in (states, *others)]
        check_parameters(path, optimizers, states.get("parameters"), engine.parameters)
        engine.module.load_state_dict(with_referred(states["model"], path))
        batches = getattr(engine.module, "num_batches", None)  # of each rank, of the warm-up of CR
        if batches is not None and self.options.shared_batches:
            batches.copy_(batches * states.get("num_ranks", self.num_ranks) // self.num_ranks)
        engine.load_optimizer_state(optimizers)
        for scheduler, state in zip(schedulers, states["schedulers"]):
            if scheduler is not None and state is not None:
                scheduler.load_state_dict(state)
        self.wait()
        if self.rank == 0:
            if path.name == PREVIOUS:
                os.replace(path, self.folder / CURRENT)
                path.unlink(missing_ok=True)  # where both were links to one file, which a renaming leaves
            for stored in epochs_in(self.folder):  # a broken one is found now, and not when the training has ended
                read_state(self.folder / f"{stored}epoch.pth", lazy=True)
            (self.folder / FINISHED).unlink(missing_ok=True)  # of a shorter training
            self._settle(reporter)
            logging.info("going on after epoch %d from %s", epoch, path)
        return states.get("ended") == self.options.max_epoch

    def hand_over(self, epoch: int, model: torch.nn.Module) -> None:
        """Gives the weights of an epoch, saved or not, to the watcher."""
        if self.rank == 0:
            hand_over(self.folder, epoch, model)
        self.wait()

    def average(self, reporter: Reporter, suffix: str = "") -> None:
        """Writes the means of the n best stored epochs, n as in --keep_nbest_models, under ESPnet's names."""
        for name, epochs in self._ranked(reporter).items() if self.rank == 0 else ():
            sizes = [n for n in self.num_best if 1 <= n <= len(epochs)] or [1]
            for n in sizes:
                path = self.folder / f"{name}.ave_{n}best.{suffix}pth"
                if n == 1:
                    link(path, os.readlink(self.folder / f"{name}.best.pth"))
                else:
                    write_state(path, mean_of([self.folder / f"{epoch}epoch.pth" for epoch in epochs[:n]]))
            link(self.folder / f"{name}.ave.{suffix}pth", f"{name}.ave_{max(sizes)}best.{suffix}pth")
        self.wait()

    def finish(self, reporter: Reporter) -> None:
        """After the last epoch: whole files behind the links, averages, and the end mark."""
        for name in ("latest", *(f"{name}.best" for name in self._ranked(reporter))) if self.rank == 0 else ():
            path = self.folder / f"{name}.pth"
            target = Path(os.readlink(path)).name
            if reference_in(self.folder / target) is not None:
                if not (self.folder / WHOLE / target).exists():
                    write_state(self.folder / WHOLE / target, read_state(self.folder / target))
                link(path, f"{WHOLE}/{target}")
        self.average(reporter)
        if self.rank == 0:
            write_atomically(self.folder / FINISHED, json.dumps({"max_epoch": self.options.max_epoch}) + "\n")
        self.wait()

    def _settle(self, reporter: Reporter) -> None:
        """Links and removes files as it is due after the reporter's epoch; what a kill has cut short is done again."""
        last = reporter.get_epoch()
        link(self.folder / "latest.pth", f"{last}epoch.pth")
        keep = {epoch for epoch in epochs_in(self.folder) if epoch <= last}
        keep = set(sorted(keep)[-self.options.keep_last :])
        for name, epochs in self._ranked(reporter).items():
            link(self.folder / f"{name}.best.pth", f"{epochs[0]}epoch.pth")
            keep.update(epochs[: max(self.num_best)])
        remove_epochs(self.folder, keep)
        for part in self.folder.glob("checkpoint.*.rank*.pth"):
            if not part.name.startswith(f"checkpoint.{last}."):
                part.unlink()

    def _ranked(self, reporter: Reporter) -> Dict[str, List[int]]:
        """{"valid.loss": stored epochs from the best to the worst} for every criterion."""
        stored = set(epochs_in(self.folder))
        criteria = [spec for spec in self.options.best_model_criterion if reporter.has(*spec[:2])]
        ranked = {f"{phase}.{key}": reporter.sort_epochs(phase, key, mode) for phase, key, mode in criteria}
        return {name: [epoch for epoch in epochs if epoch in stored] for name, epochs in ranked.items()}

    def _part(self, epoch: int, rank: int, num_ranks: int) -> Path:
        return self.folder / f"checkpoint.{epoch}.rank{rank}of{num_ranks}.pth"


def mean_of(paths: Sequence[Path]) -> Dict[str, torch.Tensor]:
    """The mean of the weights in several files; counters and other whole numbers are those of the first."""
    mean = read_state(paths[0])
    for path in paths[1:]:
        state = read_state(path)
        mean = {n: v + state[n] if v.is_floating_point() else v for n, v in mean.items()}
    return {n: v / len(paths) if v.is_floating_point() else v for n, v in mean.items()}


def link(path: Path, target: str) -> None:
    """Makes `path` a link to `target` in one step, so that a reader finds the old one or the new one."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    os.replace(new, path)


def hand_over(output_dir: Path, epoch: int, model: torch.nn.Module) -> None:
    """Puts the weights of an epoch into `unchecked`; the watcher removes them there when it has checked them."""
    weights, unchecked = output_dir / f"{epoch}epoch.pth", output_dir / UNCHECKED / f"{epoch}epoch.pth"
    if not unchecked.parent.is_dir() or unchecked.exists():
        return
    if weights.exists() and reference_in(weights) is None:
        os.link(weights, unchecked)
    else:
        write_state(unchecked, model.state_dict())


def epochs_in(directory: Path) -> List[int]:
    """The epochs whose weights are in a folder, ascending (whole or not)."""
    epochs = map(epoch_of, directory.glob("*epoch.pth"))
    return sorted(epoch for epoch in epochs if epoch is not None)


def epoch_of(path: Path) -> Optional[int]:
    """n of a file <n>epoch.pth, None for another name."""
    name = re.fullmatch(r"(\d+)epoch\.pth", path.name)
    return int(name.group(1)) if name else None


def remove_epochs(directory: Path, keep: Collection[int] = ()) -> None:
    """Removes the weights of all epochs but those to keep, and what only the removed ones refer to."""
    shutil.rmtree(directory / WHOLE, ignore_errors=True)
    for epoch in set(epochs_in(directory)) - set(keep):
        (directory / f"{epoch}epoch.pth").unlink()
    used = {reference_in(directory / f"{epoch}epoch.pth") for epoch in keep}
    for file in (directory / FROZEN).glob("*.pth"):
        if f"{FROZEN}/{file.name}" not in used:
            file.unlink()


def begun(output_dir: Path) -> bool:
    """True if a run that resumes does not begin with the first epoch."""
    return any((output_dir / name).exists() for name in (CURRENT, PREVIOUS))


def forget(output_dir: Path) -> None:
    """Called at the start of a run that starts anew, by rank 0: the end mark goes first, others read it."""
    for name in (FINISHED, PREVIOUS, CURRENT, "swaps.decided"):
        (output_dir / name).unlink(missing_ok=True)
    for file in (output_dir / UNCHECKED).glob("*epoch.pth"):
        file.unlink()


def finished_epochs(output_dir: Path) -> Optional[int]:
    """The max_epoch with which the training ended, None while it has not. Raises ValueError for a damaged end mark."""
    path = output_dir / FINISHED
    if not path.exists():
        return None
    epochs = read_json(path).get("max_epoch")
    if type(epochs) is not int:
        raise ValueError(f"{path} has no max_epoch: remove it, and the training goes on from its last epoch")
    return epochs


def read_config(path: PathLike) -> Dict[str, Any]:
    """The options in a config.yaml. Raises ValueError if it is damaged, as ESPnet's after a kill while it writes."""
    try:
        options = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError):
        options = None
    if not isinstance(options, dict) or LAST_OPTION not in options:
        raise ValueError(
            f"{path} is damaged, expected the options of a training: restore it, or remove it and start the training "
            "again with the same options, which writes it anew"
        )
    return options


def write_config(path: PathLike, options: Dict[str, Any]) -> None:
    """Writes a config.yaml in ESPnet's form, so that a reader finds the old one or the new one as a whole."""
    write_atomically(path, yaml_no_alias_safe_dump(options, indent=4, sort_keys=False))
