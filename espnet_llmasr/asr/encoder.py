"""What an encoder must offer, and the names of all encoders. Nothing else knows how an encoder shortens time.

Shapes: B batch, T feature frames, F feature bins, S encoder frames, D encoder width.
"""

import sys
from abc import abstractmethod
from contextlib import redirect_stdout
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import List, Optional, Tuple, Type

import torch
import yaml
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor

from espnet_llmasr.asr.modules import check_keys
from espnet_llmasr.audio import Windows
from espnet_llmasr.files import PathLike

DEFAULT = "firered_conformer"
ENCODERS = {  # one line for each encoder: its name in --encoder, and its class (a subclass of Encoder, or one of ESPnet)
    DEFAULT: "espnet_llmasr.asr.conformer.FireRedConformerEncoder",
    "conformer": "espnet2.asr.encoder.conformer_encoder.ConformerEncoder",
    "transformer": "espnet2.asr.encoder.transformer_encoder.TransformerEncoder",
    "branchformer": "espnet2.asr.encoder.branchformer_encoder.BranchformerEncoder",
    "e_branchformer": "espnet2.asr.encoder.e_branchformer_encoder.EBranchformerEncoder",
    "multiconv_conformer": "espnet2.asr.encoder.multiconvformer_encoder.MultiConvConformerEncoder",
}


class Encoder(AbsEncoder):
    """(B, T, F) features -> (B, S, D) frames.

    A subclass takes `input_size` (F) and its own options, sets `windows`, and writes the four abstract methods.

    Attributes:
        windows: encoder frame s depends on the feature frames [s * shift, s * shift + size) before the layers mix
            frames. An utterance of T frames has windows.count(T) encoder frames, whatever its batch mates.
    """

    windows: Windows

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """The number of layers that `forward_layers` returns."""

    @abstractmethod
    def output_size(self) -> int:
        """D."""

    @abstractmethod
    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Optional[Tensor] = None
    ) -> Tuple[Tensor, Tensor, None]:
        """(B, T, F), (B,) -> frames (B, S, D) that are zero beyond each length, lengths (B,), None.

        Raises ValueError for an utterance of fewer than `min_frames` frames.
        """

    @abstractmethod
    def forward_layers(self, xs_pad: Tensor, ilens: Tensor) -> List[Tensor]:
        """As `forward`, but the output (B, S, D) of every layer, the first layer first; the last is forward's."""

    @property
    def min_frames(self) -> int:
        """The feature frames that an utterance must have."""
        return self.windows.size

    def output_lengths(self, frame_lengths):
        """Encoder frames for numbers of feature frames (int, array or tensor); 0 below `min_frames`."""
        return self.windows.count(frame_lengths)

    def frame_rate_hz(self, feature_rate_hz: float) -> float:
        """Encoder frames per second for features of so many frames per second (100 for a shift of 10 ms)."""
        return feature_rate_hz / self.windows.shift

    def longest(self, ilens: Tensor) -> int:
        """The longest of the lengths (B,), by one transfer from the accelerator.

        Raises:
            ValueError: an utterance is too short.
        """
        shortest, longest = torch.stack(ilens.aminmax()).tolist()
        if shortest < self.min_frames:
            raise ValueError(
                f"an utterance has {shortest} feature frames, the encoder needs at least {self.min_frames}: "
                "drop shorter utterances in data preparation"
            )
        return longest


@lru_cache(None)
def encoder_class(name: str) -> Type[Encoder]:
    """The class of an encoder by its name in ENCODERS; a class of ESPnet comes in its adapter.

    Raises:
        ValueError: there is no encoder of this name.
    """
    if name not in ENCODERS:
        raise ValueError(f"there is no encoder '{name}', allowed are {', '.join(ENCODERS)}")
    module, _, class_name = ENCODERS[name].rpartition(".")
    with redirect_stdout(sys.stderr):  # ESPnet prints that it has no flash attention
        found = getattr(import_module(module), class_name)
    if issubclass(found, Encoder):
        return found
    from espnet_llmasr.asr.espnet_encoder import adapted  # takes a second, and needs Encoder

    return adapted(found)


def read_windows(config: Optional[PathLike], input_size: int = 80) -> Windows:
    """The windows of the encoder in a YAML file with the keys encoder and encoder_conf; without a file the default's.

    Raises:
        ValueError: the file is not of this form, or the encoder does not take these options.
    """
    if config is None:
        return windows_of(DEFAULT, {}, input_size)
    options = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    if not isinstance(options, dict) or not isinstance(options.get("encoder_conf", {}), dict):
        raise ValueError(f"{config} must hold the keys encoder and encoder_conf: give conf/encoder.yaml")
    return windows_of(options.get("encoder", DEFAULT), options.get("encoder_conf", {}), input_size)


def windows_of(name: str, conf: dict, input_size: int) -> Windows:
    """The windows of an encoder of this configuration, which is built without memory.

    Raises:
        ValueError: there is no such encoder, or it does not take these options.
    """
    check_keys(encoder_class(name), "encoder_conf", conf, ())
    with torch.random.fork_rng(devices=[]):  # some of ESPnet's parameters are drawn on the CPU all the same
        with torch.device("meta"):
            encoder = encoder_class(name)(**{"input_size": input_size, **conf})
        return encoder.to("meta").windows
