"""Publishes a pack on the Hugging Face Hub."""

import logging
from pathlib import Path

from espnet_llmasr.zoo.load import META, load
from espnet_llmasr.zoo.pack import contents


def listing(folder: Path) -> str:
    """Every file that an upload sends, with its size in bytes, and the sum. Raises ValueError for a folder of no pack."""
    load(folder)
    sizes = {path.as_posix(): (folder / path).stat().st_size for path in contents(folder)}
    lines = [f"{size:>15,}  {name}" for name, size in sizes.items()]
    return "\n".join([*lines, f"{sum(sizes.values()):>15,}  in {len(sizes)} files"]) + "\n"


def upload(folder: Path, repo: str, private: bool = False) -> str:
    """Sends a pack to a repository of the Hub, which is made if need be; returns its address.

    The token is that of huggingface_hub: HF_TOKEN, or the one that `hf auth login` has saved. A call after an
    interruption goes on: files that are there already are not sent again.

    Raises:
        ValueError: no pack, no token, or the Hub refuses (also a wrong name).
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    load(folder)
    if get_token() is None:
        raise ValueError("no token for the Hub: set HF_TOKEN in the environment, or run `hf auth login`")
    api = HfApi(library_name="espnet_llmasr")
    names = [path.as_posix() for path in contents(folder)]
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        logging.info("sending %d files (with %s) to %s", len(names), META, address)
        message = "Upload a model of espnet_llmasr"
        api.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=names, commit_message=message)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        advice = "correct the name or the token's rights, and start again: what has been sent is kept"
        raise ValueError(f"the Hub has not taken {folder} as '{repo}' ({error}): {advice}") from error
    return str(address)
