"""English numbers, symbols and titles as words; see numerals.py.

Roman numerals become digits first, if the word before them shows that they are numerals: "Chapter XII" -> "Chapter 12",
"Henry VIII" -> "Henry the 8th". All others stay: "XL" is a size, "IV" a drip.
"""

import re

from espnet_llmasr.text import wetext

DOMAINS = "com|org|net|edu|gov"
_ALWAYS = {"Mr": "Mister", "mr": "mister", "Mrs": "Missus", "mrs": "missus"}
_BEFORE_A_NAME = dict(Dr="Doctor", St="Saint", Prof="Professor", Capt="Captain", Lt="Lieutenant")
_BEFORE_A_NAME.update(Sgt="Sergeant", Rev="Reverend")
_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]}|t?\\.|t?(?= ))" for name in _MONTHS)
_UNITS = "km|kg|cm|mm|mg|ml|min|mph|lbs?|oz|ft|yd|rpm|kWh?|[kMG]?Hz|[MGT]B|[kmg]?hz|[mgt]b"
_SYMBOL_WORDS = "and|plus|equals|at|percent|degrees|cents|times|divided by|plus or minus|per mille"
_SYMBOLS = dict(zip("&+=@%°¢×÷±‰", _SYMBOL_WORDS.split("|")))
_SIGNS = re.compile(f"[0-9#{''.join(_SYMBOLS)}]")
_NUMBER = re.compile(
    r"(?:(?<!\S)-)?[$£€¥]?(?:(?<!\w)\.)?\d+(?:[,.:/-]\d+)*(?: \d/\d\d?)?"
    rf"(?:(?:st|nd|rd|th)\b| ?(?:%|°[CF]?|(?:{_UNITS}|million|billion|trillion)\b))?"
)
_PLURAL = re.compile(r"(?<![\d.,:$£€¥-])'?(?:(\d+)s|(\d*0)'s)\b")
_TITLE = re.compile(rf"\b(?:({'|'.join(_ALWAYS)})\b\.?(?= )|({'|'.join(_BEFORE_A_NAME)})\b\.?(?= [A-Z]))")
_HINTS = ("Mr", *_BEFORE_A_NAME)
_DOMAIN = re.compile(rf"\.(?=(?:{DOMAINS})\b)")
_SIGN = re.compile(f"[{''.join(_SYMBOLS)}]")

_CHANGE = {"$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence")}
_CHANGE["€"] = ("euro", "euros", "cent", "cents")

_ROMAN = "(?=[IVXL])(X{0,3}|XL|LX{0,3}|XC)(IX|IV|V?I{0,3})(?![A-Za-z]|'(?!s))"  # to 99, of one letter or more
_RULERS = (
    "Henry|Louis|Charles|George|Edward|Richard|William|James|Elizabeth|Mary|Philip|Napoleon|Frederick|Alexander|"
    "Nicholas|Catherine|Francis|Leo|Pius|Gregory|Innocent|Clement|Benedict|Paul|Urban|Otto|Ramses|Rameses|Ptolemy|"
    "Christian|Leopold|Ferdinand|Alfonso|Gustav|Wilhelm|Boniface|Julius|John|Peter|Haakon|Harald|Olaf|Umberto|Selim"
)
_PARTS = "Book|Vol\\.|Volume|Part|Act|Scene|Canto|Section|Article|Appendix|War|Phase|Type|Class|Stage|Bowl|Title"
_RULER = re.compile(rf"\b((?:{_RULERS}),?) (?!L|XC)(?=V\b|[A-Z][A-Z]){_ROMAN}")
_PART = re.compile(rf"\b((?:{_PARTS}) (?=[A-Z][A-Z])|World War |[Cc]hapter ){_ROMAN}")
_CHAPTER = re.compile(r"\b(chapter )(?=[ivxl])(x{0,3}|xl)(ix|iv|v?i{0,3})(?![a-z]|'(?!s))")
_ROMAN_HINT = re.compile("[IVXL](?:[IVXL]|(?<= V)\\b|(?<=War I)\\b)").search
_TENS = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC")
_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")


def _ordinal(number: str) -> str:
    """ "3" -> "3rd"."""
    ending = "th" if number[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")
    return number + ending


def _month(abbreviated: str) -> str:
    return next(name for name in _MONTHS if name[:3] == abbreviated[:3])


def _change(match: "re.Match") -> str:
    """ "$5.50" -> "5 dollars and 50 cents"."""
    one, many, small_one, small = _CHANGE[match[1]]
    parts = [(match[2].lstrip("0"), one, many), (match[3].lstrip("0"), small_one, small)]
    return (
        " and ".join(f"{count} {few if count == '1' else name}" for count, few, name in parts if count) or f"0 {many}"
    )


def _magnitude(match: "re.Match") -> str:
    """ "$5M" -> "$5 million"; WeTextProcessing cannot read "$5 thousand"."""
    letter = match[2].lower()
    return f"{match[1]},000" if letter == "k" else f"{match[1]} {'million' if letter == 'm' else 'billion'}"


def _spelled(letters: str) -> str:
    """ "AT" -> "A.T.", which no reader takes for a word."""
    return "".join(f"{letter}." for letter in letters) if len(letters) > 1 else letters


_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b([A-Z]{1,3})&([A-Z]{1,3})\b", lambda m: f"{_spelled(m[1])} and {_spelled(m[2])}"),
        (r"\b([BCOP])2([BCOP])\b", r"\1 to \2"),
        (r"\b([A-G])#(?!\w)", r"\1 sharp"),
        (r"#(?=\d)", "number "),
        (r"\b(?:24/7|9/11|50/50|20/20)\b", lambda m: m[0].replace("/", " ")),
        (r"(\d)'(\d{1,2})\"", r"\1 foot \2"),
        (r"(?<=\w)'(?=\d)", " "),  # Q1'21
        (r"(?:(?<=\d)|(?<=\d )|(?<=llion )) ?(k?)m2\b", lambda m: f" square {'kilo' * bool(m[1])}meters"),
        (r"(?<=\d)( ?km)/h\b", r"\1 per hour"),
        (r"\((\d{3})\) ?(?=\d{3}-\d{4}(?!\d))", r"\1-"),
        (r"(?<=\d) - (?=\d+ ?=)", " minus "),
        (r"(?<=\d) - (?=\d)|(?<=\.\d\d)-(?=\$)", " to "),  # prices before they become words
        (r"(\d)(?::00)? ?([AaPp])(?:\.[Mm]\.|[Mm]\b)", lambda m: f"{m[1]} {m[2].lower()}.m."),
        # WeTextProcessing would change the order of the words: "October 5" -> "the fifth of october"
        (rf"\b({_MONTH}) (\d\d?)(?:st|nd|rd|th)?\b(?![:%]|[.,-]\d)", lambda m: f"{_month(m[1])} {_ordinal(m[2])}"),
        (
            rf"(?:\bthe )?(?<![\d:/.,$£€-])\b(\d\d?)(?:st|nd|rd|th)? ({_MONTH})\b",
            lambda m: f"the {_ordinal(m[1])} of {_month(m[2])}",
        ),
        (r"\bUS(?=\$\d)", ""),
        (r"\$(\d[\d,.]*)( thousand| hundred)\b", r"\1\2 dollars"),
        (r"([$£€]\d+) ?([kK])\b", _magnitude),
        (r"([$£€][\d.,]*\d) ?([mMbB])[mMnN]?\b", _magnitude),
        (r"([$£€])(\d[\d,]*)\.(\d\d)(?!\d)(?![- ]?(?:thousand|[mbtr]+illion))", _change),
        # seven digits are a telephone number, unless they are a range of round numbers
        (r"(?<![\d-])(?!\d\d0-\d{3}0)\d{3}-\d{4}(?![\d-])", lambda m: " ".join(m[0].replace("-", ""))),
        (r"(?<=[A-Za-z])-?(?=\d)|(?<=[A-Za-z])(?=[$£€¥]\d)", " "),
        (r"(?<=\dst|\dnd|\drd|\dth) ?[-–—] ?(?=\d+(?:st|nd|rd|th)\b)", " to "),
        (r"(?<=[\d%])-(?=[A-Za-z])|(?<=\dst|\dnd|\drd|\dth)-", " "),
        # a range, but not within a date or a telephone number
        (
            r"(?<![\d-])(\d{4}-\d\d?-\d\d?|(?:\d-)?\d{3}-\d{3}-\d{4})(?!\d)|(?<=[\d%])(?: ?[–—] ?|-)(?=[$£€]?\d)",
            lambda m: m[1] or " to ",
        ),
        (rf"(?<=\d)(?!(?:st|nd|rd|th|s|{_UNITS})\b)(?=[A-Za-z])", " "),
    )
]


def has_roman(line: str) -> bool:
    """True for a line that `roman_to_digits` may change."""
    return "hapter " in line or not line.islower() and _ROMAN_HINT(line) is not None


def roman_to_digits(line: str) -> str:
    """ "Louis XIV read Chapter II" -> "Louis the 14th read Chapter 2"."""
    line = _RULER.sub(lambda m: f"{m[1]} the {_ordinal(str(_value(m)))}", line)
    for pattern in (_PART, _CHAPTER):
        line = pattern.sub(lambda m: f"{m[1]}{_value(m)}", line)
    return line


def _value(match: "re.Match") -> int:
    return 10 * _TENS.index(match[2].upper()) + _ONES.index(match[3].upper())


def has_title(line: str) -> bool:
    """True for a line with "mr" or a title before a name."""
    if "mr" not in line and (line.islower() or not any(title in line for title in _HINTS)):
        return False
    return _TITLE.search(line) is not None


def has_domain(line: str) -> bool:
    return "." in line and _DOMAIN.search(line) is not None


def needs_words(line: str) -> bool:
    """True for a line with a Roman numeral, a title or a domain name that `write_out` may change."""
    return has_roman(line) or has_title(line) or has_domain(line)


def write_out(line: str) -> str:
    """ "AT&T paid $5.50 in the 1990s" -> "A.T. and T paid five dollars and fifty cents in the nineteen nineties"."""
    if has_roman(line):
        line = roman_to_digits(line)
    if has_title(line):
        line = _TITLE.sub(lambda m: _ALWAYS.get(m[1]) or _BEFORE_A_NAME[m[2]], line)
    if has_domain(line):
        line = _DOMAIN.sub(" dot ", line)
    if _SIGNS.search(line):
        line = _read_signs(line)
    return " ".join(line.split())


def _read_signs(line: str) -> str:
    for pattern, replacement in _REWRITES:
        line = pattern.sub(replacement, line)
    line = _PLURAL.sub(lambda m: _plural(wetext.english(m[1] or m[2])), line)
    line = _NUMBER.sub(_read, line)
    return _SIGN.sub(lambda m: f" {_SYMBOLS[m[0]]}{' ' * _before_a_letter(m)}", line)


def _before_a_letter(match: "re.Match") -> bool:
    return match.string[match.end() : match.end() + 1].isalpha()


def _plural(number: str) -> str:
    """ "nineteen ninety" -> "nineteen nineties"."""
    if number.endswith("y"):
        return f"{number[:-1]}ies"
    return f"{number}es" if number.endswith("x") else f"{number}s"


def _read(match: "re.Match") -> str:
    words = wetext.english(match[0])
    if words.startswith("thousand"):  # WeTextProcessing reads "1,234" so
        words = f"one {words}"
    return f"{words} " if _before_a_letter(match) else words
