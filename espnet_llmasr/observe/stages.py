"""The stored encoders of an experiment, in the order in which the recipe trained them."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional

from espnet_llmasr.encoder_swap.rule import cka_log
from espnet_llmasr.encoder_swap.run_dir import PretrainingDir
from espnet_llmasr.encoder_swap.store import EncoderStore, is_whole
from espnet_llmasr.encoder_swap.trainer import swap_log
from espnet_llmasr.files import recipe_path
from espnet_llmasr.train.flops_log import read_flops

STAGES = ("pretrain", "ia_sft", "joint_sft")  # the alignment changes no encoder, the paper leaves it out, too


@dataclass(frozen=True)
class Checkpoint:
    """A stored encoder: its name in the log, its stage, that stage's updates (None: unknown), and PATH[:WEIGHTS]."""

    name: str
    stage: str
    step: Optional[int]
    spec: str


def checkpoints_of(exp: Path) -> List[Checkpoint]:
    """All stored encoders of the folder of an experiment (exp), each stage by its updates.

    Raises ValueError if there is none.
    """
    paths_of = {stage: _whole(_pretrained(exp) if stage == "pretrain" else _tuned(exp, stage)) for stage in STAGES}
    checkpoints = [
        Checkpoint(f"{stage}.{step}", stage, step, str(path))
        for stage, paths in paths_of.items()
        for step, path in sorted(paths.items())
    ]
    if not checkpoints:
        raise ValueError(f"{exp} has no checkpoints in {', '.join(STAGES)}: give the folder that the recipe trained in")
    return checkpoints


def parse_model_spec(spec: str) -> Checkpoint:
    """NAME=PATH[:WEIGHTS]. Its stage is the folder's name. Raises ValueError if there is no NAME."""
    name, separator, path = spec.partition("=")
    if not (name and separator and path):
        raise ValueError(f"--model {spec}: expected NAME=PATH or NAME=PATH:WEIGHTS, such as whisper=/models/whisper")
    folder = Path(path if Path(path).is_dir() else path.rpartition(":")[0] or path)
    return Checkpoint(name, (folder.parent if folder.suffix == ".pth" else folder).name, None, path)


def store_of(exp: Path) -> EncoderStore:
    """The encoders that the watcher published for the experiment; those of --encoder_dir, where it has none of its own."""
    own = exp / "encoders"
    configs = [PretrainingDir(exp / stage).config() for stage in ("ia_sft", "align") if _has_begun(exp / stage)]
    named = next(filter(None, (config.get("encoder_dir") for config in configs)), None)
    return EncoderStore(own if own.is_dir() or not named else recipe_path(exp, named))


def _has_begun(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


def _pretrained(exp: Path) -> Dict[int, Path]:
    """Encoders by pretraining updates: kept epochs, and the files of the watcher."""
    store, paths = store_of(exp), _kept(exp / "pretrain")
    for check in cka_log(store.directory).read():
        if check.action == "reference":
            paths[check.step] = store.directory / "reference.pth"
    return paths | {step: store.path(step) for step in store.steps()}


def _tuned(exp: Path, stage: str) -> Dict[int, Path]:
    """Encoders by the stage's updates: the one it starts from, those swapped in at epoch starts, kept epochs."""
    folder = exp / stage
    if not _has_begun(folder):
        return {}
    starts = [Path(spec) for spec in PretrainingDir(folder).config()["init_param"] if ":" not in spec]
    paths = {0: exp / start.parent.name / start.name for start in starts}  # such as exp/ia_sft/latest.pth
    store = store_of(exp)
    for swap in swap_log(folder / "swaps.jsonl").read():
        encoder = store.path(swap.encoder_step)
        if encoder.exists():
            paths[_updates(folder)(swap.epoch - 1)] = encoder
        else:
            logging.warning("%s, swapped in by %s, is gone: skipped", encoder, folder)
    return paths | _kept(folder)


def _kept(folder: Path) -> Dict[int, Path]:
    """<n>epoch.pth by updates."""
    stored = PretrainingDir(folder).stored() if _has_begun(folder) else []
    updates = _updates(folder) if stored else None
    return {updates(epoch): folder / f"{epoch}epoch.pth" for epoch in stored}


def _updates(folder: Path) -> Callable[[int], int]:
    """epoch -> the updates of a training up to its end; where epochs have no fixed length, by the batches in flops.jsonl.

    Raises ValueError where they are not counted there either.
    """
    training = PretrainingDir(folder)
    config = training.config()
    if config["num_iters_per_epoch"]:
        return lambda epoch: epoch * training.updates_per_epoch()
    of_update = config["accum_grad"] * config.get("num_ranks", 1)
    done = {0: 0}
    for line in read_flops(folder):
        done[line["epoch"]] = done[line["epoch"] - 1] + -(-line["batches"] // of_update)
    return done.__getitem__


def _whole(paths: Dict[int, Path]) -> Dict[int, Path]:
    """Those that can be read; broken ones are named in a warning."""
    paths = {step: path for step, path in paths.items() if path.exists()}
    whole = {step: path for step, path in paths.items() if is_whole(path)}
    for step in paths.keys() - whole.keys():
        logging.warning("%s is not a whole checkpoint: skipped", paths[step])
    return whole
