"""A transcript as the labels of a CTC head, whatever unit the head was trained with."""

import logging
import re
from importlib.util import find_spec
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

from espnet_llmasr.text.inventories import INVENTORIES, read_tokens
from espnet_llmasr.text.normalize import HAN, normalize, to_half_width
from espnet_llmasr.text.numerals import needs_words
from espnet_llmasr.text.phonemes import SPACE, UNKNOWN, Characters, Phonemizer
from espnet_llmasr.text.transcript import Transcript

_WORD = re.compile(rf"[{HAN}]|[^\s{HAN}]+")


class Labels(NamedTuple):
    """`ids` of a line's labels without those that the head has no token for, of which there are `unknown`.

    `words`: a Han character or a Latin word each, with its range [begin, end) in `ids`. Empty where the phones of the
    line are not those of its words in turn, or where some are unknown.
    """

    ids: List[int]
    unknown: int
    words: List[Tuple[str, int, int]]


class Labeller:
    """(text, value of utt2lang or "") -> Labels, for the token list that stands in the head's configuration.

    Digits and symbols are written out, and capitals and pauses are heard as when the head's own labels were made.
    Without WeTextProcessing digits stay and are unknown labels, without OpenCC traditional characters are read as they
    stand: a transcript may hold any, and that must not end a decoding.

    Raises:
        ValueError: at the start, tokens of no unit that we know; at a call, a language without phones.
    """

    def __init__(self, tokens: Sequence[str]):
        self.units = units_of(tokens)
        self.ids = {token: number for number, token in enumerate(tokens)}
        self.transcript = Transcript("plain")
        self.found: Dict[str, bool] = {}

    def __call__(self, text: str, lang: str = "") -> Labels:
        plain, spoken = self._written_out(text, lang)
        labels = self.units(spoken or plain, lang)
        known = [self.ids[label] for label in labels if label != UNKNOWN]
        words = self._words(labels, spoken or plain, lang) if len(known) == len(labels) else []
        return Labels(known, len(labels) - len(known), words)

    def _written_out(self, text: str, lang: str) -> Tuple[str, str]:
        if needs_words(to_half_width(text)) and not self._has("tn", "digits are not supported", "WeTextProcessing"):
            return normalize(text), ""
        if lang.startswith("zh") and not text.isascii():
            lang = lang if self._has("opencc", "traditional characters are read as they stand", "OpenCC") else ""
        return self.transcript(text, lang)

    def _has(self, module: str, loss: str, package: str) -> bool:
        """Asked for only where it matters, and remembered, so that who has no use for the package reads no warning."""
        if module not in self.found:
            self.found[module] = find_spec(module) is not None
            if not self.found[module]:
                logging.warning("in the guard's transcripts %s: pip install %s", loss, package)
        return self.found[module]

    def _words(self, labels: List[str], line: str, lang: str) -> List[Tuple[str, int, int]]:
        words, end = [], 0
        for word in _WORD.findall(line):
            begin = end + (labels[end : end + 1] == [SPACE])
            end = begin + len(self.units(word, lang))
            if end > begin:
                words.append((word, begin, end))
        return words if end == len(labels) else []


def units_of(tokens: Sequence[str]) -> Union[Phonemizer, Characters]:
    """The units whose token list this is.

    Raises:
        ValueError: neither a phone inventory of this version nor characters.
    """
    for name in INVENTORIES:
        if list(tokens) == read_tokens(name):
            return Phonemizer(name)
    try:
        return Characters(tokens)
    except ValueError as error:
        raise ValueError(
            f"the CTC head has {len(tokens)} tokens, which are neither a phone inventory ({', '.join(INVENTORIES)}) "
            f"nor characters ({error}): make its labels by stage 2 and fit it again (stages 5 and 10)"
        ) from error
