"""Forms of numbers and symbols that WeTextProcessing reads wrongly in English, as words; for training text and scores.

Telephone numbers, versions, powers, prices with ranges, names made of digits, comparisons.
"""

import re

from espnet_llmasr.text.forms_zh import EXTENSIONS, MILLIONS

_DIGITS = "zero one two three four five six seven eight nine".split()
_SIGNS = {"≥": "greater than or equal to", "≤": "less than or equal to", "≠": "not equal to", "≈": "approximately"}
_SIGNS.update({"√": "square root of", "∞": "infinity", "<": "less than", ">": "greater than"})
_GREEK = dict(zip("αβγδεθλμπρσφωΔΣΩ", "alpha beta gamma delta epsilon theta lambda mu pi rho sigma phi omega".split()))
_GREEK.update(zip("ΔΣΩ", ("delta", "sigma", "omega")))
_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen", "₩": "won", "₹": "rupees", "₽": "rubles"}
_CURRENCIES.update({"₺": "lira", "₫": "dong", "฿": "baht", "₿": "bitcoins", "HK$": "hong kong dollars"})
_CURRENCIES.update({"A$": "australian dollars", "C$": "canadian dollars", "S$": "singapore dollars"})
_CURRENCIES.update({"US$": "dollars", "NT$": "new taiwan dollars", "USD": "dollars", "EUR": "euros", "GBP": "pounds"})
_CURRENCIES.update({"JPY": "yen", "CNY": "yuan", "RMB": "yuan", "INR": "rupees", "CHF": "swiss francs", "KRW": "won"})
_CURRENCIES.update({"AUD": "australian dollars", "CAD": "canadian dollars", "HKD": "hong kong dollars"})
_CURRENCIES.update({"CA$": "canadian dollars", "AU$": "australian dollars", "R$": "reais"})
_NAMES = sorted(_CURRENCIES, key=len, reverse=True)
_ANY_CURRENCY = "|".join(rf"\b{name}" if name.isalpha() else rf"(?<!\w){re.escape(name)}" for name in _NAMES)
_RARE_CURRENCY = "|".join(  # the others WeTextProcessing reads itself where one number follows
    rf"\b{name}" if name.isalpha() else rf"(?<!\w){re.escape(name)}"
    for name in _NAMES
    if name not in ("$", "£", "€", "¥", "US$")
)
_PRICE = r"(?:\d+(?:,\d{3})*(?:\.\d+)?)"
_LARGE = r"(?: ?(?:hundred|thousand|million|billion|trillion)\b|(?:k|m|mn|b|bn)\b)"
_LETTERS = {"k": " thousand", "m": " million", "mn": " million", "b": " billion", "bn": " billion"}
_UNITS = {"km": "kilometers", "m": "meters", "cm": "centimeters", "mm": "millimeters", "ft": "feet", "in": "inches"}
_SMALL_UNITS = {"m": "meters", "g": "grams", "s": "seconds", "l": "liters"}
_CODES = "|".join(name for name in _NAMES if name.isalpha())
_PER = dict(s="second", sec="second", min="minute", h="hour", hr="hour", hour="hour", day="day", week="week", l="liter")
_PER.update(month="month", mo="month", year="year", yr="year", kg="kilogram", lb="pound", person="person")
_RELEASES = (
    "version|v|release|python|java|php|ruby|perl|node|ios|ipados|android|macos|mac os x|os x|windows|ubuntu|debian|"
    "fedora|linux|kernel|chrome|firefox|cuda|pytorch|django|mysql|postgres"
)
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_EXPONENT = str.maketrans(f"{_SUPERSCRIPTS}⁻ⁿ", "0123456789-n")
# Not a name but a quantity: "call 300 people".
_COUNTED = (
    r"(?! ?(?:people|men|women|children|percent|hundred|thousand|million|billion|times|"
    r"[a-z]{3,}(?<!s)s)\b|[\d.,%]*\d|%)"
)
_CALL = r"(?:call|called|calling|dial|dialed|dialled|dialing|text)"
_CUE = (
    rf"(?:{_CALL}|phone|(?:tele)?phone number|tel|hotline|"
    r"fax|extension|ext\.?|pin|password|passcode|zip code|zip|postcode|"
    r"area code|code|account number|card number|serial number)"
)
_NUMBERED = "boeing|airbus|flight|route|highway|interstate|room|bus|suite|apartment|channel|area|porsche|peugeot|studio"
_SERVICES = (
    "calls?|callers?|operators?|dispatch(?:ers?)?|centers?|tapes?|"
    "services?|emergency|system|line|immediately|now|please"
)


def spell(number: str) -> str:
    """ "911" -> "nine one one": the digits of a telephone number or a name; anything else is left out."""
    return " ".join(_DIGITS[int(digit)] for digit in number if digit.isdecimal())


def _pairs(number: str) -> str:
    """ "747" -> "7 47", "302" -> "3 oh 2", "1408" -> "14 oh 8"; a round number does not change."""
    first, last = number[:-2], number[-2:]
    if last == "00":
        return number
    return f"{first} oh {last[1]}" if last[0] == "0" else f"{first} {last}"


def _price(match: "re.Match") -> str:
    """ "$1.5-2 billion" -> "1.5 to 2 billion dollars", "₹500" -> "500 rupees"."""
    name, amount, large = match[1], re.sub(r" ?(?:[-–—]|to) ?", " to ", match[2]), match[3] or ""
    large = _LETTERS.get(large.lower(), large)
    return f"{amount}{large} {_CURRENCIES.get(name.upper()) or _CURRENCIES[name]}"


def _power(match: "re.Match") -> str:
    exponent = (match[1] or match[2]).translate(_EXPONENT)
    power = exponent.replace("-", "minus ")
    words = {"2": " squared", "3": " cubed"}.get(exponent, f" to the power of {power}")
    return words + " " * match.string[match.end() : match.end() + 1].isalnum()


def _minutes(match: "re.Match") -> str:
    """ "30°15'" -> "30 degrees 15 minutes"."""
    return f" degrees {match[1]} minutes" + (f" {match[2]} seconds" if match[2] else "")


def _area(match: "re.Match") -> str:
    return f" {'square' if match[2] == '²' else 'cubic'} {_UNITS[match[1].lower()]}"


def _rate(match: "re.Match") -> str:
    """ "5m/s²" -> "5 meters per second squared"."""
    return f" {_UNITS[match[1].lower()]} per second{' squared' * bool(match[2])}"


def _address(match: "re.Match") -> str:
    """ "a_b@c.io" -> "a underscore b at c dot io"."""
    return match[0].replace(".", " dot ").replace("_", " underscore ").replace("@", " at ")


def _one_thousand(match: "re.Match") -> str:
    """ "1,065" -> "one thousand and 65"."""
    rest = int(match[1])
    return f"one thousand{' and' if 0 < rest < 100 else ''} {rest or ''}".strip()


def _version(match: "re.Match") -> str:
    """ "2.0.1" -> "2 point zero point 1"; an address of four numbers is read by digit."""
    parts = match[1].split(".")
    if len(parts) == 4 and any(len(part) > 2 for part in parts):
        return " dot ".join(map(spell, parts))
    return " point ".join(part if len(part) < 3 and part[0] != "0" else spell(part) for part in parts)


FORMS = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        ("[₀-₉]+", lambda m: m[0].translate(_SUBSCRIPTS)),
        (r"(?<![\w.])[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\bwww(?:\.[\w-]+)+", _address),
        (r"(?<![\w~])~ ?(?=[$£€¥]?\d)", "approximately "),
        (r"\bno\. ?(?=\d)", "number "),
        (r"§ ?(?=\d)", "section "),
        (r"(?<![\w.'])\d{1,3}(?:'\d{3})+(?![\w'])", lambda m: m[0].replace("'", ",")),  # of Switzerland
        (r"(?<=\d)° ?(\d\d?) ?'(?: ?(\d\d?(?:\.\d+)?) ?[\"″])?", _minutes),
        (r"(?<=\d) ?(km|cm|mm|m)/s(²|\^?2)?(?!\w)", _rate),
        (rf"(?<=\d)( ?[a-z]*)/({'|'.join(_PER)})(?!\w)", lambda m: f"{m[1]} per {_PER[m[2].lower()]}"),
        (rf"(?<!\w)((?:{_RELEASES})[ -]?\d+)\.([1-9]\d)(?![\d.])", r"\1 point \2"),
        # 100 000 and 1 234 567, but neither 555 123 nor 5 300
        (
            r"(?<![\d.,$-])(\d{1,3})(?: (?:\d{3} )*\d00|(?: \d{3}){2,})(?![\d.,-]| \d)(?<!\d{3} \d{3} \d{4})",
            lambda m: m[0].replace(" ", ","),
        ),
        (r"(\d ?(?:[ap]\.?m\b\.?)) ?[-–—] ?(?=\d)", r"\1 to "),
        (r"(?<=\d)[-–—](?=\d{1,2}(?::\d\d)? ?[ap]\.?m\b)", " to "),
        (r"\bUS(?=\$\d)|(?<=\$)US ?(?=\d)", ""),
        (rf"([$£€¥])({_PRICE}) ?[-–—] ?\1(?=\d)", r"\1\2 to \1"),
        (rf"({_PRICE}) ?([€£₹₩₽₺฿])(?!\d)", lambda m: f"{m[1]} {_CURRENCIES[m[2]]}"),
        (rf"({_ANY_CURRENCY}) ?({_PRICE} ?(?:[-–—]|to) ?{_PRICE})(?![\d-])({_LARGE}?)", _price),
        (rf"({_RARE_CURRENCY}) ?({_PRICE})({_LARGE}?)", _price),
        (
            rf"(?<![\d.,$£€¥])({_PRICE}{_LARGE}?) ?({_CODES})(?!\w)",
            lambda m: f"{m[1]} {_CURRENCIES[m[2].upper()]}",
        ),
        (r"\+(?=\d[\d ().-]{6,}\d)(\d[\d ().-]*\d)", lambda m: f"plus {spell(m[1])}"),
        (
            r"(?<![\d-])(?:1[ .-])?\(?[2-9]\d\d\)?([ .])\d{3}[ .-]\d{4}(?![\d-])|(?<!\d)1-\d{3}-\d{3}-\d{4}(?!\d)",
            lambda m: spell(m[0]),
        ),
        (rf"(?<![\d.,$£€¥-])(?:1[3-9]\d{{9}}|[2-9]\d{{2}}[2-9]\d{{6}})(?![\d.,-]){_COUNTED}", lambda m: spell(m[0])),
        (
            rf"(\b{_CUE}(?: (?:is|was|at|on|me|us|them|him|her))?:? )(\d(?:[ -]?\d){{2,}})(?![\d.,:/-]\d){_COUNTED}",
            lambda m: m[1] + spell(m[2]),
        ),
        (rf"(?<![\d.,$£€¥-])911(?= (?:{_SERVICES})\b)|(?<=\bthe )911(?= call)", lambda m: spell(m[0])),
        (r"(?<![\d.,$£€¥-])911(?= attacks?\b)", "9 11"),
        (r"(?<![\d-])(?:\d(?:-\d){2,}|\d{3}-\d\d-\d{4})(?![\w-])", lambda m: spell(m[0])),  # 4-3-3
        (r"(?:(?<=boeing \d{3})|(?<=airbus a\d{3}))-(?=\d)", " "),
        (r"(?<![\w$£€.])([a-z])-?(\d{3})(?![\d%]|[.,:/-]\d)", lambda m: f"{m[1]} {_pairs(m[2])}"),  # A380
        (rf"(\b(?:{_NUMBERED}) )(\d{{3,4}})(?![\d.,:/-]\d|\d)", lambda m: m[1] + _pairs(m[2])),
        (r"(?<![\d.])((?:19|20)\d\d)\.(0?[1-9]|1[0-2])\.(0?[1-9]|[12]\d|3[01])(?![\d.])", r"\1-\2-\3"),
        (rf"(?<![\d.])(?!{MILLIONS})(\d+(?:\.\d+){{2,}})(?!\d|\.\d)(?<!\.\d{{4}})", _version),
        (r"(?:(?<=\d)|(?<=\d )|(?<=illion ))(km|cm|mm|m|ft|in)([²³])", _area),
        (rf"(?:(?<=[\d)])|(?<![A-Za-z]{{3}})(?<=[A-Za-z]))(?:([⁻{_SUPERSCRIPTS}ⁿ]+)|\^(-?\d+|n))", _power),
        (r"(?<=\d)( ?(?:(?:km|kg|cm|mm|mph|[gm]b|[kmg]?hz|lbs?|ft)\b|%)) ?[-–—] ?(?=\d)", r"\1 to "),
        (r"(?<=\d) ?[–—] ?(?=\d)", " to "),
        (r"(?<!\d)\d{4}(?: \d{4}){2,}(?: \d{1,3})?(?!\d)|(?<![\d.,])\d{13,}(?![\d.,])", lambda m: spell(m[0])),
        (r"(?<=[\d)%]) ?[*×] ?(?=[\d(a-z])|(?<=[a-z])\*(?=\d)", " times "),
        (r"(?<=\d) ?÷ ?(?=\d)", " divided by "),
        (r"\b(?:24/7|9/11|50/50|20/20)\b", lambda m: m[0].replace("/", " ")),
        (r"(?<=\d)(?<!(?<!\d)0)(?: ?x ?)(?=\d)", " by "),
        (r"(?<![<>=-])(?<![</][A-Za-z])(?<![A-Za-z]{2})[<>] ?(?=\d)|[≥≤≠≈√∞]", lambda m: f" {_SIGNS[m[0].strip()]} "),
        (rf"(?<!\.)\.(?=(?:{EXTENSIONS})(?!\w))", " dot "),
        # WeTextProcessing reads 1,234 as "thousand two hundred and thirty four"
        (r"(?<![\d.,$£€¥-])1,(\d{3})(?![\d,%a-z-])", _one_thousand),
        (r"(?<=\d) ?[µμ]([mgsl])(?!\w)", lambda m: f" micro{_SMALL_UNITS[m[1].lower()]}"),
        (r"(?<=\d) ?(k|M)?Ω", lambda m: {"k": " kilohms", "m": " megohms"}.get((m[1] or "").lower(), " ohms")),
        (r"(?<![α-ωΑ-Ω])(?-i:[αβγδεθλμπρσφωΔΣΩ])(?![α-ωΑ-Ω])", lambda m: f" {_GREEK[m[0]]} "),
    )
]
UNDECIDED = re.compile(
    # 12/34/56, 1-2-3-4, 1.000.000, 12.05.2021 (may or december), 1e10, 0x1f, 12345678 (a name or a quantity)
    rf"(?<![\w.,/-]){MILLIONS}|"
    r"(?<![\w.,/-])(?:\d+(?:/\d+){3,}|\d+(?:-\d+){4,}|(?:0?\d|1[0-2])\.(?:0?\d|1[0-2])\.\d{4}|0x[0-9a-f]+|"
    r"\d+(?:\.\d+)?e[+-]?\d+|(?!\d*000(?!\d))\d{7,9})(?![\w/-]|[.,]\d)"
    rf"|(?<=[A-Za-z]{{3}})[{_SUPERSCRIPTS}]+",  # a footnote
    re.IGNORECASE,
)


def rewrite_forms(line: str) -> str:
    """Words for the forms that WeTextProcessing reads wrongly: "call 911 now" -> "call nine one one now"."""
    for pattern, replacement in FORMS:
        line = pattern.sub(replacement, line)
    return line
