"""Phones of any language, by a table of its spellings in IPA that a user gives."""

from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from espnet_llmasr.files import PathLike, read_text
from espnet_llmasr.text.han import Phones
from espnet_llmasr.text.normalize import normalize, to_half_width

MOST_SYMBOLS = 500  # with more, the symbols of a word are probably not separated
WORDS_KEPT = 200_000  # words whose phones are remembered
FROM_KEYBOARD = str.maketrans({"g": "ɡ", ":": "ː"})  # look like IPA, and are other characters
UNKNOWN: Phones = ("<unk>",)
RESERVED = {"<blank>", *UNKNOWN}
FORM = "expected a spelling, a tab, and IPA symbols with blanks between them"


class Pronunciations:
    """Words -> symbols by a table with the columns spelling and IPA symbols; lines that begin with `#` are comments.

    A spelling is a word, or letters with hyphens where other letters may stand: `-ch-` counts anywhere, `h-` at the
    beginning of a word only and `-e` at its end only. A word without a row of its own is read from left to right, each
    time by the row with the most letters. Of several rows for one spelling the first counts. Letters without a sound
    have no symbols (and no tab). A letter that no row has gives `<unk>`. An apostrophe parts a word, unless letters of the
    table have one (`-k'-`).

    >>> table = Pronunciations("es.tsv")  # rows: hola o l a | -c- k | -ch- t͡ʃ | -h- | -o- o
    >>> table("Choco, ¡hola!")
    ['t͡ʃ', 'o', 'k', 'o', 'o', 'l', 'a']

    Raises:
        ValueError: no such file, a line of another form, or not 1 to 500 symbols in all.
    """

    def __init__(self, file: PathLike):
        self.rows: Dict[str, Phones] = {}
        self.several_words: List[str] = []
        """Spellings of several words, which are not used."""
        for number, line in enumerate(read_text(file, "utf-8-sig").splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                self._add(line, f"{file}, line {number}")
        self.symbols = sorted({symbol for phones in self.rows.values() for symbol in phones})
        if not 1 <= len(self.symbols) <= MOST_SYMBOLS:
            found = f"{file} has {len(self.symbols)} different symbols, allowed are 1 to {MOST_SYMBOLS}"
            raise ValueError(f"{found}: in each line is {FORM}")
        self.longest = max(map(len, self.rows))
        self.silent_apostrophe = not any("'" in key for key in self.rows if "-" in key)
        self.word = lru_cache(WORDS_KEPT)(self._word)

    def _add(self, line: str, where: str) -> None:
        spelling, tab, symbols = (part.strip(" ") for part in line.partition("\t"))
        phones = tuple(symbols.translate(FROM_KEYBOARD).split(" ")) if symbols else ()
        word = _normal_part(spelling.strip("-")) if "-" in (spelling[:1], spelling[-1:]) else normalize(spelling)
        first, last = "-" * spelling.startswith("-"), "-" * spelling.endswith("-")
        is_row = tab or ((first or last) and " " not in spelling)  # letters without a sound need no tab
        if not is_row or not word or any(phone.split() != [phone] or phone in RESERVED for phone in phones):
            raise ValueError(f"{where} is '{line}', {FORM}")
        if " " in word:
            self.several_words.append(spelling)
        else:
            self.rows.setdefault(f"{first}{word}{last}", phones)

    def __call__(self, text: str) -> List[str]:
        """Symbols of a line; empty for a line without letters."""
        return [symbol for word in normalize(text).split() for symbol in self.word(word)]

    def _word(self, word: str) -> Phones:
        if word in self.rows:
            return self.rows[word]
        parts = [part for part in word.split("'") if part]
        if len(parts) > 1 and self.silent_apostrophe:
            return tuple(symbol for part in parts for symbol in self._word(part))
        return tuple(symbol for phones in self._letters(word) for symbol in phones)

    def _letters(self, word: str) -> Iterator[Phones]:
        begin = 0
        while begin < len(word):
            begin, phones = self._longest(word, begin)
            yield phones

    def _longest(self, word: str, begin: int) -> Tuple[int, Phones]:
        """The end and the symbols of the row with the most letters there; at an end of the word its row comes first."""
        for end in range(min(len(word), begin + self.longest), begin, -1):
            letters = word[begin:end]
            keys = [f"{letters}-"] * (begin == 0) + [f"-{letters}"] * (end == len(word)) + [f"-{letters}-"]
            for key in keys:
                if key in self.rows:
                    return end, self.rows[key]
        return begin + 1, () if word[begin] == "'" else UNKNOWN


def _normal_part(part: str) -> str:
    """`normalize`, which would take an apostrophe at an end for a quotation mark."""
    part = to_half_width(part)
    return "'" * part.startswith("'") + normalize(part) + "'" * (part.endswith("'") and len(part) > 1)


def beside(tokens: Path) -> Path:
    """Where stage 2 keeps the table from which it made a token list: phones.tsv beside phones.txt."""
    return tokens.with_suffix(".tsv")
