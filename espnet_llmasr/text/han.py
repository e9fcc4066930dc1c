"""Reads Han characters as phones by forward maximum match in two frozen tables of a language (see local/tables)."""

import gzip
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Iterator, List, Sequence, Tuple

TABLES = Path(__file__).with_name("tables")
Phones = Tuple[str, ...]

# Tone sandhi of 一 and 不: phone with an open tone in the Mandarin table -> its tone before each tone of the next
# syllable ("" at the end of the run). What keeps its own tone (第一, 十一, 统一, 对不起) is in the table with that tone.
SANDHI = {
    "i*": {"1": "4", "2": "4", "3": "4", "4": "2", "5": "1", "": "1"},
    "u*": {"1": "4", "2": "4", "3": "4", "4": "2", "5": "4", "": "4"},
}
OPEN = frozenset("一不")


def read_gz(name: str) -> Iterator[List[str]]:
    """Rows of a gzipped TSV under tables/."""
    with gzip.open(TABLES / name, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield line.rstrip("\n").split("\t")


@lru_cache(None)
def inner_pairs(language: str) -> FrozenSet[str]:
    """The pairs of neighbours within phrases: punctuation can change the phones only inside such a pair."""
    phrases = [row[0] for row in read_gz(f"{language}_phrases.tsv.gz")]
    return frozenset(first + second for phrase in phrases for first, second in zip(phrase, phrase[1:]))


class HanReader:
    """Phones of a run of Han characters: the longest known phrase first, otherwise a single character.

    A character without a reading gives `unknown`. Phrases with the same reading as their characters are in the table
    without a reading, because they decide where the next phrase may start.

    Args:
        language: first part of the tables' names: "zh" (Mandarin) or "yue" (Cantonese).
        spell: turns the phones of one syllable in the table into those of another inventory.
    """

    def __init__(self, language: str, spell: Callable[[Sequence[str]], Phones] = tuple, unknown: str = "<unk>"):
        self.unknown = (unknown,)
        self.syllables: Dict[str, Phones] = {}
        self.characters: Dict[str, Phones] = {}
        self.open: Dict[str, Dict[str, str]] = {}  # phone with an open tone -> its phone before each tone
        self.tones: Dict[str, str] = {"i*": "1", "u*": "4"}  # phone that carries a tone -> the tone
        for syllable, phones, characters in read_gz(f"{language}_characters.tsv.gz"):
            self.syllables[syllable] = self._syllable(phones.split(), spell)
            self.characters.update(dict.fromkeys(characters, self.syllables[syllable]))
        self.phrases = {row[0]: self._phrase(*row) for row in read_gz(f"{language}_phrases.tsv.gz")}
        self.lengths = self._lengths()

    def _syllable(self, phones: List[str], spell: Callable[[Sequence[str]], Phones]) -> Phones:
        """Spells the phones of a syllable, and keeps what the sandhi needs to know of them."""
        *initial, final = phones
        if final in SANDHI:
            in_tone = {tone: spell([*initial, final[:-1] + tone]) for tone in "124"}
            self.open[final] = {following: in_tone[tone][-1] for following, tone in SANDHI[final].items()}
            return (*in_tone["4"][:-1], final)
        spelled = spell(phones)
        if final[-1].isdigit():
            neutral = spell([*initial, final[:-1] + ("1" if final[-1] == "5" else "5")])
            self.tones.update((phone, final[-1]) for phone in spelled if phone not in neutral)
        return spelled

    def _phrase(self, phrase: str, syllables: str = "") -> Phones:
        parts = map(self.syllables.__getitem__, syllables.split()) if syllables else map(self._character, phrase)
        return tuple(phone for part in parts for phone in part)

    def _lengths(self) -> Dict[str, Tuple[int, ...]]:
        """First two characters of a phrase -> the lengths that phrases with this start have, longest first."""
        lengths: Dict[str, Tuple[int, ...]] = {}
        for length in sorted({len(phrase) for phrase in self.phrases}, reverse=True):
            for start in {phrase[:2] for phrase in self.phrases if len(phrase) == length}:
                lengths[start] = (*lengths.get(start, ()), length)
        return lengths

    def __call__(self, run: str) -> List[str]:
        """ "银行行长" -> ["in2", "h", "ang2", "h", "ang2", "zh", "ang3"]."""
        phones: List[str] = []
        phrases, lengths, start = self.phrases, self.lengths, 0
        while start < len(run):
            for length in lengths.get(run[start : start + 2], ()):
                reading = phrases.get(run[start : start + length])
                if reading is not None:
                    break
            else:
                length, reading = 1, self._character(run[start])
            phones += reading
            start += length
        return self._with_sandhi(phones) if self.open and not OPEN.isdisjoint(run) else phones

    def _with_sandhi(self, phones: List[str]) -> List[str]:
        """The phones with the open tones filled in; these are the last phones of their syllables."""
        for index in [index for index, phone in enumerate(phones) if phone in self.open]:
            tones = (self.tones[phone] for phone in phones[index + 1 : index + 5] if phone in self.tones)
            phones[index] = self.open[phones[index]][next(tones, "")]
        return phones

    def _character(self, character: str) -> Phones:
        reading = self.characters.get(character)
        return reading or self.characters.get(unicodedata.normalize("NFC", character)) or self.unknown
