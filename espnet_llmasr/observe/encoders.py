"""Finds the kind of encoder at a path and opens it.

PATH[:WEIGHTS] may be
    exp/joint_sft                  the folder of a training of ours (config.yaml): latest.pth
    exp/joint_sft:3epoch.pth       another checkpoint of it, also written exp/joint_sft/3epoch.pth
    exp/encoders:reference.pth     an encoder store; the configuration is that of the pretraining beside it
    exp/asr_train_x:valid.acc.ave.pth      an ESPnet ASR model (asr_train)
    FireRedASR-AED-L               the published directory of FireRedASR-AED or FireRedASR-LLM (asr/firered.py)
    whisper-large-v3               a directory of Hugging Face (config.json, preprocessor_config.json, weights)
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from espnet_llmasr.asr.blocks import blocks_of
from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.espnet_encoder import REFUSALS
from espnet_llmasr.asr.fbank import FeatureMVN, KaldiFbank, write_statistics
from espnet_llmasr.asr.firered import MODEL, read_release
from espnet_llmasr.asr.frontend import Frontend, parse_rate
from espnet_llmasr.asr.modules import extract_features, frames_of, outputs_of
from espnet_llmasr.asr.weights import load_state, part_of, read_state
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.files import read_yaml
from espnet_llmasr.observe.frames import Frames, SpeechEncoder
from espnet_llmasr.observe.hugging_face import open_hugging_face
from espnet_llmasr.tasks.llm_asr import build_adaptor
from espnet_llmasr.tasks.speech_task import SpeechTask

OWN_KEYS = {"ctc_head_conf", "adaptor_conf"}  # one of them is in every configuration of ours
STOCK_KEYS = {"encoder", "ctc_conf", "token_list"}
TASKS = "phoneme_ctc_train, llm_asr_train or ESPnet's asr_train"


class OwnEncoder:
    """An encoder of our classes with its frontend and normalisation, and with its adaptor if it has one."""

    def __init__(
        self, frontend: Frontend, normalize, encoder: Encoder, adaptor: Optional[nn.Module], device: str = "cpu"
    ):
        self.frontend, self.normalize, self.encoder, self.adaptor = frontend, normalize, encoder, adaptor
        self.device, self.rate = device, frontend.fs
        for module in (frontend, normalize, encoder, adaptor):
            if module is not None:
                module.to(device).eval()

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        speech = samples[None].to(self.device)
        feats, lengths = extract_features(speech, np.array([len(samples)]), self.frontend, self.normalize)
        layers = self.encoder.forward_layers(feats, lengths)
        if self.adaptor is None:
            return Frames([layer[0] for layer in layers])
        tokens, _ = self.adaptor(layers[-1], self.encoder.output_lengths(lengths))
        return Frames([layer[0] for layer in layers], tokens[0])


def open_checkpoint(config: Path, weights: Path, device: str = "cpu") -> OwnEncoder:
    """The encoder, and the adaptor if there is one, of phoneme_ctc_train, llm_asr_train or an encoder store.

    The LLM is not built, and other weights are not read.

    Args:
        config: config.yaml of the training (of the pretraining, for a published encoder).
        weights: <n>epoch.pth, or encoder.<step>.pth.

    Raises ValueError if the weights are broken, or not of this encoder.
    """
    args = SpeechTask.config_of(config)
    parts, state, adaptor = SpeechTask.build_components(args), read_state(weights, lazy=True), None
    load_state(parts["encoder"], part_of(state, "encoder.") or state, weights, config)
    if adaptor_state := part_of(state, "adaptor."):
        *_, last = adaptor_state.values()  # as long as the LLM is wide
        adaptor = build_adaptor(args, parts["encoder"].output_size(), len(last))
        load_state(adaptor, adaptor_state, weights, config)
    return OwnEncoder(parts["frontend"], parts["normalize"], parts["encoder"], adaptor, device)


def open_firered(folder: Path, device: str = "cpu") -> OwnEncoder:
    """The encoder, and the adaptor if there is one, of a published FireRedASR. Raises ValueError as `read_release`."""
    release = read_release(folder)
    with TemporaryDirectory() as scratch:  # ESPnet's normalisation takes a file
        statistics = Path(scratch, "feats_stats.npz")
        write_statistics(statistics, *release.sums)
        return OwnEncoder(KaldiFbank(), FeatureMVN(statistics), release.encoder, release.adaptor, device)


class ESPnetEncoder:
    """The encoder of an ESPnet ASR model (asr_train), of any architecture.

    Only the output is measured for an encoder without a list of blocks, with blocks of another frame rate than its
    output, or with streaming (its blocks process the audio in pieces).

    Raises ValueError if the weights do not fit the configuration, or the model takes features instead of audio.
    """

    def __init__(self, config: Path, weights: Path, device: str = "cpu"):
        from espnet_llmasr.register import load_asr  # imports all of ESPnet's ASR task, which tries the network

        model, args = load_asr(config, weights, device)
        if model.frontend is None:
            raise ValueError(f"{config}: this model takes features, not audio: only models with a frontend can be read")
        self.model, self.device, self.rate = model, device, parse_rate(args.frontend_conf.get("fs", 16000))

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio that ESPnet refuses, such as too short for its window or its subsampling."""
        lengths = torch.tensor([len(samples)], device=self.device)
        try:
            with outputs_of(blocks_of(self.model.encoder)[:-1]) as inner:
                output, lengths = self.model.encode(samples[None].to(self.device), lengths)
        except REFUSALS as error:
            seconds = len(samples) / self.rate
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({error}): leave it out if short"
            ) from error
        output = frames_of(output)
        if any(layer.shape[:2] != output.shape[:2] for layer in inner):
            inner = []
        return Frames([layer[0, : int(lengths)] for layer in (*inner, output)])


class Source(NamedTuple):
    """An encoder that is not yet opened: its opener and its files."""

    opener: Callable[..., SpeechEncoder]
    files: Tuple[Path, ...]

    def open(self, device: str = "cpu") -> SpeechEncoder:
        """Raises ValueError as the openers do."""
        return self.opener(*self.files, device=device)


def find_encoder(spec: str) -> Source:
    """The encoder that PATH[:WEIGHTS] names; it is not yet opened.

    Raises ValueError if there is none; the message lists what is expected.
    """
    folder, weights = _split(spec)
    config = folder / "config.yaml"
    if weights in (None, MODEL) and (folder / MODEL).is_file():  # which has a config.yaml of its own form
        return Source(open_firered, (folder,))
    if config.is_file():
        return Source(_opener_for(config), (config, _weights_in(folder, weights)))
    if weights is None and (folder / "config.json").is_file():
        return Source(open_hugging_face, (folder,))
    if any(folder.glob("encoder.*.pth")) or (folder / "reference.pth").is_file():
        config = folder.resolve().parent / "pretrain" / "config.yaml"
        if not config.is_file():
            raise ValueError(f"{folder} is an encoder store, but there is no {config}: put it beside its pretraining")
        return Source(open_checkpoint, (config, _published(folder, weights)))
    raise ValueError(
        f"{folder} holds no encoder: expected config.yaml ({TASKS}), "
        f"encoder.<step>.pth of an encoder store, {MODEL} of FireRedASR, or config.json of a Hugging Face speech model"
    )


def _split(spec: str) -> Tuple[Path, Optional[str]]:
    """Folder and name of the weights, if one is given."""
    path, weights = Path(spec), None
    if path.is_file():
        return path.parent, path.name
    if not path.is_dir() and ":" in spec:
        folder, _, weights = spec.rpartition(":")
        path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"no encoder at '{spec}': there is no such folder, and no such file")
    return path, weights


def _opener_for(config: Path) -> Callable[..., SpeechEncoder]:
    """The opener for the model of a config.yaml; options show which task wrote it."""
    options = read_yaml(config, kind=object)
    keys = set(options) if isinstance(options, dict) else set()
    if keys & OWN_KEYS:
        return open_checkpoint
    if STOCK_KEYS <= keys:
        return ESPnetEncoder
    raise ValueError(f"{config} is of another task: expected that of {TASKS}")


def _weights_in(folder: Path, weights: Optional[str]) -> Path:
    """The weights of this name; without a name latest.pth, or the only ones in the folder."""
    names = sorted(path.name for path in folder.glob("*.pth") if not path.name.startswith("checkpoint."))
    if weights is None and ("latest.pth" in names or len(names) != 1):
        weights = "latest.pth"
    weights = weights or names[0]
    if weights not in names:
        raise ValueError(f"{folder} has no {weights}: append one of its weights, :{' :'.join(names) or '(none there)'}")
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
