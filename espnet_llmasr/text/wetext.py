"""WeTextProcessing (github.com/wenet-e2e/WeTextProcessing, Apache 2.0): two functions for transcripts, one for scores.

`english` and `mandarin` write out numbers in short pieces of training text. The default grammar of Mandarin deletes 啊
and 呃, deletes erhua and simplifies traditional characters. Its options have an effect only when the grammar is built,
which takes 2 s. Our grammar is therefore built once per user and version, into $ESPNET_LLMASR_CACHE (default
~/.cache/espnet_llmasr). English has no options.

`run_fst` applies the FSTs of the installed package to whole lines, for the normaliser routes. The package would build
a missing FST into its own folder; here that is an error, so nothing is ever written there.

All are slow (1-20 ms for a number), so each grammar is loaded at its first use and its results are remembered.
"""

import logging
import os
import re
import tempfile
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import List

from espnet_llmasr.files import cache_root
from espnet_llmasr.text.normalize import to_half_width

MEMO = 1 << 16
OPTIONS = dict(remove_interjections=False, remove_erhua=False, traditional_to_simple=False, remove_puncts=False)
FSTS = {  # name of the FSTs in the wheel -> module and class that apply them
    "en_tn": ("tn.english.normalizer", "Normalizer"),
    "zh_tn": ("tn.chinese.normalizer", "Normalizer"),
    "zh_itn": ("itn.chinese.inverse_normalizer", "InverseNormalizer"),
}
VERIFIED_VERSIONS = ("1.2.0",)
"""Versions for which tests/text/routes verify that the routes' short cuts change nothing; others get every line."""

_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
MAX_CHARS = 600  # of a line that is read at once, in 1.5 s; an utterance of 30 s rarely has more, a loop often
_PIECE = re.compile(".{1,150}(?: |$)|.{150}")


def english(piece: str) -> str:
    """ "$5 million" -> "five million dollars"; in a loop a number can be as long as a line."""
    return run_fst("en_tn", piece)


@lru_cache(MEMO)
def mandarin(piece: str) -> str:
    """ "共有300人" -> "共有三百人"; Latin words do not change."""
    return _own_mandarin().normalize(piece)


def run_fst(name: str, line: str) -> str:
    """The output of the FSTs of that name in the wheel for a line (half width, without control characters).

    A line longer than `MAX_CHARS` is read in pieces, cut at blanks if it has any. The pieces of a loop are equal, so
    they are read only once.
    """
    if len(line) <= MAX_CHARS:
        return run_piece(name, line)
    return " ".join(run_piece(name, piece) for piece in _PIECE.findall(line))


@lru_cache(MEMO)
def run_piece(name: str, piece: str) -> str:
    """The output of the FSTs of that name for at most `MAX_CHARS` characters; it is remembered."""
    return load_fsts(name).normalize(piece)


def readable(text: str) -> str:
    """A line in half width and lower case, so that its form does not change the output of the FSTs.

    Control characters and lone surrogates, which the FSTs cannot read, become blanks.
    """
    return " ".join(_UNREADABLE.sub(" ", to_half_width(text).lower()).split())


def rows(package: str, tables: str) -> List[List[str]]:
    """Rows of tables in the package "tn" or "itn", split at tabs; `tables` is a pattern of their paths."""
    lines = (path.read_text(encoding="utf-8").split("\n") for path in sorted(_folder(package).glob(tables)))
    return [line.strip("\r").split("\t") for part in lines for line in part if line]


@lru_cache(None)
def load_fsts(name: str):
    """The object of WeTextProcessing that applies the FSTs of that name in the wheel.

    Raises:
        ValueError: WeTextProcessing is not installed, or its wheel lacks the FSTs.
    """
    module, normalizer = FSTS[name]
    reader = getattr(_import(module), normalizer)
    package = module.partition(".")[0]
    for part in ("tagger", "verbalizer"):
        file = _folder(package) / f"{name}_{part}.fst"
        if not file.is_file():
            raise ValueError(
                f"{file} is missing, and WeTextProcessing would build it into its own folder: install the wheel again "
                "with pip install --force-reinstall --only-binary :all: WeTextProcessing"
            )
    return reader()


@lru_cache(None)
def _own_mandarin():
    normalizer = _import("tn.chinese.normalizer").Normalizer
    return normalizer(cache_dir=str(_mandarin_fsts(normalizer)), **OPTIONS)


def _folder(package: str) -> Path:
    return Path(_import(package).__file__).parent


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
            f"a line holds numbers or symbols, and WeTextProcessing, which reads them, is missing (no module "
            f"'{error.name}'): pip install WeTextProcessing"
        ) from error


def cache_dir() -> Path:
    """The folder of the Mandarin grammar for the installed version, whether it exists or not."""
    return cache_root() / f"wetext-{version('WeTextProcessing')}"


def _mandarin_fsts(normalizer) -> Path:
    """The folder of the Mandarin grammar. It is built under a temporary name and renamed when it is complete.

    When several processes build it at once, the result of the first one stays, and the others remove theirs.

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
            f"cannot write {final} ({error.strerror}): set ESPNET_LLMASR_CACHE to a folder with write permission"
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
