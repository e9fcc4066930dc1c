"""The canonical form of a training transcript in one of two styles, and the text that its phonemes are made from."""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Tuple

from espnet_llmasr.text.han import OPEN, inner_pairs
from espnet_llmasr.text.inventories import HAN_TABLES
from espnet_llmasr.text.lookalikes import unify
from espnet_llmasr.text.markup import clean
from espnet_llmasr.text.normalize import APOSTROPHES, HAN, compose, normalize, to_half_width
from espnet_llmasr.text.numerals import needs_words, write_out

STYLES = ("plain", "formatted")

# Full-width forms to ASCII, except the punctuation of Chinese.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "！（），：；？～"}
_TIDIED = {**_HALF_WIDTH, **APOSTROPHES}
_CJK = rf"{HAN}\u3001-\u3006\u3008-\u3011\u3014-\u301f！（），：；？～"
_BLANK_IN_HAN = re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])")
_PAUSE = re.compile(rf"([{HAN}])[^\w,.!?;:，。！？；：、…—]*[,.!?;:，。！？；：、…—]\W*(?=([{HAN}]))").findall
_HAS_HAN = re.compile(f"[{HAN}]").search
_MARKS = frozenset("`\u00b4")  # apostrophes
_PUNCTUATION = r"\-,.!?;:'\"()\[\]{}，。！？；：、…—–‘’“”（）《》〈〉「」『』【】·～‥⋯¡¿«»‹›„‚・〔〕〜゛"
_SYMBOL = re.compile(rf"[^\w\s{_PUNCTUATION}]|_").findall
_NUMBER = re.compile(r"[A-Za-z]*\d[A-Za-z\d]*(?:[./:,-]\d[A-Za-z\d]*)*")
_WIDE_COMMA = re.compile(r"，(?!(?<=\d，)000(?!\d))")
_UNSPOKEN = re.compile(rf"[^\w\s{_PUNCTUATION}]|[\d_]").search
MOST_NUMBERS = 1000  # forms that are counted apart
OTHER_NUMBERS = "others"
# Each pattern begins with the rarest character it needs, which makes it ten times as fast.
_CAPITAL = "[A-Z\u00c0-\u00de\u0100-\u024f\u1e00-\u1eff]"
_ACRONYM = re.compile(f"{_CAPITAL}(?<=['A-Za-z\u00c0-\u024f\u1e00-\u1eff].)").search  # GPU, ChatGPT, O'Brien
_DOTTED = re.compile(r"\.(?<=[A-Za-z]\.)[A-Za-z]\.").search  # U.S.
_APOSTROPHE = re.compile(  # 'em, goin' and B'day, but not I'm, Joe's
    r"'(?:(?<![A-Za-z]')[A-Za-z]|(?<=[A-Za-z]')(?![A-Za-z])|(?<=[A-Z]')(?!(?:(?<=I')(?:m|ll|ve|d)|s)(?![\w'])))"
).search


class Transcript:
    """A line of a corpus and its language -> (text, pronunciation_text).

    plain: `text` is `normalize` of the line with its digits and symbols written out: no punctuation, lower-case Latin,
    no blanks between Han characters. formatted: `text` is the tidied line; case, punctuation and digits do not change.
    Traditional characters become simplified ones if `lang` is zh; Cantonese (yue) does not change.

    `pronunciation_text` is the text that phonemes are made from, if `text` would give other phonemes: the line written
    out, with its case (GPU, U.S., goin'), or with the punctuation that separates Han characters of different phrases
    (宣布了，结果 is not 了结). It is "" if `text` gives the same phonemes.

    A line of several words in capitals comes from a corpus without case (LibriSpeech, GigaSpeech), because no line
    consists of acronyms only. It becomes lower case in both styles; the Phonemizer follows the same rule. A single word
    in capitals ("YES", "GPU") may be an acronym: `text` has it in lower case, `pronunciation_text` keeps its capitals.

    `lost` counts the symbols that gave no word (™, a lone *), over all lines; punctuation is not counted. `unread`
    counts the numbers that the rules cannot read (12/34/56) and that stay digits, by their form.

    Raises:
        ValueError: unknown style; at a call, see `markup.clean`, `numerals.write_out` and `simplified`.
    """

    def __init__(self, style: str = "plain"):
        if style not in STYLES:
            raise ValueError(f"unknown text style '{style}': choose one of {', '.join(STYLES)}")
        self.style = style
        self.lost: Counter = Counter()
        self.unread: Counter = Counter()

    def __call__(self, text: str, lang: str) -> Tuple[str, str]:
        text = clean(text)
        if lang.startswith("zh") and not text.isascii():
            text = simplified(text)
        return self._plain(text, lang) if self.style == "plain" else self._formatted(text, lang)

    def _plain(self, text: str, lang: str) -> Tuple[str, str]:
        line = _lower_all_caps(_half_width(text))
        if needs_words(line):
            line = write_out(_BLANK_IN_HAN.sub("", " ".join(line.split())), lang)
        self._count(line)
        return normalize(line), tidy(line) if _is_read_by_form(line, lang) else ""

    def _formatted(self, text: str, lang: str) -> Tuple[str, str]:
        line = _lower_all_caps(tidy(text))
        shown = line.lower() if _is_all_caps_word(line) else line
        half = _half_width(line)
        written = write_out(half, lang)
        self._count(written)
        if written == half and shown == line:
            return shown, ""
        return shown, written if _is_read_by_form(written, lang) else normalize(written)

    def _count(self, line: str) -> None:
        """Counts what a line that is written out has besides words and punctuation."""
        if not _UNSPOKEN(line):
            return
        signs = _SYMBOL(_NUMBER.sub(" ", line))
        self.lost.update(sign for sign in signs if unicodedata.category(sign)[0] in "SPCN" and sign not in _MARKS)
        for number in _NUMBER.findall(line):
            is_new = number not in self.unread and len(self.unread) >= MOST_NUMBERS
            self.unread[OTHER_NUMBERS if is_new else number] += 1


def tidy(text: str) -> str:
    """One blank between words, none between Han characters; half-width Latin, straight apostrophes, nothing invisible.

    >>> tidy(" Ｉｔ’s  ５０％ 。 你 好，")
    "It's 50% 。你好，"
    """
    if text.isascii():
        return " ".join(text.replace("`", "'").split())
    return _BLANK_IN_HAN.sub("", " ".join(compose(unify(text).translate(_TIDIED)).split()))


def _half_width(line: str) -> str:
    """`to_half_width`, but a wide comma ("119，110") must not become one within a number ("119,110")."""
    return line if line.isascii() and "`" not in line else to_half_width(_WIDE_COMMA.sub("， ", line))


def _lower_all_caps(line: str) -> str:
    all_caps = line.isupper() and len(line.split()) > 1 and not _HAS_HAN(line)
    return line.lower() if all_caps else line


def _is_all_caps_word(line: str) -> bool:
    return line.isupper() and len(line) > 1 and line.replace("'", "").isalpha() and not _HAS_HAN(line)


def _is_read_by_form(line: str, lang: str) -> bool:
    """True if capitals, dots, apostrophes or pauses that `normalize` removes may change the phonemes.

    True is the safe answer: the rule does not look words up in the dictionary, and knows only pairs of phrases.
    """
    return bool(
        ("'" in line and _APOSTROPHE(line))
        or ("." in line and _DOTTED(line))
        or (not line.islower() and _ACRONYM(line))
        or (not line.isascii() and _has_pause_in_phrase(line, lang))
    )


def _has_pause_in_phrase(line: str, lang: str) -> bool:
    around = _PAUSE(line)
    if not around:
        return False
    pairs = inner_pairs(HAN_TABLES.get(lang.partition("-")[0], "zh"))
    return any(before in OPEN or before + after in pairs for before, after in around)


def simplified(text: str) -> str:
    """ "我們的電腦" -> "我们的电脑", by OpenCC (Apache 2.0); it converts phrases, so 乾隆 does not change.

    Raises:
        ValueError: OpenCC is not installed.
    """
    return _converter().convert(text)


@lru_cache(None)
def _converter():
    try:
        import opencc
    except ModuleNotFoundError as error:
        raise ValueError("OpenCC, which simplifies Mandarin transcripts, is missing: pip install OpenCC") from error
    return opencc.OpenCC("hk2s")  # t2s, and Hong Kong's 衞, 枱, 粧
