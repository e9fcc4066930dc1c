"""Finds the speech encoder in a Hugging Face directory: the outermost part of its model that turns sound into frames.

The encoder is found by trial, not by name. A part of the model is the encoder if its inputs are the outputs of the
feature extractor and none of a decoder, and if its output has frames whose number grows with the sound.
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
OTHERS = ("labels", "decoder", "pixel")  # prefixes of inputs for a loss, a decoder or images


def open_hugging_face(directory: Path, device: str = "cpu") -> HuggingFaceEncoder:
    """The speech encoder in a directory that `save_pretrained` wrote (model and feature extractor), alone or as a part.

    Raises:
        ValueError: there is no feature extractor of audio, no part of the model is an encoder for its features, or the
            weights are broken or incomplete.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(directory, trust_remote_code=False)
        model, missing = load_model(directory, torch.float32, _class_of(directory))
    except Exception as error:  # files from elsewhere may raise anything
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
        except Exception as error:  # and so may a part of the model
            reasons.append(f"{type(part).__name__}: {first_line(error)}")
            if _inputs_of(part)[0] == name and not isinstance(error, NoFrames):
                break  # the inputs of its parts are not known
        else:
            check_weights(directory, [key for key in missing if key.startswith(f"{path}." if path else "")])
            return encoder
    reason = reasons[0] if reasons else f"none takes {name} alone"
    raise ValueError(
        f"{directory}: no part of {type(model).__name__} makes frames from the features of preprocessor_config.json "
        f"({reason}): this file is of another model, or the model is no speech encoder, or needs other inputs, too"
    )


def _class_of(directory: Path) -> type:
    """The class that config.json names: AutoModel leaves parts out (SpeechT5's convolutions) or adds a decoder.

    If that class is unknown (the released Qwen2.5-Omni is a "Qwen2_5OmniModel"), AutoModel's class, or the last class
    of the configuration.
    """
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    name = str((config.architectures or [""])[0])
    models = import_module(_module_of(type(config), "modeling"))
    of_config = [kind for kind in vars(models).values() if getattr(kind, "config_class", None) is type(config)]
    other = AutoModel if type(config) in MODEL_MAPPING or not of_config else of_config[-1]
    named = getattr(models, name, getattr(transformers, name, None))
    return named if isinstance(named, type) and issubclass(named, PreTrainedModel) else other


def _takes_only(part: nn.Module, name: str) -> bool:
    """True if a part takes `name` (or one of SOUND) first and none of OTHERS, and has no decoder."""
    if not isinstance(part, PreTrainedModel) or hasattr(part, "decoder"):
        return False
    first, *others = _inputs_of(part)
    return first in (name, *SOUND) and not any(other.startswith(OTHERS) for other in others)


def _inputs_of(part: nn.Module) -> List[str]:
    return list(inspect.signature(part.forward).parameters)


def _options_of(config: type) -> Dict[str, object]:
    """The options with which the processor of a model family calls the feature extractor; none without a processor."""
    if find_spec(_module_of(config, "processing")) is None:
        return {}
    kinds = vars(import_module(_module_of(config, "processing"))).values()
    processors = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, ProcessorMixin))
    return next((kind.audio_kwargs for kind in processors if hasattr(kind, "audio_kwargs")), {})


def _module_of(config: type, kind: str) -> str:
    """The module of transformers with the code of a kind (modeling, processing) for a model family."""
    return config.__module__.replace(".configuration_", f".{kind}_")
