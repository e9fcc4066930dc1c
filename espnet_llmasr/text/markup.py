"""What a published transcript holds that nobody said: HTML entities and tags, and letters decoded by a wrong table."""

import html
import re
import unicodedata

_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,30};)")
_NAMES = "a|abbr|b|big|c|center|cite|code|del|em|font|i|ins|kbd|lang|mark|q|rt|ruby|s|small|span|strong|sub|sup|tt|u"
_BLOCKS = "blockquote|br|dd|div|dl|dt|h[1-6]|hr|li|ol|p|pre|table|tbody|td|th|tr|ul"
_ATTRIBUTES = r"""(?:\s+[A-Za-z][\w:-]*\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s<>"']+))*\s*/?"""
_INLINE = re.compile(
    rf"</?(?:{_NAMES})(?:\.[\w.]+)?(?:{_ATTRIBUTES})>|</?v(?: [^<>]*)?>|<\d\d:[\d:.]+>", re.I
)  # and of WebVTT
_BLOCK = re.compile(rf"</?(?:{_BLOCKS}){_ATTRIBUTES}>", re.I)
_OTHER_TAG = re.compile(r"<[A-Za-z_/!?][^<>]*>")
# Two or three bytes of UTF-8 that were read as Latin-1 or as Windows-1252.
_BYTE = "\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a\u201c-\u201e"
_BYTE += "\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122"
_QUOTES = "\u2013\u2014\u2018-\u201a\u201c-\u201e\u2026"  # fiancé”— is well written
_MISREAD = re.compile(
    f"(?![\xe3-\xef][{_QUOTES}]{{2}})[\xe2-\xef][{_BYTE}]{{2}}|[\xc2\xc3][{_BYTE}]|[\xc4\xc5][\x80-\xbf]|\xf0[{_BYTE}]{{3}}"
)
_WINDOWS = {
    ord(bytes([code]).decode("cp1252")): code for code in range(0x80, 0xA0) if code not in b"\x81\x8d\x8f\x90\x9d"
}
_MANGLED = re.compile("[\x80-\x84\x86-\x9f\ufffd]|锟斤拷|[\xc2\xc3](?![A-Za-z\xc0-\xff])|[\xa1-\xff]{4}")
_TO_CHANGE = re.compile("[&<\x80-\xff\ufffd锟]").search


class Unclean(ValueError):
    """A transcript that cannot be cleaned; `reason` is the word that counts it: markup or mojibake."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def clean(text: str) -> str:
    """The transcript without HTML, and with the letters that were meant.

    Raises Unclean for a tag that is not of HTML or WebVTT (<unk> stands for a word), and for letters that are lost.

    >>> clean("<i>Don\\xe2\\x80\\x99t</i> say &quot;no&quot;")
    'Don’t say "no"'
    """
    if not _TO_CHANGE(text):
        return text
    for _ in range(2):  # &amp;quot;
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = _INLINE.sub("", _BLOCK.sub(" ", text))
    if _OTHER_TAG.search(text):
        raise Unclean("markup")
    for _ in range(2):  # encoded twice
        text = _MISREAD.sub(_reread, text)
    if any(_is_mangled(match[0]) for match in _MANGLED.finditer(text)):
        raise Unclean("mojibake")
    return text


def _reread(match: "re.Match") -> str:
    """The character whose bytes these are, or what is there if they are none."""
    try:
        return bytes(_WINDOWS.get(ord(letter), ord(letter)) for letter in match[0]).decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


def _is_mangled(found: str) -> bool:
    """Four letters of Latin-1 behind each other are Han characters of GBK; four signs (······, ××××) are signs."""
    return len(found) != 4 or sum(unicodedata.category(letter).startswith("L") for letter in found) >= 2
