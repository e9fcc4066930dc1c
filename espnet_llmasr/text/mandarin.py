"""Reads Han characters as phones with two frozen tables (made by local/build_tables.py), by forward maximum match."""

import gzip
import unicodedata
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

TABLES = Path(__file__).with_name("tables")
Phones = Tuple[str, ...]


def read_gz(name: str) -> List[List[str]]:
    """Rows of a gzipped TSV under tables/."""
    with gzip.open(TABLES / name, "rt", encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\n").split("\t") for line in lines]


class Mandarin:
    """Phones of a run of Han characters: the longest known phrase first, single characters otherwise.

    A character without a reading gives `unknown`. Phrases whose reading equals that of their characters are in the
    table without a reading: they decide where the next phrase may start.
    """

    def __init__(self, unknown: str = "<unk>"):
        self.unknown = (unknown,)
        self.syllables: Dict[str, Phones] = {}
        self.characters: Dict[str, Phones] = {}
        for syllable, phones, characters in read_gz("zh_characters.tsv.gz"):
            self.syllables[syllable] = tuple(phones.split())
            self.characters.update(dict.fromkeys(characters, self.syllables[syllable]))
        self.phrases = {row[0]: row[1] if len(row) == 2 else "" for row in read_gz("zh_phrases.tsv.gz")}
        self.lengths = self._lengths()
        self.memo: Dict[str, Phones] = {}

    def _lengths(self) -> Dict[str, List[int]]:
        """First two characters of a phrase -> the lengths that phrases with this start have, longest first."""
        lengths: Dict[str, set] = {}
        for phrase in self.phrases:
            lengths.setdefault(phrase[:2], set()).add(len(phrase))
        return {start: sorted(found, reverse=True) for start, found in lengths.items()}

    def __call__(self, run: str) -> List[str]:
        """ "银行行长" -> ["in2", "h", "ang2", "h", "ang2", "zh", "ang3"]."""
        phones: List[str] = []
        for word in self.words(run):
            phones.extend(self.memo.get(word) or self._read(word))
        return phones

    def words(self, run: str) -> Iterator[str]:
        """Cuts a run into phrases and single characters from left to right."""
        start = 0
        while start < len(run):
            length = self._match(run, start)
            yield run[start : start + length]
            start += length

    def _match(self, run: str, start: int) -> int:
        for length in self.lengths.get(run[start : start + 2], ()):
            if run[start : start + length] in self.phrases:
                return length
        return 1

    def _read(self, word: str) -> Phones:
        syllables = self.phrases.get(word, "").split()
        parts = [self.syllables[s] for s in syllables] if syllables else [self._character(c) for c in word]
        self.memo[word] = tuple(phone for part in parts for phone in part)
        return self.memo[word]

    def _character(self, character: str) -> Phones:
        unified = unicodedata.normalize("NFC", character)
        return self.characters.get(character) or self.characters.get(unified) or self.unknown
