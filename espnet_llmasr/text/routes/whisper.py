"""The route `whisper`: OpenAI's normalisers of the Whisper paper (arXiv 2212.04356, appendix C), by whisper-normalizer.

English lines pass EnglishTextNormalizer: what stands in brackets goes, so do "um" and "uh", contractions and titles are
written out, numbers become digits, spelling American. Each word that it returns stays one token: "$2.50" becomes
"dollar2point50", where the score tokens alone would see "2" and "50", and "$5" as equal to "5%".

Lines with Han characters, mixed ones too, pass BasicTextNormalizer, the paper's one for all other languages: what
stands in brackets goes, NFKC, symbols become blanks. It writes no number out and drops no filler. Others go further
under a similar name: FunASR's whisper_mix_normalize passes mixed lines through the English normaliser, then writes
numbers as Chinese words and back as digits and makes characters simplified; the Open ASR leaderboard takes
WeTextProcessing and simplified characters for Mandarin. For those see the routes `paper` and `sure`.

Before either, every apostrophe is made ', since only that one makes a contraction. Speed: benchmarks/routes.md.
"""

import re
from functools import lru_cache
from importlib import import_module
from typing import Callable

from espnet_llmasr.text.normalize import to_half_width
from espnet_llmasr.text.routes import Route, installed

DESCRIPTION = "OpenAI's normalisers of the Whisper paper: English contractions, spelling, numbers; symbols elsewhere"
PACKAGES = ("whisper-normalizer",)
OUR_VERSION = "1"
MEMO = 1 << 16
_MOST_DIGITS = 4000  # Python reads no longer integer, and the normaliser asserts that it did
_LONG_NUMBER = re.compile(rf"\d{{{_MOST_DIGITS}}}(?=\d)")
_SIGN = re.compile(r"[-+.$¢€£](?=[\d.$¢€£])|(?<=\d)%")
_NAMES = {
    "-": "minus",
    "+": "plus",
    ".": "point",
    "$": "dollar",
    "¢": "cent",
    "€": "euro",
    "£": "pound",
    "%": "percent",
}


def make() -> Route:
    """Raises ValueError if whisper-normalizer is not installed."""
    library = installed(PACKAGES[0], "whisper")
    english, other = english_normalizer(), import_module("whisper_normalizer.basic").BasicTextNormalizer()

    def normalize(text: str, lang: str) -> str:
        return english(text) if lang == "en" else other(to_half_width(text))

    return Route("whisper", f"{OUR_VERSION}, {PACKAGES[0]} {library}", normalize)


@lru_cache(None)
def english_normalizer() -> Callable[[str], str]:
    """Line -> line of EnglishTextNormalizer with letters for its symbols; it takes 0.1 ms, so lines are remembered."""
    clean = import_module("whisper_normalizer.english").EnglishTextNormalizer()

    @lru_cache(MEMO)
    def normalize(text: str) -> str:
        line = clean(_LONG_NUMBER.sub(r"\g<0> ", to_half_width(text)))
        return _SIGN.sub(lambda match: _NAMES[match[0]], line)

    return normalize
