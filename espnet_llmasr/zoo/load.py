"""Finds a packed model (a folder, a zip, a URL, a name) and the files in it. Nothing in a pack is ever run."""

import shutil
import stat
import tempfile
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import Dict, Optional

from espnet_llmasr.files import PathLike, atomic_path, cache_root, digest, read_json, read_yaml
from espnet_llmasr.tasks.packed import REQUIRES, check_version

META = "meta.yaml"
ARCHITECTURE, MODEL_TYPE = "EspnetLLMASR", "espnet_llmasr"  # in config.json, for vLLM
CONTENTS = ("*.yaml", "*.json", "*.safetensors", "*.npz", "*.txt", "*.tsv", "*.md", "*.jinja", "*.model", "LICENSE*")
"""What is taken from a repository of the Hub. Code is not."""
TIMEOUT_S = 60
HUB = ("https://huggingface.co/", "https://huggingface.co", "huggingface.co")


def load(source: PathLike) -> Dict[str, str]:
    """The arguments of Speech2Text for a packed model: names in meta.yaml and full paths.

    `source`: a folder; a .zip; its URL; a name in ESPnet's model zoo; a repository of the Hub, also as name@revision.
    Downloads are kept in $ESPNET_LLMASR_CACHE (default ~/.cache/espnet_llmasr) and in the cache of huggingface_hub.

    Raises:
        ValueError: no such model, no packed model, a member outside of the pack, code for the LLM, or a model that needs
            another version of this package.
    """
    folder = find(str(source))
    meta_file = next(iter([*folder.glob(META), *folder.glob(f"*/{META}")]), None)
    if meta_file is None:
        raise ValueError(f"{source} is no packed model (it has no {META}): make one with bin.pack (stage 15)")
    meta = read_yaml(meta_file)
    if REQUIRES not in meta:
        advice = "load it with the class that its model card names, such as espnet2.bin.asr_inference.Speech2Text"
        raise ValueError(f"{source} is no model of espnet_llmasr ({META} has no '{REQUIRES}'): {advice}")
    check_version(meta[REQUIRES], source)
    refuse_code(meta_file.parent)
    return {name: str(member(meta_file, path)) for name, path in {**meta["yaml_files"], **meta["files"]}.items()}


def member(meta_file: Path, path: str) -> Path:
    """A file that meta.yaml names. Raises ValueError if it is missing or not in the pack."""
    if not is_inside(path):
        raise ValueError(f"{meta_file} names {path}, which is not in its folder: do not use this model")
    if not (meta_file.parent / path).is_file():
        raise ValueError(f"{meta_file} names {path}, which is missing: download or unpack the model again")
    return meta_file.parent / path


def is_inside(path: str) -> bool:
    """True for a relative path that does not leave its folder, on any system."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and not set("\\:\0") & set(path)


def refuse_code(folder: Path) -> None:
    """Raises ValueError if the LLM of a pack asks for code of its own (auto_map), which is never run."""
    for file in folder.glob("llm/*.json"):
        content = read_json(file, kind=object)
        if isinstance(content, dict) and "auto_map" in content:
            raise ValueError(f"{file} asks for Python code (auto_map), which is never run: take another model")


def find(source: str) -> Path:
    """The folder of a packed model, unpacked or downloaded if need be. Raises ValueError if there is none."""
    if "/resolve/" not in source:  # a repository's page, and not a file in it
        source = source.removeprefix(HUB[0])
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        return unpacked(path)
    if source.startswith(("http://", "https://")):
        return unpacked(downloaded(source))
    if source.startswith((".", "/", "~")) or source.endswith(".zip"):
        raise ValueError(f"no file or folder {source}: give a packed model, a URL, or a name on the Hub")
    url = zoo_url(source)
    return unpacked(downloaded(url)) if url else from_hub(source)


def zoo_url(name: str) -> Optional[str]:
    """The URL of a name in the table of espnet_model_zoo; None if the Hub has it, or the package is not installed."""
    try:
        from espnet_model_zoo.downloader import ModelDownloader
    except ImportError:
        return None
    url = ModelDownloader(cache_root() / "espnet_model_zoo").get_url(name)
    return None if url in HUB else url


def from_hub(name: str) -> Path:
    """The snapshot of a repository ("user/name", "user/name@revision"); without network the one in the cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=[*CONTENTS]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"no packed model '{name}' here, and none from the Hub ({reason}): correct the name"
        ) from error


def downloaded(url: str) -> Path:
    """The file behind a URL, asked for at every call. Raises ValueError if there is none."""
    path = cache_root() / "downloads" / f"{Path(url.partition('?')[0]).name or 'model'}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, atomic_path(path) as temporary:
            with open(temporary, "wb") as file:
                shutil.copyfileobj(answer, file)
    except OSError as error:
        raise ValueError(f"cannot download {url} ({error}): check the address and the network") from error
    return path


def unpacked(archive: Path) -> Path:
    """The folder of a zip in the cache, named after its content; made beside and renamed.

    Raises ValueError for another format, or for a member that would leave the folder or is a link.
    """
    if not zipfile.is_zipfile(archive):
        raise ValueError(f"{archive} is no zip: give a packed model (bin.pack, stage 15)")
    folder = cache_root() / "models" / digest(archive)[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as file, tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        for info in file.infolist():
            if not is_inside(info.filename) or stat.S_ISLNK(info.external_attr >> 16):
                raise ValueError(f"{archive} has the member '{info.filename}', which leaves its folder: refused")
        whole = Path(temporary, "pack")
        try:
            file.extractall(whole)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"{archive} is broken ({error}): download it again") from error
        try:
            whole.rename(folder)
        except OSError:
            if not folder.is_dir():  # not made by another process meanwhile
                raise
    return folder
