"""The route `speechio`: the rules of the SpeechIO leaderboard (github.com/SpeechColab/Leaderboard, commit 678f55a).

Lines with Han characters follow utils/textnorm_zh.py with the options of utils/benchmark.sh, in this order: half width,
upper case, the fillers 呃 and 啊 removed, 儿 removed except in a list of words, numbers in words, punctuation to blanks.
As in utils/error_rate_zh each Latin letter, digit and Han character is a token: "demo" counts as four. No library
reads the numbers as the leaderboard does (二个, 两千两百, 一万零二百, 零五月): of bare cardinals WeTextProcessing
reads 89 % alike and cn2an 84 %.

English lines follow utils/textnorm_en.py: lower case, numbers in words by a grammar (here `text.numerals`, there a copy
of NeMo's; the line is first rewritten where the two differ most often), American spelling (here whisper-normalizer,
which has 1,711 of the 1,729 pairs), 20 interjections removed. The table of utils/error_rate_en is left out: it lets "I
am" match "I'm" of the reference, which no rule for one side alone can do.

Agreement with the leaderboard's own scripts, known differences and speed: benchmarks/routes.md.
"""

import re
from functools import lru_cache
from importlib import import_module
from typing import Callable

from espnet_llmasr.text import numerals
from espnet_llmasr.text.normalize import score_tokens, to_half_width
from espnet_llmasr.text.routes import Route, installed
from espnet_llmasr.text.routes.whisper import MEMO

DESCRIPTION = "as the SpeechIO leaderboard: numbers as words, no fillers, no erhua; Mandarin lines by letter"
PACKAGES = ("WeTextProcessing", "whisper-normalizer")
OUR_VERSION = "2"
INTERJECTIONS = frozenset("ach ah eee eh er ew ha hee hm hmm hmmm huh hum mm mmm oh oof uh uhh um".split())
# Words that keep their 儿, from textnorm_zh.py; in the order of their code points.
ER_WORDS = (
    "佳儿佳妇 儿不嫌母丑 儿化 儿大不由爷 儿女 儿媳 儿子 儿孙 儿怜兽扰 儿戏 儿无常父 儿歌 儿科 儿童 儿行千里母担忧 "
    "养儿防老 台儿庄 吊儿郎当 女儿 妻儿 婴儿 婴幼儿 孤儿 小儿 少儿 幼儿 托儿带女 托儿所 新生儿 正儿八经 生儿育女 "
    "痴儿呆女 胎儿 苏乞儿 鹿儿岛"
).split()
# Measure words there, by code point: before these four or more digits are a cardinal. 千克 counts, 克 does not.
MEASURES = (
    "丈世丘丝两个丸代令件伏位冬出刀分刻勺匹升单卮厘双叠口只合名周啖回场块坡堂堆墙壳壶夏夜天头季客家寸对寻尺尾层"
    "山岁岭常幢年座张忽户手扎打担挑捆撮支斗斛斤日旬时春曲更月本条杯板枝根桶棵毫江泡溪炮煲片瓶盆盏盒盘石砣碗碟秋秒"
    "程窠笼管箩箱篮簋粒纪线罐网罗群脚腔袋袭课贯贴跳身辆辈道里针钟钧钱钵铢铺锅锱阙队阵面页顶颗首"
)

_FILLER = re.compile("[呃啊]")
_ER = re.compile(f"({'|'.join(ER_WORDS)})|儿")
_DIGIT = re.compile(r"\d").search
_DIGITS = "零一二三四五六七八九"
_SMALL = ("", "十", "百", "千")
_LARGE = ("", "万", "亿", "兆", "京", "垓", "秭", "穰", "沟", "涧", "正", "载")
_TWO_OF = re.compile(f"(?<![十零])二(?=[百千{''.join(_LARGE)}])")
_LETTER_TWO = re.compile("([A-Z])二([A-Z]+)")  # B2B, P2P

_CURRENCY = {"$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence")}
_CURRENCY["€"] = ("euro", "euros", "cent", "cents")
_TITLES = dict(mrs="misses", dr="doctor", prof="professor", capt="captain", lt="lieutenant", col="colonel", jr="junior")
_TITLES.update(rev="reverend", sgt="sergeant", gen="general", sr="senior", vs="versus", etc="etcetera")
_MONTH = "(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_BEFORE = [
    (re.compile(rf"\b(?:{'|'.join(sorted(INTERJECTIONS))})\b(?!')"), lambda m: " "),
    (re.compile(rf"\bmrs\b|\b({'|'.join(_TITLES)})\."), lambda m: _TITLES[m[1] or m[0]]),
    (re.compile(rf"\b{_MONTH}(?= \d)|(?<=\d ){_MONTH}\b"), lambda m: m[0].title()),  # else it is no date for numerals
    (re.compile(r"([$£€])(\d[\d,]*)\.(\d\d)(?!\d| [mbtr]+illion)"), lambda m: _change(m[1], m[2], m[3])),
    (re.compile(r"(?<![\d.,$£€/-])\d{5,}(?![\d%]|[.,/-]\d)"), lambda m: " ".join(m[0])),
    (re.compile(r"(?<![\d.-])(\d+)-(\d+)(?![\d-])"), lambda m: f"{m[1]} {m[2]}"),
]
_CLOCK = re.compile(r"\b([ap]) m\b")
_DECIMALS = re.compile("point(?: (?:oh|zero|one|two|three|four|five|six|seven|eight|nine))+")


def make() -> Route:
    """Raises ValueError if WeTextProcessing or whisper-normalizer is not installed."""
    libraries = ", ".join(f"{name} {installed(name, 'speechio')}" for name in PACKAGES)
    english = _english_normalizer()

    def normalize(text: str, lang: str) -> str:
        return english(text) if lang == "en" else mandarin(text)

    return Route("speechio", f"{OUR_VERSION}, {libraries}", normalize)


@lru_cache(None)
def _english_normalizer() -> Callable[[str], str]:
    """Line -> line; a number takes up to 20 ms, so lines are remembered."""
    american = import_module("whisper_normalizer.english").EnglishSpellingNormalizer()

    @lru_cache(MEMO)
    def normalize(text: str) -> str:
        line = to_half_width(text).lower()
        for pattern, write in _BEFORE:
            line = pattern.sub(write, line)
        line = _DECIMALS.sub(lambda m: m[0].replace("oh", "zero"), numerals.write_out(line, "en"))
        words = " ".join(score_tokens(line))
        return american(_CLOCK.sub(r"\1m", words).replace(" oh ", " o "))

    return normalize


def _change(sign: str, whole: str, part: str) -> str:
    """ "$5.05" -> "5 dollars 5 cents"."""
    unit, units, cent, cents = _CURRENCY[sign]
    counts = [(whole.lstrip("0"), unit, units), (part.lstrip("0"), cent, cents)]
    return " ".join(f"{count} {one if count == '1' else many}" for count, one, many in counts if count) or f"0 {units}"


def mandarin(text: str) -> str:
    """ "呃，那儿有2个DEMO" -> "， 那 有 二 个 D E M O": every character a token."""
    line = _ER.sub(r"\1", _FILLER.sub("", to_half_width(text).upper()))
    return " ".join(write_numbers(line) if _DIGIT(line) else line)


def write_numbers(line: str) -> str:
    """ "98年卖了2200个" -> "九八年卖了两千两百个".

    Rule by rule, and a number is replaced at the first place where its digits stand, as the leaderboard does: the 3 of
    "A13和3个" is first written in the 13.
    """
    line = f" {line} "
    for pattern, write in _RULES:
        for match in list(pattern.finditer(line)):
            line = line.replace(match[1], write(match[1]), 1)
    return _LETTER_TWO.sub(r"\g<1>2\2", line[1:-1])


def cardinal(number: str) -> str:
    """ "2200.5" -> "两千两百点五". A leading zero is read ("05" -> "零五"), zeros alone are not ("00" -> "")."""
    whole, point, decimals = number.partition(".")
    words = _TWO_OF.sub("两", _integer(whole)) if len(whole) > 1 else digits(whole)
    words = words[1:] if words.startswith("一十") else words
    return f"{words or '零'}点{digits(decimals)}" if point else words


def digits(number: str) -> str:
    """ "010-8888" -> "零一零八八八八"."""
    return "".join(_DIGITS[int(digit)] for digit in number if digit.isdecimal())


def _integer(number: str) -> str:
    """ "10210" -> "一万零二百一十"; beyond 10^48, where the names end, digit by digit."""
    if len(number) > 4 * len(_LARGE):
        return digits(number)
    words, group = "", 0
    for place, digit in zip(range(len(number) - 1, -1, -1), map(int, number)):
        group += digit
        words += _DIGITS[digit] + _SMALL[place % 4] if digit else "零"
        if place % 4 == 0:
            words = words.rstrip("零") + _LARGE[place // 4] if group else words
            group = 0
    return re.sub("零+", "零", words.rstrip("零"))


def _date(text: str) -> str:
    """ "1998年10月1日" -> "一九九八年十月一日"."""
    return re.sub(r"(\d+)(年?)", lambda m: (digits if m[2] else cardinal)(m[1]) + m[2], text)


def _amount(text: str) -> str:
    """ "12万5" -> "十二万五"."""
    return re.sub(_N, lambda m: cardinal(m[0]), text)


def _fraction(text: str) -> str:
    numerator, denominator = text.split("/")
    return f"{cardinal(denominator)}分之{cardinal(numerator)}"


def _percentage(text: str) -> str:
    return f"百分之{cardinal(text[:-1])}"


_N = r"\d+(?:\.\d+)?"
_DAY = r"\d{1,2}月(?:\d{1,2}[日号])?"
_UNIT = "(?:亿|[千百]?万|[千百元块角毛分])"
_RULES = [
    (re.compile(pattern), write)
    for pattern, write in (
        (rf"\D((?:[089]\d|(?:19|20)\d\d)年(?:{_DAY})?|{_DAY})", _date),
        (rf"\D({_N}[多余几]?{_UNIT}(?:\d{_UNIT}?)?)", _amount),
        (r"\D((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})\D", digits),  # mobile telephones
        (r"\D((?:0(?:10|2[1-3]|[3-9]\d\d)-?)?[1-9]\d{6,7})\D", digits),  # others
        (r"(\d+/\d+)", _fraction),
        (rf"({_N}%)", _percentage),
        (rf"({_N})[多余几]?(?:[{MEASURES}]|[千微][克米])", cardinal),
        (r"(\d{4,32})", digits),
        (rf"({_N})", cardinal),
    )
]
