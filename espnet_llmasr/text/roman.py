"""Roman numerals of English lines as digits, where the word before them says that they are numerals.

"Chapter XII" -> "Chapter 12", "Henry VIII" -> "Henry the 8th". All others stay: "XL" is a size, "IV" a drip.
"""

import re

_ROMAN = "(?=[IVXL])(X{0,3}|XL)(IX|IV|V?I{0,3})(?![A-Za-z]|'(?!s))"  # to 49, of one letter or more
_RULERS = (
    "Henry|Louis|Charles|George|Edward|Richard|William|James|Elizabeth|Mary|Philip|Napoleon|Frederick|Alexander|"
    "Nicholas|Catherine|Francis|Leo|Pius|Gregory|Innocent|Clement|Benedict|Paul|Urban|Otto|Ramses|Rameses|Ptolemy|"
    "Christian|Leopold|Ferdinand|Alfonso|Gustav|Wilhelm|Boniface|Julius|John|Peter|Haakon|Harald|Olaf|Umberto|Selim"
)
_PARTS = "Book|Vol\\.|Volume|Part|Act|Scene|Canto|Section|Article|Appendix|War|Phase|Type|Class|Stage|Bowl|Title"
_ORDINAL = re.compile(rf"\b((?:{_RULERS}),?) (?=V\b|[A-Z][A-Z]){_ROMAN}")
_CARDINAL = re.compile(rf"\b((?:{_PARTS}) (?=[A-Z][A-Z])|World War |[Cc]hapter ){_ROMAN}")
_IN_LOWER_CASE = re.compile(r"\b(chapter )(?=[ivxl])(x{0,3}|xl)(ix|iv|v?i{0,3})(?![a-z]|'(?!s))")
_HINT = re.compile("[IVX](?:[IVXL]|(?<= V)\\b|(?<=War I)\\b)").search
_TENS = ("", "X", "XX", "XXX", "XL")
_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")


def has_roman(line: str) -> bool:
    """True for a line that `to_digits` may change."""
    return "hapter " in line or not line.islower() and _HINT(line) is not None


def to_digits(line: str) -> str:
    """ "Louis XIV read Chapter II" -> "Louis the 14th read Chapter 2"."""
    line = _ORDINAL.sub(lambda m: f"{m[1]} the {_ordinal(_value(m))}", line)
    for pattern in (_CARDINAL, _IN_LOWER_CASE):
        line = pattern.sub(lambda m: f"{m[1]}{_value(m)}", line)
    return line


def _value(match: "re.Match") -> int:
    return 10 * _TENS.index(match[2].upper()) + _ONES.index(match[3].upper())


def _ordinal(number: int) -> str:
    ending = "th" if number // 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
