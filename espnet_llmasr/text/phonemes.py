"""Labels of the CTC pretraining: phones of Chinese, English and mixed lines, or characters as the alternative."""

import re
import unicodedata
from itertools import chain
from operator import eq
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Union

from espnet_llmasr.text.english import English
from espnet_llmasr.text.han import HanReader, Phones
from espnet_llmasr.text.inventories import HAN_TABLES, INVENTORIES, IPA, han_table, read_tokens
from espnet_llmasr.text.normalize import HAN, normalize, to_half_width
from espnet_llmasr.text.pronunciations import Pronunciations

BLANK, UNKNOWN, SPACE = "<blank>", "<unk>", "<space>"
WORDS_KEPT = 200_000  # words whose phones are remembered, about 40 MB; the memory is emptied when it is full

_HAN_RUN = re.compile(f"[{HAN}]+")
_ACCENTED = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")
_PIECE = re.compile(
    rf"(?P<han>[{HAN}]+)"
    r"|(?P<dotted>(?<![A-Za-z])(?:[A-Za-z]\.){2,}[A-Za-z]?(?![A-Za-z]))"
    r"|(?P<word>'?[A-Za-z]+(?:'[A-Za-z]+)*'?)"
    r"|(?P<other>[^\W_])"
)


# Letters without a base letter; a capital gives only one capital, otherwise the word would look like an acronym.
_SPELLED = dict(zip("æœøłđðþßıÆŒØŁĐÐÞ", "ae oe o l d d th ss i Ae Oe O L D D Th".split()))


def _without_accent(match: "re.Match") -> str:
    base = _SPELLED.get(match[0]) or unicodedata.normalize("NFD", match[0])[0]
    return base if base.isascii() else match[0]


class Phonemizer:
    """Text -> phones of an inventory: `zh_en` (the default), `zh_en_yue` or `shared_ipa`, see text.inventories, or the
    file of a table of pronunciations: `shared_ipa` for lines in zh, en and yue, and the table for all others.

    `zh_en` has 21 initials and tonal finals (lower case; tone 1-5 on the final, 5 is neutral) and 39 ARPAbet phones
    without stress (upper case). Punctuation gives no phone. Each digit, letter of another script and Han character
    without a reading gives one `<unk>`, so text must be normalised first. Capitals mark acronyms, except in an English
    line that is all capitals.

    >>> Phonemizer()("用 Python")
    ['iong4', 'P', 'AY', 'TH', 'AA', 'N']
    >>> Phonemizer("zh_en_yue")("我哋", "yue")
    ['y_ng', 'y_o5', 'y_d', 'y_ei6']

    Raises:
        ValueError: unknown inventory, or see `Pronunciations`.
    """

    def __init__(self, inventory: str = "zh_en"):
        if inventory not in INVENTORIES and not Path(inventory).is_file():
            raise ValueError(f"unknown phone inventory '{inventory}': choose {', '.join(INVENTORIES)}, or a file")
        self.inventory = inventory
        self.table = None if inventory in INVENTORIES else Pronunciations(inventory)
        self._named = "shared_ipa" if self.table else inventory
        self.english = English()
        self._spell = IPA() if INVENTORIES[self._named].ipa else tuple
        self.tokens = read_tokens(self._named)  # `<blank>` has index 0 and `<unk>` index 1
        self.tokens += [symbol for symbol in self.table.symbols if symbol not in self.tokens] if self.table else []
        self._words: Dict[str, Phones] = {}
        self._readers: Dict[str, HanReader] = {}

    def __reduce__(self):
        """Pickles only the name of the inventory; another process reads the tables from their files."""
        return type(self), (self.inventory,)

    def __call__(self, text: str, lang: str = "") -> List[str]:
        """Phones of one line; empty for a line without letters.

        Args:
            lang: value of utt2lang. Han characters are read as Cantonese for "yue", as Mandarin for "zh",
                "zh-<dialect>", "zh-en", "en" and ""; with a table it reads all lines of other languages and of "".

        Raises:
            ValueError: a language without phones, or without phones in this inventory.
        """
        if self.table and (not lang or lang.partition("-")[0] not in HAN_TABLES):
            return self.table(text)
        han = self._readers.get(lang) or self.han(lang)
        phones = self._plain(text, han)
        return self._mixed(text, han) if phones is None else phones

    def han(self, lang: str) -> HanReader:
        """The reader of Han characters in a language; loaded at the first call. Raises: see `han_table`."""
        table = han_table(lang, self._named)
        if table not in self._readers:
            self._readers[table] = HanReader(table, self._spell, UNKNOWN)
        self._readers[lang] = self._readers[table]
        return self._readers[lang]

    def _plain(self, text: str, han: HanReader) -> Optional[List[str]]:
        """A fast `_mixed` for a run of Han characters, or for known words between blanks; None for other lines."""
        if not text.isascii():
            return han(text) if _HAN_RUN.fullmatch(text) else None
        words = text.split()
        if text.isupper() or "a" in words and not _only_articles(words):
            return None
        try:
            return list(chain.from_iterable(map(self._words.__getitem__, words)))
        except KeyError:
            return None

    def _mixed(self, text: str, han: HanReader) -> List[str]:
        pieces = list(_PIECE.finditer(self._clean(text)))
        phones: List[str] = []
        for piece, following in zip(pieces, [*pieces[1:], None]):
            phones += han(piece["han"]) if piece["han"] else self._read(piece, following)
        return phones

    @staticmethod
    def _clean(text: str) -> str:
        text = _ACCENTED.sub(_without_accent, to_half_width(text))
        all_capitals = text.isupper() and text.isascii() and len(text.split()) > 1
        return text.lower() if all_capitals else text

    def _read(self, piece: "re.Match", following: Optional["re.Match"]) -> Phones:
        if piece["other"]:
            return (UNKNOWN,)
        letters = piece[0].strip("'")
        if letters in ("a", "A"):
            return self._word("a") if _is_word(following) else self._spell(self.english.spell(letters))
        return self._spell(self.english.spell(letters)) if piece["dotted"] else self._word(piece[0])

    def _word(self, word: str) -> Phones:
        if word not in self._words:
            if len(self._words) >= WORDS_KEPT:
                self._words.clear()
            self._words[word] = self._spell(self.english(word))
        return self._words[word]


def _only_articles(words: List[str]) -> bool:
    """True if a word of two letters or more follows each "a"."""
    return all(len(following) > 1 for word, following in zip(words, [*words[1:], ""]) if word == "a")


def _is_word(piece: Optional["re.Match"]) -> bool:
    """True for an English word of two letters or more: "a" before it is the article, otherwise the letter."""
    return piece is not None and piece["word"] is not None and len(piece[0]) > 1


class Characters:
    """Text -> characters of its canonical form, `<space>` between two Latin words; the paper's ablation.

    Raises:
        ValueError: the list does not begin with `<blank> <unk>`, names a token twice, or holds a longer token.
    """

    def __init__(self, tokens: Sequence[str]):
        special = (BLANK, UNKNOWN, SPACE)
        if list(tokens[:2]) != [BLANK, UNKNOWN] or len(set(tokens)) != len(tokens):
            raise ValueError(f"a character list must begin with {BLANK} {UNKNOWN} and hold each token once")
        longer = [token for token in tokens if len(token) != 1 and token not in special]
        if longer:
            raise ValueError(f"'{longer[0]}' is not one character: is this the token list of phones?")
        self.tokens, self._known = list(tokens), frozenset(tokens)

    @classmethod
    def from_text(cls, lines: Iterable[str]) -> "Characters":
        """The characters of a corpus in code point order."""
        characters = {character for line in lines for character in normalize(line)}
        return cls([BLANK, UNKNOWN, *sorted(SPACE if c == " " else c for c in characters)])

    def __call__(self, text: str, lang: str = "") -> List[str]:
        """ "好 it is" -> ["好", "i", "t", "<space>", "i", "s"]; a character outside the list gives `<unk>`.

        The language has no effect; it gives `Characters` and `Phonemizer` the same signature.
        """
        labels = (SPACE if c == " " else c for c in normalize(text))
        return [label if label in self._known else UNKNOWN for label in labels]


def make_labelizer(unit: str, lines: Iterable[str] = (), inventory: str = "zh_en") -> Union[Phonemizer, Characters]:
    """(line, language) -> labels, for the unit "phone" (an inventory) or "char" (the characters of `lines`).

    Raises:
        ValueError: unknown unit, or see `Phonemizer`.
    """
    if unit == "phone":
        return Phonemizer(inventory)
    if unit == "char":
        return Characters.from_text(lines)
    raise ValueError(f"unknown unit '{unit}': choose phone or char")


def min_frames(labels: Sequence[str]) -> int:
    """Number of encoder frames that CTC needs: one per label, and a blank between two equal neighbours."""
    return len(labels) + sum(map(eq, labels, labels[1:]))
