"""The canonical form of a training transcript, in one of two styles, and what its phonemes are made from."""

import re
from typing import Tuple

from espnet_llmasr.text.han import inner_pairs
from espnet_llmasr.text.inventories import HAN_TABLES
from espnet_llmasr.text.normalize import APOSTROPHES, HAN, INVISIBLE, compose, normalize, to_half_width
from espnet_llmasr.text.numerals import needs_words, write_out
from espnet_llmasr.text.script import simplified

STYLES = ("plain", "formatted")

# Full-width forms to ASCII, but for the punctuation that belongs to Chinese.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "！（），：；？～"}
_TIDIED = {**_HALF_WIDTH, **APOSTROPHES, **INVISIBLE}
_CJK = rf"{HAN}\u3001-\u3006\u3008-\u3011\u3014-\u301f！（），：；？～"
_BLANK_IN_HAN = re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])")
_PAUSE = re.compile(rf"([{HAN}])[^\w,.!?;:，。！？；：、…—]*[,.!?;:，。！？；：、…—]\W*(?=([{HAN}]))").findall
_HAS_HAN = re.compile(f"[{HAN}]").search
# Each begins with the rarest sign it needs: that is ten times as fast.
_CAPITAL = "[A-Z\u00c0-\u00de\u0100-\u024f\u1e00-\u1eff]"
_ACRONYM = re.compile(f"{_CAPITAL}(?<=['A-Za-z\u00c0-\u024f\u1e00-\u1eff].)").search  # GPU, ChatGPT, O'Brien
_DOTTED = re.compile(r"\.(?<=[A-Za-z]\.)[A-Za-z]\.").search  # U.S.
_APOSTROPHE = re.compile(  # 'em, goin' and B'day, but not I'm, Joe's
    r"'(?:(?<![A-Za-z]')[A-Za-z]|(?<=[A-Za-z]')(?![A-Za-z])|(?<=[A-Z]')(?!(?:(?<=I')(?:m|ll|ve|d)|s)(?![\w'])))"
).search


class Transcript:
    """Line as its owners publish it, and its language -> (text, spoken).

    plain: `text` is `normalize` of the line with its digits and symbols written out: no punctuation, lower-case Latin,
    no blanks between Han characters. formatted: `text` is the line as written, tidied; case, punctuation, digits stay.
    Traditional characters become simplified ones where `lang` is zh; Cantonese (yue) stays as written.

    `spoken` is what phonemes are made from when those of `text` would be others: the line written out, with its case
    (GPU, U.S., goin'), or with the marks that keep its Han characters from being read as one phrase (宣布了，结果 is
    not 了结). It is "" when `text` will do.

    A line of several words without a lower-case letter is of a corpus without case (LibriSpeech, GigaSpeech), so it is
    lower-cased in both styles: nobody writes lines of acronyms only, and the Phonemizer decides likewise. One such word
    ("YES", "GPU") may be either: it is lower-cased if nothing else is on the line, and `spoken` keeps its capitals.

    Raises:
        ValueError: unknown style; at a call, see `numerals.write_out` and `simplified`.
    """

    def __init__(self, style: str = "plain"):
        if style not in STYLES:
            raise ValueError(f"unknown text style '{style}': choose one of {', '.join(STYLES)}")
        self.style = style

    def __call__(self, text: str, lang: str) -> Tuple[str, str]:
        if lang.startswith("zh") and not text.isascii():
            text = simplified(text)
        return self._plain(text, lang) if self.style == "plain" else self._formatted(text, lang)

    @staticmethod
    def _plain(text: str, lang: str) -> Tuple[str, str]:
        line = _without_shouting(_half_width(text))
        if needs_words(line):
            line = write_out(_BLANK_IN_HAN.sub("", " ".join(line.split())), lang)
        return normalize(line), tidy(line) if _is_read_by_form(line, lang) else ""

    @staticmethod
    def _formatted(text: str, lang: str) -> Tuple[str, str]:
        line = _without_shouting(tidy(text))
        shown = line.lower() if _is_shouted_word(line) else line
        half = _half_width(line)
        written = write_out(half, lang)
        if written == half and shown == line:
            return shown, ""
        return shown, written if _is_read_by_form(written, lang) else normalize(written)


def tidy(text: str) -> str:
    """One blank between words, none between Han characters; half-width Latin, straight apostrophes, nothing invisible.

    >>> tidy(" Ｉｔ’s  ５０％ 。 你 好，")
    "It's 50% 。你好，"
    """
    if text.isascii():
        return " ".join(text.replace("`", "'").split())
    return _BLANK_IN_HAN.sub("", " ".join(compose(text.translate(_TIDIED)).split()))


def _half_width(line: str) -> str:
    """`to_half_width`, but a wide comma ("119，110") must not become one within a number ("119,110")."""
    return line if line.isascii() and "`" not in line else to_half_width(line.replace("，", "， "))


def _without_shouting(line: str) -> str:
    shouted = line.isupper() and len(line.split()) > 1 and not _HAS_HAN(line)
    return line.lower() if shouted else line


def _is_shouted_word(line: str) -> bool:
    return line.isupper() and len(line) > 1 and line.replace("'", "").isalpha() and not _HAS_HAN(line)


def _is_read_by_form(line: str, lang: str) -> bool:
    """True where the Phonemizer may hear capitals, dots, apostrophes or pauses that `normalize` takes away.

    It errs on that side: it knows nothing of the words in the dictionary, and of phrases only the pairs.
    """
    return bool(
        ("'" in line and _APOSTROPHE(line))
        or ("." in line and _DOTTED(line))
        or (not line.islower() and _ACRONYM(line))
        or (not line.isascii() and _has_pause_in_phrase(line, lang))
    )


def _has_pause_in_phrase(line: str, lang: str) -> bool:
    around = _PAUSE(line)
    return bool(around) and not inner_pairs(HAN_TABLES.get(lang.partition("-")[0], "zh")).isdisjoint(
        map("".join, around)
    )
