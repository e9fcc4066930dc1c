"""Normaliser routes: how a reference and its hypothesis are rewritten, alike, before errors are counted.

Every route has a name and a version, since an error rate means nothing without them. After every route the text is
split into the same tokens (`text.normalize.score_tokens`: lower case, no punctuation, a Han character or a word each).

A route is one file of this folder. It holds `DESCRIPTION` (one line), `PACKAGES` (what pip must install) and
`make() -> Route`; commands, messages and the table of docs/scoring.md find it by its file name.
"""

import re
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Callable, Iterable, List, Tuple

from espnet_llmasr.text.normalize import HAN, score_tokens, to_half_width

ROUTES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")))
MAIN_ROUTE = "paper"
"""The default: published rates (Table 1 of arXiv 2604.08003, NIM4-ASR) are under it, and "300" equals 三百."""
_HAS_HAN = re.compile(f"[{HAN}]").search
_HAS_WORD = re.compile(r"[^\W_]").search
_UNIT = re.compile(
    r"(?<=\d) ?(?:[kcm]?m[²³]?|k?g|mg|ml|[kM]?Hz|[GMKT]B|°?[CF])\b|[℃℉㎏㎡㎜㎝㎞]"
)  # no letters of a word


@dataclass(frozen=True)
class Route:
    """`normalize(text, lang)` -> text, where `lang` is "zh" (also for mixed lines and Chinese dialects) or "en".

    `version` changes whenever a result may change: our own number and the versions of the libraries behind it.
    `is_too_long`: True for a line that the route's grammar would read too slowly, so that a simpler rule reads it.
    """

    name: str
    version: str
    normalize: Callable[[str, str], str]
    is_too_long: Callable[[str], bool] = lambda text: False

    def __str__(self) -> str:
        return f"{self.name} ({self.version})"


def route_module(name: str) -> ModuleType:
    """The file of a route.

    Raises:
        ValueError: there is no such route.
    """
    if name not in ROUTES:
        raise ValueError(f"unknown normaliser route '{name}': choose of {', '.join(ROUTES)}")
    return import_module(f"espnet_llmasr.text.routes.{name}")


def make_route(name: str) -> Route:
    """The route of that name.

    Raises:
        ValueError: unknown name, or a library that the route needs is not installed.
    """
    return route_module(name).make()


def installed(package: str, route: str) -> str:
    """Version of a library that a route needs.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise ValueError(
            f"the route '{route}' needs {package}, which is not installed: pip install "
            f"{' '.join(route_module(route).PACKAGES)}, or choose --routes none"
        ) from error


def language(reference: str, hypothesis: str = "", stated: str = "") -> str:
    """ "zh" if the reference has a Han character, else "en" if it has a letter.

    A reference of digits alone is in the language `stated` (a value of utt2lang: "en", or "zh" for all others), else
    English. Without `stated`, and without any word in the reference, the hypothesis decides.

    The reference decides for both sides, so that a hypothesis cannot choose how it is normalised.
    """
    reference, hypothesis = to_half_width(reference), to_half_width(hypothesis)
    if stated and not _has_letter(reference):
        return "en" if stated.partition("-")[0] == "en" else "zh"
    return "zh" if _HAS_HAN(reference if _HAS_WORD(reference) else hypothesis) else "en"


def _has_letter(line: str) -> bool:
    return any(map(str.isalpha, _UNIT.sub(" ", line)))


def language_of_set(references: Iterable[str]) -> str:
    """The language of most references that have letters, for those of digits alone; "" if none has any."""
    languages = Counter(language(reference) for reference in references if _has_letter(reference))
    return languages.most_common(1)[0][0] if languages else ""


def tokens_of(route: Route, reference: str, hypothesis: str, stated: str = "") -> Tuple[List[str], List[str], bool]:
    """Score tokens of both sides after a route, and whether the route was left out (the fallback).

    A rule that deletes a whole reference ("啊" is a filler to some) would turn a right hypothesis into an insertion or
    let an error vanish. Both sides of such an utterance are scored without the route. `stated`: see `language`.
    """
    if route.name == "none":
        return score_tokens(reference), score_tokens(hypothesis), False
    lang = language(reference, hypothesis, stated)
    tokens = score_tokens(route.normalize(reference, lang))
    plain = [] if tokens else score_tokens(reference)
    if plain:
        return plain, score_tokens(hypothesis), True
    fell_back = route.is_too_long(reference) or route.is_too_long(hypothesis)
    return tokens, score_tokens(route.normalize(hypothesis, lang)), fell_back
