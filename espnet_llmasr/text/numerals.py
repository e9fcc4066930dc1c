"""Digits and symbols written out as words: "The GPU costs $5." -> "The GPU costs five dollars."

WeTextProcessing reads the numbers. It gets only the numbers of an English line, because it would change other words
("U.S." to "US", "ZIP" to "zip"), and only the digits and their neighbours of a Mandarin line. Forms that it reads
wrongly are rewritten first: by `forms_en` and `forms_zh`, also in the route `paper`, and by rules for training text
alone. What no rule can decide (12/34/56) stays digits.
Known errors: "May 5 people" (a date), "60 m" (the letter), "30/30" (thirtieths), "1234" (a year, twelve thirty four).
"""

import re
import unicodedata

from espnet_llmasr.text import forms_en, forms_zh, numerals_en, numerals_zh
from espnet_llmasr.text.inventories import HAN_TABLES
from espnet_llmasr.text.normalize import HAN

_FORMS = (  # superscripts, fractions, Roman and circled numbers, units in one character, wide currency signs
    "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2103\u2109\u2116\u2150-\u218b\u2460-\u249b\u24ea-\u24ff\u2776-\u2793\u3220-\u3229\u3251-\u325f\u3280-\u3289\u32b1-\u32bf\u3371-\u33df\uffe0-\uffe6"
)
_SINGLE = re.compile(rf"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])|(?![0-9])\d|[{_FORMS}]")
_HIDDEN = {ord(digit): 0xE000 + unicodedata.digit(digit) for digit in "0123456789⁰¹²³⁴⁵⁶⁷⁸⁹"}
_SHOWN = {0xE000 + digit: str(digit) for digit in range(10)}
_HAN = re.compile(f"[{HAN}]").search
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_LATIN = re.compile("[A-Za-z]").search

_ASCII_MARK = re.compile("[0-9&+=@#%]").search
_MARK = re.compile(rf"[\d&+=@#%°¢×÷±≥≤≠≈√∞α-ωΑ-Ω{_FORMS}]").search
_EXTENSION = re.compile(rf"\.(?:{forms_zh.EXTENSIONS})(?![A-Za-z0-9])|\bwww\.", re.IGNORECASE).search


def has_marks(line: str) -> bool:
    """True for a line in half width with digits, symbols or a file or domain name (.NET) that are read as words."""
    mark = _ASCII_MARK(line) if line.isascii() else _MARK(line)
    return mark is not None or "." in line and _EXTENSION(line) is not None


def needs_words(line: str) -> bool:
    """True for a line in half width that `write_out` may change."""
    return has_marks(line) or numerals_en.needs_words(line)


def write_out(line: str, lang: str) -> str:
    """The line with words for its digits and symbols; the rest does not change.

    With `lang` "en" the line is English; with zh, zh-en, yue, dialects and "" it is English only if it has Latin letters
    and no Han characters. Cantonese is written out like Mandarin, with simplified 两 and 万. A line of any other language
    does not change: there are no rules for its numbers.

    Raises:
        ValueError: the line has digits, and WeTextProcessing is not installed or cannot write its cache.
    """
    if not needs_words(line) or lang.partition("-")[0] not in HAN_TABLES:
        return line
    english = lang == "en" or (_LATIN(line) and not _HAN(line))
    forms, numbers = (forms_en, numerals_en) if english else (forms_zh, numerals_zh)
    line = re.sub(r"(?<=\d) ?º", "°", line)
    line = forms.UNDECIDED.sub(lambda match: match[0].translate(_HIDDEN), forms.rewrite_forms(line))
    return numbers.write_out(unfold(line)).translate(_SHOWN)


def unfold(line: str, kept: str = "") -> str:
    """ "①和½" -> "1和1/2": numbers and units in one character as several, except those in `kept`."""
    return _SINGLE.sub(lambda match: match[0] if match[0] in kept and match[0] else _unfold(match), line).replace(
        "\u2044", "/"
    )


def _unfold(match: "re.Match") -> str:
    """ "2½" -> "2 1/2", "㎏" -> "kg", "Ⅲ" -> "3", digits of other scripts to ASCII."""
    character = match[0]
    if not character:
        return " "
    if "\u2160" <= character <= "\u217f":
        return str(int(unicodedata.numeric(character)))
    if "\u24ea" <= character <= "\u24ff" or "\u2776" <= character <= "\u2793":
        return str(int(unicodedata.numeric(character)))
    return str(unicodedata.decimal(character, "")) or unicodedata.normalize("NFKC", character)
