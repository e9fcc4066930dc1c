"""Finds the kind of encoder at a path and opens it.

PATH[:WEIGHTS] may be
    exp/joint_sft                  the folder of a training of ours (config.yaml): latest.pth
    exp/joint_sft:3epoch.pth       another checkpoint of it, also written exp/joint_sft/3epoch.pth
    exp/encoders:reference.pth     an encoder store; the configuration is that of the pretraining beside it
    exp/asr_train_x:valid.acc.ave.pth      an ESPnet ASR model (asr_train)
    whisper-large-v3               a directory of Hugging Face (config.json, preprocessor_config.json, weights)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Tuple

import yaml

from espnet_llmasr.observe.espnet_asr import ESPnetEncoder
from espnet_llmasr.observe.frames import SpeechEncoder
from espnet_llmasr.observe.hugging_face import open_hugging_face
from espnet_llmasr.observe.own import CheckpointEncoder
from espnet_llmasr.encoder_swap.store import EncoderStore

OWN_KEYS = {"ctc_head_conf", "adaptor_conf"}  # one of them is in every configuration of ours
STOCK_KEYS = {"encoder", "ctc_conf", "token_list"}


@dataclass(frozen=True)
class Source:
    """An encoder that is not yet opened: its opener, its folder and its files."""

    opener: Callable[..., SpeechEncoder]
    folder: Path
    files: Tuple[Path, ...]

    def open(self, device: str = "cpu") -> SpeechEncoder:
        """Raises ValueError as the openers do."""
        return self.opener(*self.files, device=device)


def find_encoder(spec: str) -> Source:
    """The encoder that PATH[:WEIGHTS] names; it is not yet opened.

    Raises:
        ValueError: there is none; the message lists what is expected.
    """
    folder, weights = _split(spec)
    if (folder / "config.yaml").is_file():
        config = folder / "config.yaml"
        return Source(_opener_for(config), folder, (config, _weights_in(folder, weights)))
    if weights is None and (folder / "config.json").is_file():
        return Source(open_hugging_face, folder, (folder,))
    if any(folder.glob("encoder.*.pth")) or (folder / "reference.pth").is_file():
        return Source(CheckpointEncoder, folder, (_config_of_store(folder), _published(folder, weights)))
    raise ValueError(
        f"{folder} holds no encoder: expected config.yaml (phoneme_ctc_train, llm_asr_train or ESPnet's asr_train), "
        "encoder.<step>.pth of an encoder store, or config.json of a Hugging Face speech model"
    )


def _split(spec: str) -> Tuple[Path, Optional[str]]:
    """Folder and name of the weights, if one is given."""
    path = Path(spec)
    if path.is_file():
        return path.parent, path.name
    if not path.is_dir() and ":" in spec:
        folder, _, weights = spec.rpartition(":")
        path = Path(folder)
    else:
        weights = None
    if not path.is_dir():
        raise ValueError(f"no encoder at '{spec}': there is no such folder, and no such file")
    return path, weights


def _opener_for(config: Path) -> Callable[..., SpeechEncoder]:
    """The opener for the model of a config.yaml; options show which task wrote it."""
    options = yaml.safe_load(config.read_text(encoding="utf-8"))
    keys = set(options) if isinstance(options, dict) else set()
    if keys & OWN_KEYS:
        return CheckpointEncoder
    if STOCK_KEYS <= keys:
        return ESPnetEncoder
    tasks = "phoneme_ctc_train, llm_asr_train or ESPnet's asr_train"
    raise ValueError(f"{config} is of another task: expected that of {tasks}")


def _weights_in(folder: Path, weights: Optional[str]) -> Path:
    """The weights of this name; without a name latest.pth, or the only ones in the folder."""
    names = sorted(path.name for path in folder.glob("*.pth") if path.name != "checkpoint.pth")
    if weights is None:
        weights = "latest.pth" if "latest.pth" in names else names[0] if len(names) == 1 else None
    if weights not in names:
        asked = "no latest.pth" if weights is None else f"no {weights}"
        raise ValueError(f"{folder} has {asked}: append one of its weights, :{' :'.join(names) or '(none there)'}")
    return folder / weights


def _published(folder: Path, weights: Optional[str]) -> Path:
    """The encoder of this name in a store; without a name the newest one."""
    store = EncoderStore(folder)
    if weights is None and store.newest() is None:
        raise ValueError(f"{folder} has no whole encoder.<step>.pth yet: append :reference.pth, or wait for one")
    path = store.path(store.newest()) if weights is None else folder / weights
    if not path.is_file():
        names = ", ".join(other.name for other in sorted(folder.glob("*.pth")))
        raise ValueError(f"{folder} has no {path.name}: it has {names}")
    return path


def _config_of_store(folder: Path) -> Path:
    config = folder.resolve().parent / "pretrain" / "config.yaml"
    if not config.is_file():
        raise ValueError(f"{folder} is an encoder store, but there is no {config}: put it beside its pretraining")
    return config
