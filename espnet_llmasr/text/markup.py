"""What a published transcript holds that nobody said: entities, tags, escapes, and letters decoded by a wrong table."""

import html
import re
import unicodedata
from urllib.parse import unquote_to_bytes

from ftfy import fix_encoding
from ftfy.badness import is_bad

from espnet_llmasr.text.normalize import HAN

_ENTITY = re.compile(
    r"&(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,30};|(?:nbsp|amp|lt|gt|quot)\b(?!=))"
)
_NAMES = "a|abbr|b|big|c|center|cite|code|del|em|font|i|ins|kbd|lang|mark|q|rt|ruby|s|small|span|strong|sub|sup|tt|u"
_BLOCKS = "blockquote|br|dd|div|dl|dt|h[1-6]|hr|li|ol|p|pre|table|tbody|td|th|tr|ul"
_ATTRIBUTES = r"""(?:\s+[A-Za-z][\w:-]*\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s<>"']+))*\s*/?"""
_INLINE = re.compile(
    rf"<(rt|rp)>[^<>]*</\1>|</?(?:{_NAMES})(?:\.[\w.]+)?(?:{_ATTRIBUTES})>|"
    r"</?(?:v|lang)(?:\.[\w.]+)?(?: [^<>]*)?>|<\d\d:[\d:.]+>|"  # WebVTT
    r"\{\\[^{}]*\}|\{[yYcCfFsSpP]:[^{}]*\}|\[\d\d?:\d\d(?::\d\d)?(?:[.,]\d+)?\]",  # other subtitles, song texts
    re.I,
)
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\[\"'/]|\\[Nnhrt]|(?:%[0-9A-F]{2})*%[89A-F][0-9A-F](?:%[0-9A-F]{2})+")
_BLOCK = re.compile(rf"</?(?:{_BLOCKS}){_ATTRIBUTES}>", re.I)
# Tags of another kind, and events and lost words in brackets; @@ and ▁ are left of subword units.
_EVENTS = (
    "music|applause|laughter|laugh(?:s|ing)?|cough(?:s|ing)?|noise|vocalized-noise|silence|sil|breath(?:ing)?|inaudible|"
    "unintelligible|crosstalk|unk|blank_audio|foreign|pad|cls|sep|mask|音乐|音樂|掌声|掌聲|笑声|笑聲|笑|噪音|静音|听不清"
)
_OTHER_TAG = re.compile(
    rf"<[A-Za-z_/!?|][^<>]*>|-->|[\[({{【（](?:{_EVENTS})[\])}}】）]|\w@@(?!\S)|▁|\\x[0-9a-f]{{2}}", re.I
)
_IS_HAN = re.compile(f"[{HAN}]").search
_IS_BYTE = re.compile("[\x80-\u02ff]").search  # of what bytes become under Latin-1 or Windows-1252, one at least
_ACCENTED = "\xc0-\xd6\xd8-\xf6\xf8-\xff"
_LOST = re.compile(
    # controls (ftfy has replaced those of C1 that have a meaning), private use, lines of boxes, half-width kana
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd-\uffff\ue000-\uf8ff\u2502-\u259f\uff61-\uff9f\U000f0000-\U0010ffff]|锟斤拷|"
    # GBK and Big5 read as Latin-1: ÎÒ, £¬, ¡£, §A¦n
    f"[{_ACCENTED}]{{4}}|(?<![A-Za-z{_ACCENTED}])(?!(?i:([äöüõ])\\1)\\b)[{_ACCENTED}]{{2,3}}(?![A-Za-z{_ACCENTED}])|"
    "£[\xa1-\xbf]|¡[\xa2-\xb7]|"  # öö is Estonian
    "(?:[¤§¥¦][@-~\xa1-\xff]){2}|"
    # UTF-8 read by the tables of DOS, Windows (Cyrillic, Central Europe), the Mac and Shift JIS
    "ΓÇ|вЂ|Г[\xa0-\xbf]|[\u0400-\u04ff][€†‡‰¤¦¬¶µ]|Ă[\xa0-\xbfŁĽŻźťˇŞłąşľ]|√[£©®†°§•™]|–[ø∏∞≤µº]|[A-Za-z]窶|"
    # Windows and the Mac, DOS, and Cyrillic taken for each other: cafÈ, Donít, ìsoî, Mⁿller, cafй
    "[a-z][À-ÖØ-Þ](?![A-Za-zÀ-ÿ])|n[íÕ]t\\b|\\bI[íÕ](?:m|ll|ve|d)\\b|[ìÒ][a-zA-Z ]+[îÓ]|[A-Za-z][∩±ⁿΘ][a-z]{2}|"
    "[A-Za-z][бгджзийлптфцчшщъыьэюя]"
)
_TO_CHANGE = re.compile(r"[&<\[({%@\\\x00-\x08\x0e-\x1f\x7f-\U0010ffff]|-->").search
_WITHIN_WORD = re.compile("[A-Za-z][^\x00-\u02ff][^\x00-\u02ff]?[a-z]|鈥.").search  # na茂ve, Don鈥檛
_CODECS = ("gbk", "big5", "euc_kr")


class Unclean(ValueError):
    """A transcript that cannot be cleaned; `reason` is the word that counts it: markup or mojibake."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def clean(text: str) -> str:
    """The transcript without HTML, tags of subtitles and escapes, and with the letters that were meant.

    Raises Unclean for any other tag (<unk> stands for a word), and for letters that are lost.

    >>> clean("<i>Don\\xe2\\x80\\x99t</i> say &quot;no&quot;")
    'Don’t say "no"'
    """
    if not _TO_CHANGE(text):
        return text
    for _ in range(2):  # &amp;quot;
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = _ESCAPE.sub(_unescape, _INLINE.sub("", _BLOCK.sub(" ", text)))
    if _OTHER_TAG.search(text):
        raise Unclean("markup")
    text = read_as_utf8(text)
    if _IS_BYTE(text):  # saves time: ftfy reads 30,000 lines a second
        text = fix_encoding(text)
    if _LOST.search(text) or _IS_BYTE(text) and (is_bad(text.lower()) or is_bad(text.upper())):  # caféÉcole is well
        raise Unclean("mojibake")
    return text


def _unescape(match: "re.Match") -> str:
    """ "\\u4f60" -> "你", "%E4%BD%A0" -> "你", "\\N" -> a blank.

    Raises Unclean for bytes that are no UTF-8.
    """
    sign = match[0][1]
    if match[0][0] == "\\" and sign != "u":
        return sign if sign in "\"'/" else " "
    try:
        if sign == "u":
            units = "".join(match[0].split("\\u"))
            return bytes.fromhex(units).decode("utf-16-be")
        return unquote_to_bytes(match[0]).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unclean("mojibake") from error


def read_as_utf8(text: str) -> str:
    """The characters whose UTF-8 was read as GBK, which ftfy does not know; other text is returned as it is.

    Latin letters only if they stand within a word (na茂ve), where they may have been read as Big5 or EUC-KR as well.

    Raises Unclean if the last byte was lost, as it is for an odd number of Han characters.

    >>> read_as_utf8("浣犲ソ")
    '你好'
    """
    if _WITHIN_WORD(text):
        for codec in _CODECS:
            try:
                read = text.encode(codec).decode("utf-8")
            except UnicodeError:
                continue
            if read != text and all(c < "\u0100" or unicodedata.category(c)[0] == "P" for c in read):
                return read
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
