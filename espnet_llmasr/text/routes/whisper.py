"""The route `whisper`: OpenAI's normalisers of the Whisper paper (arXiv 2212.04356, appendix C), by whisper-normalizer.

English lines pass EnglishTextNormalizer. It removes text in brackets, "um" and "uh", writes contractions and titles
out, and gives numbers as digits and American spelling. Each word that it returns stays one token: "$2.50" becomes
"dollar2point50". The score tokens alone would be "2" and "50", and "$5" would equal "5%".

Lines with Han characters, also mixed ones, pass BasicTextNormalizer, which the paper uses for all other languages. It
removes text in brackets, applies NFKC and replaces symbols by blanks; it changes neither numbers nor fillers. Other
projects do more under a similar name (FunASR's whisper_mix_normalize, the Open ASR leaderboard): for numbers and
simplified characters see the routes `paper` and `sure`.

Before both, every apostrophe becomes ', because only that sign makes a contraction. An ellipsis gives no token. Speed: benchmarks/routes.md.
"""

import re
from functools import lru_cache
from importlib import import_module
from typing import Callable

from espnet_llmasr.text.normalize import to_half_width
from espnet_llmasr.text.routes import Route, installed

DESCRIPTION = "OpenAI's normalisers of the Whisper paper: English contractions, spelling, numbers; symbols elsewhere"
PACKAGES = ("whisper-normalizer",)
OUR_VERSION = "2"
MEMO = 1 << 16
_ELLIPSIS = re.compile(r"\.(?:\s*\.)+|[\u2025\u2026\u22ef]")  # EnglishTextNormalizer would leave a dot of it
_LONG_NUMBER = re.compile(r"\d{4000}(?=\d)")  # Python refuses to read longer integers, and the normaliser asserts
_SIGN = re.compile(r"[-+.$¢€£](?=[-+.$¢€£]*\d)|(?<=\d)%")
_NAMES = dict(zip("-+.$¢€£%", "minus plus point dollar cent euro pound percent".split()))


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
        line = clean(_LONG_NUMBER.sub(r"\g<0> ", _ELLIPSIS.sub(" ", to_half_width(text))))
        return _SIGN.sub(lambda match: _NAMES[match[0]], line)

    return normalize
