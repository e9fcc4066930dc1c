"""Normaliser routes: what is done to a reference and to its hypothesis, alike, before errors are counted.

A route is named and versioned, since an error rate means nothing without it. After every route come the same tokens
(`text.normalize.score_tokens`: lower case, no punctuation, a Han character or a word each).

    none      nothing else
    paper     WeTextProcessing as shipped: numbers written out, filler words and erhua dropped, simplified characters
    sure      Mandarin numbers as digits (WeTextProcessing's inverse normalisation), as SURE-EVAL's Mandarin CER
    speechio  as the SpeechIO leaderboard: numbers written out, fillers and erhua dropped
    whisper   OpenAI's normalisers of the Whisper paper: English contractions, spelling and numbers; symbols elsewhere
"""

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Callable, List, Tuple

from espnet_llmasr.text.normalize import HAN, score_tokens

ROUTES = ("none", "paper", "sure", "speechio", "whisper")
_HAS_HAN = re.compile(f"[{HAN}]").search
_HAS_WORD = re.compile(r"[^\W_]").search


@dataclass(frozen=True)
class Route:
    """`normalize(text, lang)` -> text, where `lang` is "zh" (also for mixed lines and Chinese dialects) or "en".

    `version` changes whenever a result may change: our own number and the versions of the libraries behind it.
    """

    name: str
    version: str
    normalize: Callable[[str, str], str]

    def __str__(self) -> str:
        return f"{self.name} ({self.version})"


def make_route(name: str) -> Route:
    """The route of that name; each is a module `text.routes.<name>` with a function `make() -> Route`.

    Raises:
        ValueError: unknown name, or a library that the route needs is not installed.
    """
    if name not in ROUTES:
        raise ValueError(f"unknown normaliser route '{name}': choose of {', '.join(ROUTES)}")
    if name == "none":
        return Route("none", "1", lambda text, lang: text)
    return import_module(f"espnet_llmasr.text.routes.{name}").make()


def installed(package: str, route: str) -> str:
    """Version of a library behind a route.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise ValueError(
            f"the route '{route}' needs {package}, which is not installed: pip install WeTextProcessing "
            "whisper-normalizer (all routes), or take the route none, which needs neither"
        ) from error


def language(reference: str, hypothesis: str = "") -> str:
    """ "zh" if the reference has a Han character (if it has no word at all: the hypothesis), else "en".

    The reference decides for both sides, so that a hypothesis cannot choose how it is normalised.
    """
    return "zh" if _HAS_HAN(reference if _HAS_WORD(reference) else hypothesis) else "en"


def tokens_of(route: Route, reference: str, hypothesis: str) -> Tuple[List[str], List[str], bool]:
    """Score tokens of both sides after a route, and whether the route was left out (the fallback).

    A rule that deletes a whole reference ("啊" is a filler to some) would turn a right hypothesis into an insertion or
    let an error vanish. Both sides of such an utterance are scored without the route.
    """
    if route.name == "none":
        return score_tokens(reference), score_tokens(hypothesis), False
    lang = language(reference, hypothesis)
    tokens = score_tokens(route.normalize(reference, lang))
    plain = [] if tokens else score_tokens(reference)
    if plain:
        return plain, score_tokens(hypothesis), True
    return tokens, score_tokens(route.normalize(hypothesis, lang)), False
