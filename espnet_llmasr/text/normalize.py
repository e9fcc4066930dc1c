"""The canonical form of a transcript and the tokens that errors are counted on (one rule for every language)."""

import re
import unicodedata
from typing import Iterable, List

from espnet_llmasr.text.lookalikes import LOOKALIKES, unify

HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Character class of 〇, the CJK blocks with extension A, the compatibility ideographs and all later extensions."""

_MARKS = "".join(  # accents and vowel signs that follow a letter, in all scripts; not the frames of symbols
    chr(code)
    for code in (*range(0x300, 0x20D0), *range(0x2D00, 0xAC00))
    if unicodedata.category(chr(code)) in ("Mn", "Mc")
)
_COMPOSED = "\u0958-\u095f\u09dc\u09dd\u09df\u0a33\u0a36\u0a59-\u0a5b\u0a5e\u0b5c\u0b5d"  # two characters in NFC
_JAMO = "\u1100-\u11ff"  # the parts of Korean syllables
_IS_HAN = re.compile(f"[{HAN}]").fullmatch
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
APOSTROPHES = dict.fromkeys(
    map(ord, "\u2018\u2019\u02bc\u201b\u2032\u00b4`\u02b9\u02bb\u2035\ua78c\u055a\u1fbd\u1fbf"), "'"
)
_WIDTH = {**_HALF_WIDTH, 0x3000: " ", 0xFF07: "'", 0xFF40: "'", **APOSTROPHES}
_WIDE = re.compile(f"[{re.escape(''.join(map(chr, _WIDTH)))}]")
_WESTERN_MARKS = re.compile("[\u2013\u2014\u201c\u201d\u2026]")  # as blanks they leave an English line in ASCII
_TO_CHANGE = re.compile(f"{_WIDE.pattern[:-1]}{_MARKS}{_COMPOSED}{_JAMO}{LOOKALIKES}]").search
_COMBINED = re.compile(rf"[^\W\d_{HAN}][{_MARKS}]+|[{_COMPOSED}]|[{_JAMO}]+")
_LETTERS = rf"(?:[^\W_{HAN}]+|[{_MARKS}]+)+"
_WORD = f"{_LETTERS}(?:'{_LETTERS})*"
_TOKEN = re.compile(rf"[{HAN}]|{_WORD}")
_RUN = re.compile(rf"[{HAN}]+|{_WORD}")
_HAN_ONLY = re.compile(f"[{HAN}]*").fullmatch
_ASCII_WORD = re.compile("[a-z0-9]+(?:'[a-z0-9]+)*")
_SMALL = "".join(c.lower() if c.isalnum() else "'" if c in "'`" else " " for c in map(chr, range(128)))
_SMALL_ASCII = _SMALL.encode() + bytes(128)  # for bytes.translate, four times as fast as str.translate
_LOOSE_APOSTROPHE = re.compile("'(?:(?<![a-z0-9]')|(?![a-z0-9]))").search


def is_han(token: str) -> bool:
    """True for exactly one Han character."""
    return _IS_HAN(token) is not None


def joined(texts: Iterable[str]) -> str:
    """The texts in one line, without a blank between two Han characters."""
    line = ""
    for text in texts:
        blank = line and text and not (is_han(line[-1]) and is_han(text[0]))
        line += f" {text}" if blank else text
    return line


def to_half_width(text: str) -> str:
    """Half-width ASCII, straight apostrophes, letter + accent as one character, and `lookalikes.unify`.

    Unlike NFKC this does not change superscripts and units.
    """
    if text.isascii():
        return text.replace("`", "'")
    if not _TO_CHANGE(text) and "O" not in text and "o" not in text:
        return text
    return compose(_WIDE.sub(_to_half_width, unify(text)))


def _to_half_width(match: "re.Match") -> str:
    """`str.translate` of one character; for a whole line it would take four times as long."""
    return match[0].translate(_WIDTH)


def compose(text: str) -> str:
    """Letters and the accents after them as one character each, where Unicode has it."""
    return _COMBINED.sub(lambda m: unicodedata.normalize("NFC", m[0]), text)


def score_tokens(text: str) -> List[str]:
    """Tokens of the mixed error rate: Han characters, and the words between blanks and punctuation.

    All are lower case; an apostrophe stays only inside a word. The error rate over these tokens is the WER of an
    English line, the CER of a Mandarin line and the MER of a mixed one.

    >>> score_tokens("用Python写，don’t stop!")
    ['用', 'python', '写', "don't", 'stop']
    """
    line = text if text.isascii() else to_half_width(text).lower()
    if line.isascii():
        line = line.encode().translate(_SMALL_ASCII).decode()
        return _ASCII_WORD.findall(line) if _LOOSE_APOSTROPHE(line) else line.split()
    return list(line) if _HAN_ONLY(line) else _TOKEN.findall(line)


def normalize(text: str) -> str:
    """Canonical form: the score tokens, with a blank only between two words that are not Han.

    >>> normalize("我 们 用 ＡＢＣ Python，好！")
    '我们用abc python好'
    """
    line = to_half_width(text).lower()
    if not line.isascii():
        line = _WESTERN_MARKS.sub(" ", line)
    if line.isascii():
        bare = line.replace(" ", "").replace("'", "").isalnum() and not _LOOSE_APOSTROPHE(line)
        return " ".join(line.split() if bare else _ASCII_WORD.findall(line))
    if _HAN_ONLY(line):
        return line
    pieces, after_word = [], False
    for run in _RUN.findall(line):
        word = not is_han(run[0])
        pieces.append(" " + run if word and after_word else run)
        after_word = word
    return "".join(pieces)
