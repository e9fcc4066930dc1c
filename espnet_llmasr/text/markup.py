"""What a published transcript holds that nobody said: HTML entities and tags, and letters decoded by a wrong table."""

import html
import re

from ftfy import fix_encoding
from ftfy.badness import is_bad

from espnet_llmasr.text.normalize import HAN

_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,30};)")
_NAMES = "a|abbr|b|big|c|center|cite|code|del|em|font|i|ins|kbd|lang|mark|q|rt|ruby|s|small|span|strong|sub|sup|tt|u"
_BLOCKS = "blockquote|br|dd|div|dl|dt|h[1-6]|hr|li|ol|p|pre|table|tbody|td|th|tr|ul"
_ATTRIBUTES = r"""(?:\s+[A-Za-z][\w:-]*\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s<>"']+))*\s*/?"""
_INLINE = re.compile(
    rf"</?(?:{_NAMES})(?:\.[\w.]+)?(?:{_ATTRIBUTES})>|</?v(?: [^<>]*)?>|<\d\d:[\d:.]+>", re.I
)  # and of WebVTT
_BLOCK = re.compile(rf"</?(?:{_BLOCKS}){_ATTRIBUTES}>", re.I)
_OTHER_TAG = re.compile(r"<[A-Za-z_/!?][^<>]*>")
_IS_HAN = re.compile(f"[{HAN}]").search
_IS_BYTE = re.compile("[\x80-\u02ff]").search  # of what bytes become under Latin-1 or Windows-1252, one at least
# What is left of lost letters (ftfy has replaced the C1 controls that have a meaning), and Han characters of GBK that
# were read as Latin-1.
_LOST = re.compile("[\x80-\x9f\ufffd]|锟斤拷|[\xc0-\xd6\xd8-\xf6\xf8-\xff]{4}")
_TO_CHANGE = re.compile("[&<\x80-\U0010ffff]").search


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
    text = read_as_utf8(text)
    if _IS_BYTE(text):  # saves time: ftfy reads 30,000 lines a second
        text = fix_encoding(text)
    if _LOST.search(text) or _IS_BYTE(text) and (is_bad(text.lower()) or is_bad(text.upper())):  # caféÉcole is well
        raise Unclean("mojibake")
    return text


def read_as_utf8(text: str) -> str:
    """The Han characters whose UTF-8 was read as GBK, which ftfy does not know; other text is returned as it is.

    Raises Unclean if the last byte was lost, as it is for an odd number of Han characters.

    >>> read_as_utf8("浣犲ソ")
    '你好'
    """
    try:
        data = text.encode("gbk")
        read = data.decode("utf-8")
    except UnicodeEncodeError:
        return text
    except UnicodeDecodeError as error:
        if _IS_HAN(data[: error.start].decode("utf-8")):
            raise Unclean("mojibake") from error
        return text
    return read if _IS_HAN(read) else text
