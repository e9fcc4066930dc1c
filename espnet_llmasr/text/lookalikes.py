"""One character for all that look alike, none for those that nobody sees; alike in training text and in scores.

A line that was copied from a PDF or a web page may hold Kangxi radicals (⽂ for 文), compatibility ideographs, ligatures
(ﬁ), letters of formulas (𝐀), ○ for 〇, Cyrillic and Greek letters within Latin words, bidirectional marks or zero-width
characters. Taiwan writes 著 for 着.
"""

import re
import unicodedata
from typing import Iterable

# Characters with a compatibility decomposition (NFKC) that is the same text in another form. Superscripts, fractions,
# units, Roman and circled numbers are not among them: `numerals` reads those.
_FORMS = (
    (0x0132, 0x0133),  # ij, and on: dz, lj, nj, long s
    (0x01C4, 0x01CC),
    (0x01F1, 0x01F3),
    (0x017F, 0x017F),
    (0x2F00, 0x2FD5),  # Kangxi radicals
    (0xF900, 0xFAFF),  # compatibility ideographs, and on
    (0x2F800, 0x2FA1F),
    (0xFB00, 0xFB06),  # ff, fi, fl, ffi, ffl, st
    (0xFE10, 0xFE19),  # vertical and small punctuation
    (0xFE30, 0xFE48),
    (0xFE4D, 0xFE6F),
    (0x24B6, 0x24E9),  # circled letters
    (0x1D400, 0x1D7FF),  # letters and digits of formulas
)
_LETTERS = "ℂℊℋℌℍℎℏℐℑℒℓℕℙℚℛℜℝℤℨ\u2126\u212a\u212bℬℭℯℰℱℳℴℹℼℽℾℿ⅀ⅅⅆⅇⅈⅉ"  # with the signs of ohm, kelvin, ångström
_RAISED = "ʰʲʳʷʸˡˢˣᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵃᵇᶜᵈᵉᶠᵍⁱᵏᵐᵒᵖᵗᵘᵛᶻₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"  # 5ᵗʰ; ⁿ is an exponent
# CJK radicals and the ideographs that they stand for: EquivalentUnifiedIdeograph of the Unicode Character Database.
_RADICALS = (
    "⺁⺂⺃⺄⺅⺆⺇⺈⺉⺊⺋⺌⺍⺎⺏⺐⺑⺒⺓⺔⺕⺖⺗⺘⺙⺛⺜⺝⺞⺟⺠⺡⺢⺣⺤⺥⺦⺧"
    "⺨⺩⺪⺫⺬⺭⺮⺯⺰⺱⺲⺳⺴⺵⺶⺷⺸⺹⺺⺻⺼⺽⺾⺿⻀⻁⻂⻃⻄⻅⻆⻇⻈⻉⻊⻋⻌⻍"
    "⻎⻏⻐⻑⻒⻓⻔⻕⻖⻗⻘⻙⻚⻛⻜⻝⻞⻟⻠⻡⻢⻣⻤⻥⻦⻧⻨⻩⻪⻫⻬⻭⻮⻯⻰⻱⻲⻳"
)
_IDEOGRAPHS = (
    "厂乛乚乙亻冂𠘨刀刂卜㔾小尐兀尣尢𡯂巳幺彑彐忄心扌攵旡日月歺母民氵氺灬爫爬丬牛"
    "犭王𤴔目示礻𥫗糹纟罓罒㓁冗𦉫羊𦍌𦍋耂肀聿肉𦥑艹艺艻虎衤覀西见角𧢲讠贝𧾷车辶辷"
    "辸邑钅長镸长门𨸏阝雨青韦页风飞食𩙿飠饣𩠐马骨鬼鱼鸟卤麦黄黾斉齐歯齿竜龙龜亀龟"
)
_SIGNS = {
    "\u2010": "-",
    "\u2011": "-",
    "\u2212": "-",
    "\u2217": "*",
    "\u223c": "~",
    "\u2236": ":",
    "\u2715": "×",
    "\u2716": "×",
}
_CYRILLIC = dict(zip("АВЕЅІЈКМНОРСТУХаеѕіјорсухԁһ", "ABESIJKMHOPCTYXaesijopcyxdh"))
_HOMOGLYPHS = {**_CYRILLIC, **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEZHIKMNOPTYXo"))}
_HAS_HOMOGLYPH = re.compile(f"[{''.join(_HOMOGLYPHS)}]").search
_MIXED_WORD = re.compile("[A-Za-z\u0370-\u04ff\u0500-\u052f]+")
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_NUMERALS = "零一二三四五六七八九十百千万亿兆两兩萬億"
_DIGIT = "[零一二三四五六七八九]"
_ZERO = re.compile(  # a corpus may put a blank after every character
    f"(?<=[{_NUMERALS}])(?: ?[○◯〇])+|(?:[○◯〇] ?)+(?=[{_NUMERALS}])|(?<={_DIGIT})[OoОоΟο](?={_DIGIT})|〇"
)
# 著 is read zhù in these words, and in all others it is Taiwan's form of 着.
_LAST = "显顯昭卓彰名巨鉅专專论論编編原译譯合遗遺拙新旧舊大所土较較撰焯知"  # 显著, 名著
_FIRST = "名作称稱述者录錄文有绩績姓"  # 著名, 著作
_TAIWAN = re.compile(f"(?<![{_LAST}])(?<![{_LAST}] )著(?! ?(?:[{_FIRST}]|书 ?立|書 ?立))")


def _forms() -> dict:
    forms = dict(zip(_RADICALS, _IDEOGRAPHS))
    codes = [code for first, last in _FORMS for code in range(first, last + 1)]
    forms.update({c: unicodedata.normalize("NFKC", c) for c in [*map(chr, codes), *_LETTERS, *_RAISED]})
    return {character: same for character, same in {**forms, **_SIGNS}.items() if character != same}


def _character_class(characters: Iterable[str]) -> str:
    """The characters as ranges: `re` compares a character with one literal after the other beyond U+FFFF."""
    codes = sorted(map(ord, characters))
    starts = [code for before, code in zip([-1, *codes], codes) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -1]) if after != code + 1]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(starts, ends))


_ALIKE = _forms()
_FORM = re.compile(f"[{_character_class(_ALIKE)}]")
_UNSEEN = re.compile(f"[{_INVISIBLE}]+")
LOOKALIKES = f"{_character_class(_ALIKE)}{_INVISIBLE}{''.join(_HOMOGLYPHS)}○◯〇著"
"""Character class of what `unify` may change; besides it, a letter O between numerals."""


def unify(text: str) -> str:
    """ "⼀○○一年睡\u200b著了" -> "一零零一年睡着了"."""
    text = _FORM.sub(lambda match: _ALIKE[match[0]], _UNSEEN.sub("", text))
    text = _ZERO.sub(lambda match: re.sub("[○◯〇OoОоΟο]", "零", match[0]), text)
    if _HAS_HOMOGLYPH(text):
        text = _MIXED_WORD.sub(_latin, text)
    return _TAIWAN.sub("着", text) if "著" in text else text


def _latin(match: "re.Match") -> str:
    """A word with Latin letters whose other letters all look Latin, in Latin: "Моscow" -> "Moscow"."""
    word = "".join(_HOMOGLYPHS.get(letter, letter) for letter in match[0])
    return word if word.isascii() and not match[0].isascii() and any(map(str.isascii, match[0])) else match[0]
