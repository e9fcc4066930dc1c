"""Reads English words as ARPAbet phones without stress: the CMU dictionary, then spelling, then g2p_en's network."""

import re
import sys
from typing import TYPE_CHECKING, Dict, Optional, Tuple

from espnet_llmasr.text.han import read_gz

if TYPE_CHECKING:
    from espnet_llmasr.text.spelling import SpellingNetwork

Phones = Tuple[str, ...]

GUESSES_KEPT = 200_000  # words whose guessed phones are remembered, about 40 MB; the memory is emptied when it is full

# Two capitals are an acronym (IT, US, UP, AI), but these are words in capitals too.
TWO_LETTER_WORDS = frozenset("AH AM AN AS AT BE BY DO GO HE HI IF IN IS ME MY NO OF OH ON OR SO TO UH UM WE".split())
# Words for which the dictionary gives the rarer reading first, and common words that it lacks.
CORRECTIONS = {
    **{"live": "L IH V", "lead": "L IY D", "wind": "W IH N D", "record": "R EH K ER D", "perfect": "P ER F IH K T"},
    **{"subject": "S AH B JH IH K T", "vegan": "V IY G AH N", "uber": "UW B ER", "youtube": "Y UW T UW B"},
    **{"covid": "K OW V IH D", "ebitda": "IY B IH T D AH", "wifi": "W AY F AY", "airbnb": "EH R B IY AH N B IY"},
}
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+")
_PLURAL_ACRONYM = re.compile(r"([A-Z]{2,})'?s")


def read_cmudict() -> Dict[str, Phones]:
    """First reading of every word of the frozen CMU dictionary (local/tables/english.py), in the dictionary's order."""
    return {word: tuple(map(sys.intern, phones.split())) for word, phones in read_gz("en_words.tsv.gz")}


def strip_stress(phone: str) -> str:
    return sys.intern(phone.rstrip("012"))


class English:
    """Phones of one word. The dictionary is loaded at the first word.

    The network (2 ms a word) is loaded at the first word that neither the dictionary nor a spelling rule covers.
    """

    def __init__(self):
        self._cmudict: Optional[Dict[str, Phones]] = None
        self._network: Optional["SpellingNetwork"] = None
        self._guesses: Dict[str, Phones] = {}

    @property
    def cmudict(self) -> Dict[str, Phones]:
        if self._cmudict is None:
            self._cmudict = read_cmudict()
            self._cmudict.update((word, tuple(phones.split())) for word, phones in CORRECTIONS.items())
        return self._cmudict

    def __call__(self, word: str) -> Phones:
        """Phones of a word of ASCII letters and apostrophes; capitals mark acronyms ("GPU", "ChatGPT", "PDFs")."""
        bare = word.strip("'")
        if re.fullmatch("[A-Z]{2}", bare) and bare not in TWO_LETTER_WORDS:
            return self.spell(bare)
        return self._look_up(word) or self._capitals(bare) or self._possessive(bare) or self._guess(bare.lower())

    def spell(self, letters: str) -> Phones:
        """Letter names: "ktv" -> K EY T IY V IY."""
        return tuple(phone for letter in letters.lower() if letter.isalpha() for phone in self._letter(letter))

    def _letter(self, letter: str) -> Phones:
        return ("EY",) if letter == "a" else self.cmudict[letter]

    def _look_up(self, word: str) -> Optional[Phones]:
        lower = word.lower()
        return self.cmudict.get(lower) or self.cmudict.get(lower.strip("'"))

    def _capitals(self, word: str) -> Optional[Phones]:
        if word.isupper() and "'" not in word:
            return self.spell(word)
        plural = _PLURAL_ACRONYM.fullmatch(word)
        if plural:
            return self._with_s(self(plural[1]))
        parts = _CAMEL.findall(word)
        if len(parts) > 1 and "".join(parts) == word:
            return tuple(phone for part in parts for phone in self(part))
        return None

    def _possessive(self, word: str) -> Optional[Phones]:
        return self._with_s(self(word[:-2])) if len(word) > 2 and word.lower().endswith("'s") else None

    @staticmethod
    def _with_s(phones: Phones) -> Phones:
        if phones[-1] in ("S", "Z", "SH", "ZH", "CH", "JH"):
            return phones + ("AH", "Z")
        return phones + (("S",) if phones[-1] in ("P", "T", "K", "F", "TH") else ("Z",))

    def _guess(self, word: str) -> Phones:
        """A word without a vowel letter is spelled, any other goes through the network."""
        if not re.search("[aeiouy]", word):
            return self.spell(word)
        if word not in self._guesses:
            if len(self._guesses) >= GUESSES_KEPT:
                self._guesses.clear()
            self._guesses[word] = self._predict(word) or self.spell(word)
        return self._guesses[word]

    def _predict(self, word: str) -> Phones:
        if self._network is None:
            from espnet_llmasr.text.spelling import SpellingNetwork  # imports numpy, which takes a while

            self._network = SpellingNetwork()
        return tuple(strip_stress(phone) for phone in self._network.predict(word) if not phone.startswith("<"))
