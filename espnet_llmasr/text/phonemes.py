"""Units of the CTC pretraining: phones of Mandarin, English and mixed lines, or characters as the alternative."""

import re
import unicodedata
from typing import Iterable, List, Sequence, Union

from espnet_llmasr.text.english import English
from espnet_llmasr.text.mandarin import TABLES, Mandarin
from espnet_llmasr.text.normalize import HAN, normalize, to_half_width

BLANK, UNKNOWN, SPACE = "<blank>", "<unk>", "<space>"
INVENTORIES = ("zh_en",)

_ACCENTED = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")
_PIECE = re.compile(
    rf"(?P<han>[{HAN}]+)"
    r"|(?P<dotted>(?<![A-Za-z])(?:[A-Za-z]\.){2,}[A-Za-z]?(?![A-Za-z]))"
    r"|(?P<word>'?[A-Za-z]+(?:'[A-Za-z]+)*'?)"
    r"|(?P<other>[^\W_])"
)


def _without_accent(match: "re.Match") -> str:
    base = unicodedata.normalize("NFD", match[0])[0]
    return base if base.isascii() else match[0]


class Phonemizer:
    """Text -> phones of the inventory `zh_en`: 21 initials and tonal finals (lower case; tone 1-5 on the final, 5 is
    neutral), 39 ARPAbet phones without stress (upper case).

    Punctuation is silent. Digits, other scripts and Han characters without a reading give `<unk>`, one each, so text
    must be normalised first. Case tells acronyms from words, except in an English line that is all capitals.

    >>> Phonemizer()("用 Python")
    ['iong4', 'P', 'AY', 'TH', 'AA', 'N']

    Raises:
        ValueError: unknown inventory.
    """

    def __init__(self, inventory: str = "zh_en"):
        if inventory not in INVENTORIES:
            raise ValueError(f"unknown phone inventory '{inventory}': choose one of {', '.join(INVENTORIES)}")
        self.inventory = inventory
        self.mandarin = Mandarin(UNKNOWN)
        self.english = English()
        self._tokens = (TABLES / f"{inventory}.txt").read_text(encoding="utf-8").split()

    @property
    def tokens(self) -> List[str]:
        """The full inventory; `<blank>` has index 0 and `<unk>` index 1."""
        return list(self._tokens)

    def __call__(self, text: str) -> List[str]:
        """Phones of one line; empty for a line without letters."""
        pieces = list(_PIECE.finditer(self._clean(text)))
        phones: List[str] = []
        for piece, following in zip(pieces, [*pieces[1:], None]):
            phones.extend(self._read(piece, following))
        return phones

    @staticmethod
    def _clean(text: str) -> str:
        text = _ACCENTED.sub(_without_accent, to_half_width(text))
        all_capitals = text.isupper() and text.isascii() and len(text.split()) > 1
        return text.lower() if all_capitals else text

    def _read(self, piece: "re.Match", following: "re.Match") -> Sequence[str]:
        if piece["han"]:
            return self.mandarin(piece["han"])
        if piece["other"]:
            return [UNKNOWN]
        letters = piece[0].strip("'")
        spelled = piece["dotted"] or (letters in ("a", "A") and not _is_word(following))
        return self.english.spell(letters) if spelled else self.english(piece[0])


def _is_word(piece: "re.Match") -> bool:
    """True for an English word of two letters or more: "a" before it is the article, elsewhere the letter."""
    return piece is not None and piece["word"] is not None and len(piece[0]) > 1


class Characters:
    """Text -> characters of its canonical form, `<space>` between two Latin words; the unit the paper ablates.

    Raises:
        ValueError: the list does not begin with `<blank> <unk>`, names a token twice, or holds a longer token.
    """

    def __init__(self, tokens: Sequence[str]):
        special = (BLANK, UNKNOWN, SPACE)
        if list(tokens[:2]) != [BLANK, UNKNOWN] or len(set(tokens)) != len(tokens):
            raise ValueError(f"a character list must begin with {BLANK} {UNKNOWN} and hold each token once")
        longer = [token for token in tokens if len(token) != 1 and token not in special]
        if longer:
            raise ValueError(f"'{longer[0]}' is not one character: is this the token list of another unit?")
        self._tokens = list(tokens)
        self._known = frozenset(tokens)

    @classmethod
    def from_text(cls, lines: Iterable[str]) -> "Characters":
        """The characters of a corpus in code point order."""
        found = {character for line in lines for character in normalize(line)}
        return cls([BLANK, UNKNOWN, *sorted(SPACE if c == " " else c for c in found)])

    @property
    def tokens(self) -> List[str]:
        return list(self._tokens)

    def __call__(self, text: str) -> List[str]:
        """ "好 it is" -> ["好", "i", "t", "<space>", "i", "s"]; a character outside the list gives `<unk>`."""
        units = (SPACE if c == " " else c for c in normalize(text))
        return [unit if unit in self._known else UNKNOWN for unit in units]


def make_units(unit: str, lines: Iterable[str] = ()) -> Union[Phonemizer, Characters]:
    """Units by name: "phone" (the fixed inventory `zh_en`) or "char" (the characters found in `lines`)."""
    if unit == "phone":
        return Phonemizer()
    if unit == "char":
        return Characters.from_text(lines)
    raise ValueError(f"unknown unit '{unit}': choose phone or char")


def min_frames(labels: Sequence[str]) -> int:
    """Encoder frames that CTC needs: one per label and one blank between two equal neighbours."""
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:]))
