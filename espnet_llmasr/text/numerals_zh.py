"""Digits and symbols of lines with Han characters as words; see numerals.py. Latin words stay as they are."""

import re

from espnet_llmasr.text import wetext
from espnet_llmasr.text.forms_zh import by_digit, spell
from espnet_llmasr.text.normalize import HAN
from espnet_llmasr.text.numerals_en import DOMAINS

_SYMBOLS = dict(zip("&+=@°¢×÷±", "和 加 等于 艾特 度 分 乘 除以 正负".split()))
_SIGN = re.compile(f"[{''.join(_SYMBOLS)}]")
_LATIN = r"(?:[A-Za-z0-9 :/%$£€¥°+=×÷±~-]|(?<=\d)[.,](?=\d)|\.(?=\d))*"
# Digits and the words beside them: 第, 零下, 平方公里. Short pieces are fast, and the memory of results serves them often.
_NUMBER = re.compile(rf"[{HAN}]{{0,2}}(?:{_LATIN}\d{_LATIN}[{HAN}]{{0,4}})+")
_AND = re.compile(r"(?<=[A-Za-z]) ?& ?(?=[A-Za-z])")
_NUMERALS = "零〇一二三四五六七八九十百千万亿点两"


def _name(match: "re.Match") -> str:
    """ "A6" -> "A六", "A310" -> "A三幺零", "H200" -> "H两百", "GPT-3.5" -> "GPT三点五"."""
    letters, number = match[1], match[2]
    is_name = len(number) > 2 and "." not in number and not number.endswith("00")
    return letters + (spell(number) if is_name else wetext.mandarin(number))


def _range(match: "re.Match") -> str:
    """ "3-5" -> "3到5", "1990-2000" by digits; a falling range is a score: "3-2" -> "3比2"."""
    first, last = match[1], match[2]
    joint = "到" if int(first) < int(last) else "比"
    return f"{by_digit(first)}{joint}{by_digit(last)}" if len(first) == len(last) == 4 else f"{first}{joint}{last}"


_RANGE = re.compile(r"(?<![\d.-])([1-9]\d*)-([1-9]\d*)(?![\d.-])")
# WeTextProcessing reads 2 as 二 before these: it knows few measure words, and no traditional ones. 第2名 becomes 第两名.
_TWO = "倍次部组項组项公辆起则成國国個隻條張塊週萬輛間層場種歲顆對雙份句段道把座届批款"
_REWRITES = [
    # WeTextProcessing does not read "1998 年" as a year, nor "50 %" as a percentage
    (re.compile(rf"(?<=[{HAN}]) (?=\d)|(?<=[\d%]) (?=[{HAN}%℃°])"), ""),
    (re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)"), lambda m: m[0].replace(",", "")),
    (re.compile(r"(?<=\d),(?=\d)"), ", "),
    (
        re.compile(r"(第)2(?!\d|[.,]\d)|(?<=月)2(?=[日号號])|(?<!\d)2(?=手)"),
        lambda m: f"{m[1] or ''}二",
    ),
    (
        re.compile(
            rf"(?<![\d.:/~A-Za-z-])(?<!公元)(?<!元前)2(?=(?!次元|次方|部曲)[{_TWO}]|年(?![级級月\d])|[点點](?!\d(?!\d?分)|[零一二三四五六七八九]))"
        ),
        "两",
    ),
    (re.compile(r"(?<![\d.-])0\d{2,3}-\d{3,8}(?![\d-])"), lambda m: spell(m[0])),
    (re.compile(r"(?<=\d米)\d\d(?![\d.])"), lambda m: by_digit(m[0])),
    (re.compile(r"(\d+(?:\.\d+)?) ?(公里|千米|米|英里) ?/ ?(小时|小時|分钟|秒)"), r"每\3\1\2"),
    (re.compile(r"(\d+(?:\.\d+)?)‰"), r"千分之\1"),
    (re.compile(r"(?<![\d.A-Za-z-])(\d+(?:\.\d+)?)[-~](\d+(?:\.\d+)?)%"), r"\1%到\2"),
    (re.compile(r"(?<![A-Za-z0-9])([BCOP])2([BCOP])(?![A-Za-z0-9])"), r"\1 to \2"),
    (re.compile(r"(?<![A-Za-z])([A-G])#"), r"\1 sharp"),
    (re.compile(r"(?<![A-Za-z0-9])([A-Za-z]+)-?(\d+(?:\.\d+)?)(?![\d.:%])"), _name),
    (re.compile(r"(?<!\d)(\d5)(?=后)"), lambda m: by_digit(m[1])),
    (re.compile(r"(?<=[\d%])[—–]+(?=\d)|(?<=[%C°])[-~](?=\d)"), "到"),
    (re.compile(rf"\.(?=(?:{DOMAINS})(?![A-Za-z]))"), "点"),
]


def write_out(line: str) -> str:
    """ "用Python写了3个demo" -> "用Python写了三个demo"."""
    for pattern, replacement in _REWRITES:
        line = pattern.sub(replacement, line)
    line = _NUMBER.sub(_read, line)
    line = re.sub(rf"([{_NUMERALS}]+)%", r"百分之\1", line)
    line = _AND.sub(" and ", line)
    line = re.sub(r"°C", "摄氏度", line)
    return _SIGN.sub(lambda m: _SYMBOLS[m[0]], line)


def _read(match: "re.Match") -> str:
    """Digits as words; keeps a blank at the edge, which WeTextProcessing would remove."""
    core = match[0].strip()
    words = wetext.mandarin(core)
    if "减" in words and "减" not in core and "=" not in core:
        words = wetext.mandarin(_RANGE.sub(_range, core))
    return match[0].replace(core, words)
