import random
import re
import unicodedata

import pytest

from espnet_llmasr.text.normalize import is_han, normalize, score_tokens, to_half_width

HAN = (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)
APOSTROPHES = "'`\u00b4\u2018\u2019\u201b\u2032\u2035\u02b9\u02bb\u02bc\uff07\uff40\ua78c\u055a\u1fbd\u1fbf"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufe0e\ufe0f\ufeff\U000e0100"
SIGNS = dict(zip("\u2010\u2011\u2212\u2217\u223c\u2236\u2715\u2716〇", "---*~:××零"))
RADICALS = range(0x2E80, 0x2F00)  # test_lookalikes.py
HOMOGLYPHS = "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁһΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
COMPATIBLE = re.compile(
    "KANGXI|LIGATURE (F|ST|LONG S|IJ)|LETTER LONG S$|LETTER (D|L|N)(Z|J|.* J)|LETTER D WITH SMALL LETTER Z"
)
ENDS = "".join(chr(code) for first, last in HAN for code in (first - 1, first, last, last + 1))
OTHERS = (
    "_.,!?-–—…“”‘’ \t\n\x0b\x1c\x1f\x85\xa0\u2028\u3000。，、《》·￥々あア한ะ한é̀Éßſ\u0130\u212aÅﬁ²①½㎏Ⅳ٣😀\ue000\x00"
)
FULL_WIDTH = "".join(map(chr, range(0xFF00, 0xFF61)))
MARKS = "\u0300\u0301\u0306\u0308\u036f\u064e\u093e\u094d\u0e31\u3099"  # Latin, Arabic, Devanagari, Thai, kana


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("用Python写了demo，然后 push", ["用", "python", "写", "了", "demo", "然", "后", "push"]),
        ("don’t ‘stop’ rock 'n' roll", ["don't", "stop", "rock", "n", "roll"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("สวัสดีครับ", ["สวัสดีครับ"]),
        ("мои\u0306, в", ["мой", "в"]),
        ("1\u20e3 か\u3099", ["1", "が"]),
        ("他'她 it''s", ["他", "她", "it", "s"]),
        ("ＡＢＣ　１２", ["abc", "12"]),
        ("cafe\u0301 caf\u00e9", ["café", "café"]),
        ("a\u200bb \ufeffc", ["ab", "c"]),
        ("A4纸 5G / 奥迪A6L", ["a4", "纸", "5g", "奥", "迪", "a6l"]),
        ("坐𨋢ok，好㗎", ["坐", "𨋢", "ok", "好", "㗎"]),  # extensions A and B are outside \u4e00-\u9fff
        ("\uf900\ufaff\ufa0e", ["豈", "\ufaff", "\ufa0e"]),
        ("二〇二四年", list("二零二四年")),
        ("○", []),
        ("〈你〉、《好》。〜々", ["你", "好", "々"]),
        ("我'm don'好t", ["我", "m", "don", "好", "t"]),
        ("あ한ж", ["あ한ж"]),
        ("“Hello” — it's 3:30…", ["hello", "it's", "3", "30"]),
    ],
)
def test_score_tokens(text, tokens):
    assert score_tokens(text) == tokens


def in_han(character):
    return any(first <= ord(character) <= last for first, last in HAN)


def plain_tokens(text):
    """The rule of `score_tokens` a character at a time."""
    line = ""
    for character in text:
        code = ord(character)
        if character in APOSTROPHES:
            character = "'"
        elif 0xFF01 <= code <= 0xFF5E:
            character = chr(code - 0xFEE0)
        line += same_text(character)
    line = accents_joined(line).lower()
    words, inside = [], [in_word(character) for character in line] + [False]
    open_word = False
    for at, character in enumerate(line):
        if in_han(character):
            words.append(character)
        elif inside[at] or (character == "'" and at and inside[at - 1] and inside[at + 1]):
            words[-1:] = [words[-1] + character] if open_word else words[-1:] + [character]
            open_word = True
            continue
        open_word = False
    return words


def same_text(character):
    """The form that most lines have, by the properties that Unicode gives the character."""
    name, kind = unicodedata.name(character, ""), unicodedata.decomposition(character).partition(">")[0]
    if character == "\ufa5f":
        return "着"  # by itself 著 is Taiwan's form of it
    if character in SIGNS:
        return SIGNS[character]
    if unicodedata.category(character) == "Cf" and not re.search("^ARABIC (?!LETTER MARK)|SYRIAC", name):
        return ""
    if re.search("VARIATION SELECTOR|GRAPHEME JOINER|HANGUL.* FILLER|VOWEL INHERENT|ARABIC LETTER MARK", name):
        return ""
    same = unicodedata.normalize("NFKC", character)
    if kind in ("<super", "<sub") and len(same) == 1 and same.isascii() and same.isalpha() and character not in "ªºⁿ":
        return same
    is_form = kind in ("<font", "<small", "<vertical") or kind == "<circle" and "LATIN" in name
    is_form = is_form and not re.search("HEBREW|DIGRAPH", name) or name.startswith("CJK COMPATIBILITY IDEOGRAPH-")
    if is_form or COMPATIBLE.search(name) and "LATIN" in name + "LATIN" * ("KANGXI" in name):
        return unicodedata.normalize("NFKC", character)
    return unicodedata.normalize("NFC", character) if character in "\u2126\u212a\u212b" else character


def in_word(character):
    return (character.isalnum() or is_mark(character)) and not in_han(character)


def is_mark(character):
    """An accent or a vowel sign; the signs that frame a symbol (20D0 and on) are none."""
    code = ord(character)
    return unicodedata.category(character) in ("Mn", "Mc") and code < 0xAC00 and not 0x20D0 <= code < 0x2D00


def accents_joined(line):
    pieces = []
    for character in line:
        if pieces and is_mark(character):
            pieces[-1] += character
        else:
            pieces.append(character)
    letter = [piece[0].isalnum() and not piece[0].isdecimal() and not in_han(piece[0]) for piece in pieces]
    marked = [
        is_letter and (len(p) > 1 or unicodedata.decomposition(p)[:1] == "0" and is_excluded(p))
        for p, is_letter in zip(pieces, letter)
    ]
    return "".join(unicodedata.normalize("NFC", p) if has_marks else p for p, has_marks in zip(pieces, marked))


def is_excluded(character):
    """A letter of two characters in NFC."""
    return unicodedata.normalize("NFC", character) != character and 0x900 < ord(character) < 0xC00


def random_lines(number, seed=0):
    draw = random.Random(seed)
    ascii_line, han_line = "abcXYZ019 '" * 3 + "".join(map(chr, range(128))), "今天㗎𨋢〇" * 8 + ENDS
    odd = ENDS + OTHERS + FULL_WIDTH + APOSTROPHES + INVISIBLE + MARKS
    mixed = "abc  '" * 12 + "今天" * 12 + odd
    for _ in range(number):
        alphabet = draw.choice([ascii_line, han_line, mixed, odd, "ab '’", "ab’“”—… "])
        yield "".join(draw.choices(alphabet, k=draw.randrange(20)))


def test_fast_paths_give_the_tokens_of_the_plain_rule():
    for text in random_lines(20_000):
        assert score_tokens(text) == plain_tokens(text), ascii(text)


def test_every_character_gives_the_tokens_of_the_plain_rule():
    for code in [
        *range(RADICALS[0]),
        *range(RADICALS[-1] + 1, 0x3500),
        *range(0x4DB0, 0x4E10),
        *range(0x9FF0, 0xA010),
        *range(0xD7F0, 0x10100),
    ]:
        if chr(code) in HOMOGLYPHS:  # decided by the word
            continue
        text = f"a{chr(code)}b'{chr(code)}'中{chr(code)}"
        assert score_tokens(text) == plain_tokens(text), hex(code)


def test_is_han_covers_the_extensions_and_nothing_else():
    assert all(map(is_han, "中㐀䶿一鿿\uf900\ufaff〇𠀀𱍐"))
    assert not any(map(is_han, ["a", "あ", "한", "。", "1", "", "中文"]))


def test_normalize_is_idempotent_and_keeps_the_tokens():
    for text in ("我 们 用 ＡＢＣ Python，好！", "It’s  A test…中文 x", "３.５", ""):
        assert normalize(normalize(text)) == normalize(text)
        assert score_tokens(normalize(text)) == score_tokens(text)
    assert normalize("我 们 用 ＡＢＣ Python，好！") == "我们用abc python好"


def test_half_width_keeps_units_and_superscripts():
    assert to_half_width("ｘ²㎏，`") == "x²㎏,'"
