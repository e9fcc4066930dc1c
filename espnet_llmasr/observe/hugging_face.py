"""A speech encoder in a Hugging Face directory: the outermost part of its model that makes frames of sound.

It is not looked up by name, but tried: a part of the model is the encoder if it takes what the feature extractor
makes, and nothing of a decoder, and gives back frames that grow with the sound.
"""

import inspect
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, List

import torch
import transformers
from torch import nn
from transformers import MODEL_MAPPING, AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedModel, ProcessorMixin

from espnet_llmasr.observe.hugging_face_encoder import HuggingFaceEncoder, NoFrames, first_line
from espnet_llmasr.observe.pretrained import check_weights, load_model

SOUND = ("audio_mel", "hidden_states")  # other names of an encoder's first input
OTHERS = ("labels", "decoder", "pixel")  # how inputs for a loss, a decoder or the eye begin


def open_hugging_face(directory: Path, device: str = "cpu") -> HuggingFaceEncoder:
    """The speech encoder in a directory that `save_pretrained` wrote (model and feature extractor), alone or as a part.

    Raises:
        ValueError: it holds no feature extractor of audio, no part that is an encoder for what that makes, or weights
            that are broken or do not hold all of the encoder.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(directory, trust_remote_code=False)
        model, missing = load_model(directory, torch.float32, _class_of(directory))
    except Exception as error:  # what a directory from elsewhere may end in is not known
        raise ValueError(
            f"{directory} holds no speech encoder that can be opened ({first_line(error)}): "
            "expected config.json, preprocessor_config.json and weights, as save_pretrained writes them"
        ) from error
    name, options, reasons = extractor.model_input_names[0], _options_of(type(model.config)), []
    for path, part in model.eval().named_modules():
        if not _takes_only(part, name):
            continue
        try:
            encoder = HuggingFaceEncoder(part.to(device), extractor, options, device)
        except Exception as error:  # nor in what a part of it does
            reasons.append(f"{type(part).__name__}: {first_line(error)}")
            if _inputs_of(part)[0] == name and not isinstance(error, NoFrames):
                break  # what the parts of it hear is not known
        else:
            check_weights(directory, [key for key in missing if key.startswith(f"{path}." if path else "")])
            return encoder
    reason = reasons[0] if reasons else f"none takes {name} alone"
    raise ValueError(
        f"{directory}: no part of {type(model).__name__} makes frames of what preprocessor_config.json makes of sound "
        f"({reason}): it is of another model, or this one is no speech encoder, or takes more than that"
    )


def _class_of(directory: Path) -> type:
    """The class that config.json names: AutoModel leaves parts out (SpeechT5's convolutions) or adds a decoder.

    Where it names none that is known, AutoModel's, or the last one of its configuration: the Qwen2.5-Omni released is
    a "Qwen2_5OmniModel".
    """
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    name = str((config.architectures or [""])[0])
    models = import_module(_module_of(type(config), "modeling"))
    of_config = [kind for kind in vars(models).values() if getattr(kind, "config_class", None) is type(config)]
    other = AutoModel if type(config) in MODEL_MAPPING or not of_config else of_config[-1]
    named = getattr(models, name, getattr(transformers, name, None))
    return named if isinstance(named, type) and issubclass(named, PreTrainedModel) else other


def _takes_only(part: nn.Module, name: str) -> bool:
    """Whether a part of a model takes `name`, or sound by another name, nothing of OTHERS, and has no decoder."""
    if not isinstance(part, PreTrainedModel) or hasattr(part, "decoder"):
        return False
    first, *others = _inputs_of(part)
    return first in (name, *SOUND) and not any(other.startswith(OTHERS) for other in others)


def _inputs_of(part: nn.Module) -> List[str]:
    return list(inspect.signature(part.forward).parameters)


def _options_of(config: type) -> Dict[str, object]:
    """With which the processor of a model's family calls the feature extractor; none if it has no processor."""
    if find_spec(_module_of(config, "processing")) is None:
        return {}
    kinds = vars(import_module(_module_of(config, "processing"))).values()
    processors = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, ProcessorMixin))
    return next((kind.audio_kwargs for kind in processors if hasattr(kind, "audio_kwargs")), {})


def _module_of(config: type, kind: str) -> str:
    """Where transformers has the code of a kind (modeling, processing) of a configuration's family."""
    return config.__module__.replace(".configuration_", f".{kind}_")
