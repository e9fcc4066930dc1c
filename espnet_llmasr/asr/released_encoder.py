"""A released speech encoder of Hugging Face as configuration and weights, for bin.prepare_encoder."""

import json
from pathlib import Path
from typing import Dict, Tuple

import torch
import yaml
from torch import Tensor
from transformers import AutoConfig, AutoFeatureExtractor

from espnet_llmasr.asr.hugging_face_encoder import HuggingFaceEncoder, Wav2Vec2, Wav2Vec2BERT, Whisper
from espnet_llmasr.asr.pretrained import check_weights, load_model
from espnet_llmasr.asr.weights import write_state
from espnet_llmasr.files import read_json, write_atomically

CLASSES = {"whisper": Whisper, "wav2vec2": Wav2Vec2, "w2v_bert": Wav2Vec2BERT}  # by their names in --encoder
FILES = ("config.json", "preprocessor_config.json")
PRIVATE = ("_name_or_path", "architectures", "auto_map", "transformers_version", "dtype", "torch_dtype")


def write_released(name: str, output_dir: Path) -> None:
    """Writes encoder.pth, the weights, and then encoder.yaml, the options of a training.

    Raises:
        ValueError, OSError: see `read_released`.
    """
    options, state = read_released(name)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_state(output_dir / "encoder.pth", state)
    write_atomically(output_dir / "encoder.yaml", yaml.safe_dump(options, sort_keys=False))


def read_released(name: str) -> Tuple[dict, Dict[str, Tensor]]:
    """The options of a training (frontend, normalize, encoder and their _conf) and the encoder's weights.

    Args:
        name: a directory that save_pretrained wrote, or a name on the hub.
    Raises:
        ValueError: no such directory, no encoder of CLASSES, files or weights that are broken or missing.
        OSError: no such name on the hub, or no network.
    """
    if name.startswith((".", "/")) and not Path(name, "config.json").is_file():
        raise ValueError(f"--encoder {name} has no config.json: give the directory of a model, or its name on the hub")
    for file in (Path(name, part) for part in FILES):
        if file.exists():
            read_json(file)
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    kinds = {kind: chosen for chosen, component in CLASSES.items() for kind in component.model_types}
    if config.model_type not in kinds:
        raise ValueError(f"--encoder {name} is a {config.model_type}, allowed are {', '.join(kinds)}")
    chosen = kinds[config.model_type]
    saved = {key: value for key, value in json.loads(config.to_json_string()).items() if key not in PRIVATE}
    conf = {"config": saved | {"model_type": config.model_type}}
    options = {"frontend": CLASSES[chosen].needs_frontend, "encoder": chosen, "encoder_conf": conf}
    if chosen == "whisper":
        options |= {"frontend_conf": {"n_mels": config.num_mel_bins}, "normalize": None}
    elif chosen == "wav2vec2":
        extractor = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False)
        conf["standardise"] = bool(extractor.do_normalize)
        options |= {"normalize": None, "specaug": None}
    return options, read_weights(name, CLASSES[chosen](input_size=width_of(config), **conf))


def width_of(config) -> int:
    """F: what the encoder of this configuration reads."""
    widths = {"whisper": "num_mel_bins", "wav2vec2-bert": "feature_projection_input_dim"}
    if config.model_type not in widths:
        return Wav2Vec2.width
    return getattr(config, widths[config.model_type]) // (2 if config.model_type == "wav2vec2-bert" else 1)


def read_weights(name: str, encoder: HuggingFaceEncoder) -> Dict[str, Tensor]:
    """The encoder's weights, under its own names. Raises ValueError if some that matter are missing."""
    model, missing = load_model(name, torch.float32)
    released = (model.get_encoder() if hasattr(model, "decoder") else model).state_dict()
    lacking = encoder.model.load_state_dict(released, strict=False).missing_keys
    part = "encoder." if hasattr(model, "decoder") else ""
    check_weights(name, [*(key for key in missing if key.startswith(part)), *lacking])
    return encoder.state_dict()
