"""The names of all frontends, and the frontend and windows of a configuration file."""

from functools import lru_cache
from typing import NamedTuple, Optional

from espnet_llmasr.asr.encoders import DEFAULT as ENCODER
from espnet_llmasr.asr.encoders import FIXED_WINDOWS, windows_of
from espnet_llmasr.asr.registry import Registry
from espnet_llmasr.audio import Windows
from espnet_llmasr.files import PathLike, read_yaml

DEFAULT = "kaldi_fbank"
FRONTENDS = {  # name in --frontend -> class, a subclass of Frontend
    DEFAULT: "espnet_llmasr.asr.fbank.KaldiFbank",
    "default": "espnet_llmasr.asr.espnet_frontend.ESPnetDefault",
    "whisper": "espnet_llmasr.asr.whisper_frontend.WhisperFrontend",
    "waveform": "espnet_llmasr.asr.frontend.Waveform",
}
REGISTRY = Registry("frontend", FRONTENDS)


@lru_cache(None)
def frontend_class(name: str) -> type:
    """The `Frontend` of a name. Raises ValueError if there is none, or see `Registry.load`."""
    from espnet_llmasr.asr.frontend import Frontend
    from espnet_llmasr.espnet_versions import quiet_imports

    with quiet_imports():
        chosen = REGISTRY.load(name)
    if not issubclass(chosen, Frontend):
        raise ValueError(
            f"the frontend '{name}' ({chosen.__module__}.{chosen.__name__}) is no Frontend "
            "(espnet_llmasr.asr.frontend): derive it from that class"
        )
    return chosen


def read_frontend(config: Optional[PathLike], fs: int):
    """The frontend of a YAML file (keys frontend, frontend_conf) at `fs` Hz; without a file the default.

    Raises:
        ValueError: the file is not of this form, or the frontend does not take these options.
    """
    from espnet_llmasr.asr.modules import check_keys

    options = read_components(config)
    component, conf = frontend_class(options["frontend"]), {**options["frontend_conf"], "fs": fs}
    check_keys(component, "frontend_conf", conf, ())
    return component(**conf)


class Framing(NamedTuple):
    """How samples become frames."""

    features: Windows  # of samples, one for each feature frame
    encoder: Windows  # of feature frames, one for each encoder frame


def read_framing(config: Optional[PathLike], fs: int) -> Framing:
    """The windows of frontend and encoder in a YAML file (frontend, encoder, and their _conf); torch only if need be.

    Raises:
        ValueError: the file is not of this form, or frontend or encoder do not take these options.
    """
    options = read_components(config)
    usual = options["frontend"] == DEFAULT and not options["frontend_conf"].keys() - {"fs"}
    frontend = None if usual else read_frontend(config, fs)
    name, conf = options["encoder"], options["encoder_conf"]
    fixed = FIXED_WINDOWS.get(name)
    return Framing(
        Windows.of_features(fs) if usual else frontend.windows,
        fixed or windows_of(name, conf, 80 if usual else frontend.output_size()),
    )


def read_components(config: Optional[PathLike]) -> dict:
    """frontend, frontend_conf, encoder, encoder_conf of a YAML file, with their defaults.

    Raises:
        ValueError: the file is not of this form.
    """
    options = {} if config is None else read_yaml(config, kind=object)
    defaults = dict(frontend=DEFAULT, frontend_conf={}, encoder=ENCODER, encoder_conf={})
    if isinstance(options, dict):
        options = {**defaults, **options}
        if isinstance(options["encoder_conf"], dict) and isinstance(options["frontend_conf"], dict):
            return options
    raise ValueError(f"{config} must hold the keys encoder and encoder_conf: give conf/encoder.yaml")
