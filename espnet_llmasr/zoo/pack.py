"""Packs a trained model: everything that a transcription needs, in one folder that may be moved, and as a zip.

meta.yaml               the arguments of Speech2Text and their files, and `requires`: the package that loads them
config.json             what vLLM asks first (docs/vllm.md): the LLM's configuration, and the token that ends a transcript
config.yaml             what builds the model; model.safetensors are its weights, with LoRA merged
ctc_config.yaml         what builds the CTC head of the guard; ctc.safetensors, guard.json, phones.txt,
                        phones.tsv (a language of the user's own)
llm/                    configuration and tokenizer of the LLM, no weights
README.md               the model card; RESULTS.md and ROBUSTNESS.md are the tables of the recipe
"""

import json
import shutil
import zipfile
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import torch
import yaml

from espnet_llmasr.asr.llm import TOKENIZER_FILES
from espnet_llmasr.asr.lora import merge
from espnet_llmasr.asr.packed_weights import write_packed
from espnet_llmasr.asr.weights import read_state
from espnet_llmasr.files import atomic_path, check_file, read_json, replacing, write_atomically, write_tokens
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.packed import REQUIRES
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.text.prompt import PROMPT_FILE
from espnet_llmasr.train.checkpoints import LAST_OPTION, write_config
from espnet_llmasr.zoo.load import ARCHITECTURE, META, MODEL_TYPE

COMPONENTS = ("frontend", "specaug", "normalize", "encoder", "adaptor")
KEPT = ("version", "token_list", "ctc_head_conf", "prompt", "model_conf", *COMPONENTS)
KEPT += tuple(f"{name}_conf" for name in COMPONENTS)
"""Options of a training that build its model; all others (data, optimizer, folders) stay at home."""
LLM_FILES = ("config.json", *TOKENIZER_FILES, "generation_config.json", PROMPT_FILE)
FOREIGN_KEYS = ("_name_or_path", "name_or_path", "auto_map")  # in the LLM's files: folders of this machine, and code


@dataclass
class Parts:
    """The files of a model. The CTC head belongs to the guard; guard.json lies beside its weights."""

    config: Path
    weights: Path
    ctc_config: Optional[Path] = None
    ctc_weights: Optional[Path] = None
    pages: Sequence[Path] = field(default_factory=list)
    """RESULTS.md, ROBUSTNESS.md, a licence: copied as they are."""


def pack(parts: Parts, out: Path, card: str = "") -> Path:
    """Writes the folder `out` and <out>.zip, each beside and renamed; returns the zip.

    Args:
        card: the model card, which becomes README.md.
    Raises:
        ValueError: a file is missing or broken, or a configuration names a folder of this machine.
    """
    check_parts(parts)
    with replacing(out, mark=META) as staged:
        files, yaml_files = write_model(staged, parts), {"llm_asr_train_config": "config.yaml"}
        if parts.ctc_weights:
            files["ctc_model_file"] = write_head(staged, parts)
            yaml_files["ctc_train_config"] = "ctc_config.yaml"
        for page in parts.pages:
            shutil.copy(page, staged / page.name)
        if card:
            write_atomically(staged / "README.md", card)
        meta = {"files": files, "yaml_files": yaml_files, **versions()}
        write_atomically(staged / META, yaml.safe_dump(meta, sort_keys=False))
    return write_zip(out)


def check_parts(parts: Parts) -> None:
    """Raises ValueError for a file that does not exist, before anything is written."""
    if (parts.ctc_config is None) != (parts.ctc_weights is None):
        raise ValueError("a CTC head needs both --ctc_train_config and --ctc_model_file: give both or none")
    head = [parts.ctc_config, parts.ctc_weights, parts.ctc_weights.with_name("guard.json")] if parts.ctc_weights else []
    for file in (parts.config, parts.weights, *head, *parts.pages):
        check_file(file)


def requirement() -> str:
    """The versions of this package that can load what this one packs."""
    return f"espnet_llmasr>={import_module('espnet_llmasr').__version__}"


def versions() -> Dict[str, str]:
    """`requires`, and the versions with which the model was packed."""
    return {REQUIRES: requirement(), "torch": torch.__version__.partition("+")[0]}


def write_model(staged: Path, parts: Parts) -> Dict[str, str]:
    """Configuration, LLM files and weights of the model; returns the entry of meta.yaml."""
    args = LLMASRTask.config_of(parts.config)
    options = vars(args)
    write_llm(staged / "llm", Path(options["llm_config"]), Path(options["llm_tokenizer"]))
    llm = {"llm_config": "llm/config.json", "llm_tokenizer": "llm/tokenizer.json"}
    write_options(staged, "config.yaml", options, parts.config, llm)
    write_vllm_config(staged, LLMASRTask.build_prompt(args).end_id)
    state = read_state(parts.weights)
    if "llm.lora_scaling" in state:
        merge(state, "llm.lora_scaling")
    write_packed(staged / "model.safetensors", state)
    return {"llm_asr_model_file": "model.safetensors"}


def write_vllm_config(staged: Path, end_id: int) -> None:
    """Writes config.json, from which vLLM knows the architecture before it asks our plugin."""
    llm = read_json(staged / "llm/config.json")
    config = {"architectures": [ARCHITECTURE], "model_type": MODEL_TYPE, "eos_token_id": end_id, "text_config": llm}
    write_atomically(staged / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def write_head(staged: Path, parts: Parts) -> str:
    """Configuration, tokens (and their table), thresholds and weights of the CTC head; returns the name of its weights."""
    options = vars(PhonemeCTCTask.config_of(parts.ctc_config))
    table = options.get("pronunciations")
    if table:
        check_file(table)
        shutil.copy(table, staged / "phones.tsv")
    more = {"pronunciations": "phones.tsv"} if table else {}
    write_options(staged, "ctc_config.yaml", options, parts.ctc_config, more)
    write_tokens(staged / "phones.txt", options["token_list"])
    shutil.copy(parts.ctc_weights.with_name("guard.json"), staged / "guard.json")
    write_packed(staged / "ctc.safetensors", read_state(parts.ctc_weights), beside=staged / "model.safetensors")
    return "ctc.safetensors"


def write_llm(folder: Path, config: Path, tokenizer: Path) -> None:
    """Copies configuration and tokenizer of the LLM, without what only this machine has, and without code."""
    folder.mkdir()
    check_file(config)
    check_file(tokenizer)
    for name in LLM_FILES:
        source = (config if name == "config.json" else tokenizer).with_name(name)
        if source.suffix == ".json" and source.is_file():
            content = read_json(source)
            if any(key in content for key in FOREIGN_KEYS):
                content = {key: value for key, value in content.items() if key not in FOREIGN_KEYS}
                write_atomically(folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
                continue
        if source.is_file():
            shutil.copy(source, folder / name)


def write_options(staged: Path, name: str, options: Dict[str, Any], source: Path, more: Dict[str, str]) -> None:
    """Writes the options that build a model; files that they name are copied, under their names."""
    kept = {key: options[key] for key in KEPT if key in options}
    for key in kept.keys() & {key for key in KEPT if key.endswith("_conf")}:
        kept[key] = gathered(kept[key], staged, f"{source}: {key}")
    kept = {REQUIRES: requirement(), **kept, **more, LAST_OPTION: False}
    write_config(staged / name, kept)


def gathered(value: Any, staged: Path, where: str) -> Any:
    """An option, with each file in it copied to the pack and named relative to it.

    Raises ValueError for a path that would be one of this machine only.
    """
    if isinstance(value, dict):
        return {key: gathered(part, staged, f"{where}.{key}") for key, part in value.items()}
    if not isinstance(value, str) or not value:
        return value
    path = Path(value)
    if len(path.parts) > 1 and path.is_file() or path.is_absolute() and path.is_file():
        target = staged / path.name
        if target.exists() and target.read_bytes() != path.read_bytes():
            target = staged / f"ctc_{path.name}"
        shutil.copy(path, target)
        return target.name
    if path.is_absolute() or where.endswith("_file"):
        raise ValueError(f"{where} names {value}, which is no file here: run this in the folder of the recipe")
    return value


def contents(folder: Path) -> List[Path]:
    """All files of a pack, relative to it, in the order of their names; hidden ones are no part of it."""
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in files if not any(part.startswith(".") for part in path.parts)]


def write_zip(folder: Path) -> Path:
    """Writes <folder>.zip, whose members lie at its top."""
    archive = folder.with_name(f"{folder.name}.zip")
    with atomic_path(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for path in contents(folder):
            file.write(folder / path, path.as_posix())
    return archive
