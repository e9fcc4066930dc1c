"""WeTextProcessing (github.com/wenet-e2e/WeTextProcessing, Apache 2.0) as two functions of short pieces of text.

Its own defaults delete 啊 and 呃, delete erhua and turn traditional characters into simplified ones, and options count
only when the Mandarin grammar is built anew, which takes 2 s. So it is built once per user and version, into
$ESPNET_LLMASR_CACHE (default ~/.cache/espnet_llmasr); the English grammar has no options and is read as shipped. Both
are slow (1-20 ms for a number), so each is loaded at its first use and remembers what it has read.
"""

import logging
import os
import tempfile
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

MEMO = 1 << 16
OPTIONS = dict(remove_interjections=False, remove_erhua=False, traditional_to_simple=False, remove_puncts=False)


@lru_cache(MEMO)
def english(piece: str) -> str:
    """ "$5 million" -> "five million dollars"."""
    return _grammar("english").normalize(piece)


@lru_cache(MEMO)
def mandarin(piece: str) -> str:
    """ "共有300人" -> "共有三百人"; Latin words stay."""
    return _grammar("chinese").normalize(piece)


@lru_cache(None)
def _grammar(language: str):
    normalizer = _import(f"tn.{language}.normalizer").Normalizer
    return normalizer() if language == "english" else normalizer(cache_dir=str(_mandarin_fsts(normalizer)), **OPTIONS)


def _import(name: str):
    """The module, without the log handler that it would install.

    Raises:
        ValueError: WeTextProcessing is not installed.
    """
    log = logging.getLogger("wetext")
    log.addHandler(logging.NullHandler())
    log.setLevel(logging.WARNING)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"a transcript holds digits, and WeTextProcessing, which writes them out, is missing (no module "
            f"'{error.name}'): pip install WeTextProcessing"
        ) from error


def cache_dir() -> Path:
    """Where the Mandarin grammar of the installed version lies or will lie."""
    root = os.environ.get("ESPNET_LLMASR_CACHE")
    if not root:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espnet_llmasr"
    return Path(root) / f"wetext-{version('WeTextProcessing')}"


def _mandarin_fsts(normalizer) -> Path:
    """The folder of the Mandarin grammar; built beside its place and renamed, so that nobody reads half a file.

    When several processes build at once the first one's work stays, and the others remove theirs.

    Raises:
        ValueError: the folder cannot be written.
    """
    final = cache_dir()
    if final.is_dir():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as temporary:
            built = Path(temporary) / "fst"
            normalizer(cache_dir=str(built), overwrite_cache=True, **OPTIONS)
            _publish(built, final)
    except OSError as error:
        raise ValueError(
            f"cannot write {final} ({error.strerror}): set ESPNET_LLMASR_CACHE to a folder that can be written"
        ) from error
    return final


def _publish(built: Path, final: Path) -> None:
    for path in built.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    try:
        built.rename(final)
    except OSError:
        if not final.is_dir():  # not because another process was first
            raise
