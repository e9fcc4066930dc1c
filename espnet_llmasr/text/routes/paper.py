"""The route `paper`: WeTextProcessing with its own FSTs, as arXiv 2604.08003 (section 4.1) scores all systems.

Lines with Han characters pass the FSTs zh_tn: numbers written out, 啊, 呃 and erhua dropped, traditional characters made
simplified. English lines pass en_tn: numbers, symbols and some abbreviations written out; it drops no filler words.

The output of the FSTs depends on case ("Mr. Smith" -> "Mister Smith", but "MR. SMITH" does not change; "Sun rose" ->
"Sunday rose"; "A6L" -> six litres), and references often come in capitals. Every line is therefore given in lower case
and half width, except for forms that the FSTs know in capitals only and that have one meaning: titles before a full
stop, dotted initials, World War II, B2B, currency codes before and litres after a number. "per" is written PER, since
"per hour" would become "per hour our".

Numbers and symbols that the FSTs read wrongly (telephone numbers as billions, "3²", "985高校") are words before the FSTs
see them: `forms_zh`, `forms_en`, as in training text. What those rules leave undecided is read by the FSTs. A line of
more than 50 digits does not pass the FSTs, which would take seconds: each digit is a word, and the utterance counts as
a fallback.

Other errors of the tool stay: "1990s" are seconds.

Most lines need no FST: those without digits, 儿 and a few signs (Mandarin) or of plain words and punctuation (English).
On these the FSTs replace single characters at most, by tables in the package. tests/text/routes/test_paper.py proves
that on the FSTs themselves, for lines of any length.
"""

import re
from functools import lru_cache, partial
from typing import Dict, Pattern, Tuple

from espnet_llmasr.text import forms_en, forms_zh, numerals, wetext
from espnet_llmasr.text.normalize import HAN
from espnet_llmasr.text.routes import Route, installed

DESCRIPTION = "WeTextProcessing: numbers as words, no filler words, no erhua, simplified characters"
PACKAGES = ("WeTextProcessing",)
OUR_VERSION = "3"
MAX_DIGITS = 50  # of a line: up to them the FSTs take 0.2 s, and 0.5 s more for each further 50
_DIGITS = re.compile(r"\d+")
_CLOCK = re.compile(r"(?<=\w )([ap]) m\b")  # "three a m" is "3am" as well

MARKS = r"',?!;:()\"\u2013\u2014\u201c\u201d\u2026\-"  # characters of a class
LETTERS = "a-z\u00df-\u00f6\u00f8-\u017f"
PLAIN_ENGLISH = re.compile(rf"(?:[{LETTERS}{MARKS} ]|(?<=[{LETTERS}])\.(?![^ ])|PER )*").fullmatch
# No digit, nothing between ; and ? (signs that are read as words) and nothing that is not named here.
PLAIN_MANDARIN = rf"{HAN}a-z .@_`{{|}}~#$%&*+/\\^\[\]\u00b7\u3001\u3002\u300a-\u300f\u3010\u3011{MARKS}"

_PERIOD = "bldg capt col co drs dr esq ft gen gov jr ltd lt maj mrs mr ms mt rev sgt".split()
_NO_PERIOD = "mrs mr ms jr".split()
_CODES = "aed ars aud chf cny eur gbp hkd inr jpy krw rub sar sek sgd thb usd".split()  # but no "try 5" and "cad 5"
_ENGLISH_FORMS = [
    (re.compile(rf"(?<![\w.])(?<!\d )(?:(?:{'|'.join(_PERIOD)})\.|(?:{'|'.join(_NO_PERIOD)})\b)"), str.capitalize),
    (re.compile(r"(?<![\w.@/-])[a-z](?:\.[a-z])+(?![\w@/-])\.?"), str.upper),
    (re.compile(r"\bworld war (?=ii?\b)"), str.title),
    (re.compile(r"(?<=World War )ii?"), str.upper),
    (re.compile(r"\bph\.d\."), lambda form: "Ph.D."),
    (re.compile("per(?= )"), str.upper),
]
_MANDARIN_FORMS = [
    (re.compile(r"(?<![a-z\d])(?:[bop]2[bop]|by2)(?![a-z\d])"), str.upper),
    (re.compile(rf"(?<![a-z])(?:(?:{'|'.join(_CODES)})|(?:cad|[ar])\$)(?= ?\d)"), str.upper),
    (re.compile(r"(?<![a-z\d.])\d[\d.]* ?(?:l|[mg]b)(?![a-z\d])"), str.upper),
]


def make() -> Route:
    """Raises ValueError if WeTextProcessing is not installed."""
    version = installed("WeTextProcessing", "paper")
    short_cuts = version in wetext.VERIFIED_VERSIONS
    name = f"{OUR_VERSION}, WeTextProcessing {version} zh_tn/en_tn"
    return Route("paper", name, partial(normalize, short_cuts=short_cuts), has_too_many_digits)


def has_too_many_digits(text: str) -> bool:
    """True for a line on which the FSTs would take seconds, as a loop of digits is."""
    return len(text) > MAX_DIGITS and sum(map(str.isdecimal, text)) > MAX_DIGITS


def normalize(text: str, lang: str, short_cuts: bool) -> str:
    """The line as the FSTs read it; without short cuts every line passes them, with the same score tokens.

    A line with too many digits does not pass the FSTs: each of its digits is a word.
    """
    line = wetext.readable(text)
    if has_too_many_digits(line):
        line = _DIGITS.sub(lambda digits: f" {(forms_en if lang == 'en' else forms_zh).spell(digits[0])} ", line)
        return line if lang == "en" else line.translate(plain_mandarin()[1])
    if numerals.has_marks(line):
        line = (forms_en if lang == "en" else forms_zh).rewrite_forms(line)
        line = wetext.readable(numerals.unfold(line, kept=numerals.SUPERSCRIPTS))
    return english(line, short_cuts) if lang == "en" else mandarin(line, short_cuts)


def english(line: str, short_cuts: bool) -> str:
    """ "mr. smith paid $5" -> "Mister smith paid five dollars"."""
    line = _CLOCK.sub(r"\1m", line)
    for pattern, write in _ENGLISH_FORMS:
        line = pattern.sub(lambda match: write(match[0]), line)
    return line if short_cuts and PLAIN_ENGLISH(line) else wetext.run_fst("en_tn", line)


def mandarin(line: str, short_cuts: bool) -> str:
    """ "花儿有5朵啊" -> "花有五朵"."""
    plain, characters = plain_mandarin()
    if short_cuts and plain.fullmatch(line):
        return line.translate(characters)
    for pattern, write in _MANDARIN_FORMS:
        line = pattern.sub(lambda match: write(match[0]), line)
    return wetext.run_fst("zh_tn", line)


@lru_cache(None)
def plain_mandarin() -> Tuple[Pattern, Dict[int, str]]:
    """Pattern of the lines on which zh_tn only replaces single characters, and by what; None where it drops them."""
    simplified = dict(wetext.rows("tn", "chinese/data/char/traditional_to_simple.tsv"))
    fillers = [row[0] for row in wetext.rows("tn", "chinese/data/default/blacklist.tsv")]
    er = "儿" + "".join(character for character, simple in simplified.items() if simple == "儿")
    characters = str.maketrans({**simplified, **dict.fromkeys(fillers)})
    return re.compile(f"(?:(?![{er}])[{PLAIN_MANDARIN}])*"), characters
