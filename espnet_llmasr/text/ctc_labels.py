"""A transcript as the labels of a CTC head: phones of an inventory, or characters."""

import logging
import re
from importlib.util import find_spec
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from espnet_llmasr.files import PathLike
from espnet_llmasr.text.inventories import INVENTORIES, read_tokens
from espnet_llmasr.text.markup import Unclean
from espnet_llmasr.text.normalize import HAN, normalize, to_half_width
from espnet_llmasr.text.numerals import needs_words
from espnet_llmasr.text.phonemes import SPACE, UNKNOWN, Characters, Phonemizer
from espnet_llmasr.text.transcript import Transcript

WORD = re.compile(rf"[{HAN}]|[^\s{HAN}]+")


class Labels(NamedTuple):
    """`ids` of the labels of a line, without the `unknown` labels that have no token.

    `words`: each Han character or Latin word with its range [begin, end) in `ids`. It is empty if the labels of the
    line are not those of its words in turn, or if some are unknown.
    """

    ids: List[int]
    unknown: int
    words: List[Tuple[str, int, int]]


class CTCLabelizer:
    """(text, value of utt2lang or "") -> Labels, for the token list in the configuration of a CTC head.

    `table` is the table of pronunciations (a file) that the tokens were made from, if one was.

    The text becomes labels as in the data preparation: digits and symbols are written out, and capitals and pauses are
    taken into account. Without WeTextProcessing digits become unknown labels, and without OpenCC traditional characters
    are not converted. A transcript may contain either, and a missing package must not end a decoding.

    Raises:
        ValueError: at the start, tokens of no known kind of labels; at a call, a language without phones.
    """

    def __init__(self, tokens: Sequence[str], table: Optional[PathLike] = None):
        self.labelize, self.has_table = find_labelizer(tokens, table), bool(table)
        self.ids = {token: number for number, token in enumerate(tokens)}
        self.transcript = Transcript("plain")
        self.installed: Dict[str, bool] = {}

    def __call__(self, text: str, lang: str = "") -> Labels:
        plain, pronunciation = self._written_out(text, lang)
        line = pronunciation or plain
        labels = self.labelize(line, lang)
        known = [self.ids[label] for label in labels if label != UNKNOWN]
        words = self._words(labels, line, lang) if len(known) == len(labels) else []
        return Labels(known, len(labels) - len(known), words)

    def _written_out(self, text: str, lang: str) -> Tuple[str, str]:
        if self.has_table and not lang:  # the language of the table, whose numbers have no rules
            return normalize(text), ""
        if needs_words(to_half_width(text)) and not self._has("tn", "digits are not supported", "WeTextProcessing"):
            return normalize(text), ""
        if lang.startswith("zh") and not text.isascii():
            lang = lang if self._has("opencc", "traditional characters are not converted", "OpenCC") else ""
        try:
            return self.transcript(text, lang)
        except Unclean:  # a model can write anything
            return normalize(text), ""

    def _has(self, module: str, loss: str, package: str) -> bool:
        """True if the package is installed. The first question for a missing package logs a warning."""
        if module not in self.installed:
            self.installed[module] = find_spec(module) is not None
            if not self.installed[module]:
                logging.warning("in the guard's transcripts %s: pip install %s", loss, package)
        return self.installed[module]

    def _words(self, labels: List[str], line: str, lang: str) -> List[Tuple[str, int, int]]:
        words, end = [], 0
        for word in WORD.findall(line):
            begin = end + (labels[end : end + 1] == [SPACE])
            end = begin + len(self.labelize(word, lang))
            if end > begin:
                words.append((word, begin, end))
        return words if end == len(labels) else []


def find_labelizer(tokens: Sequence[str], table: Optional[PathLike] = None) -> Union[Phonemizer, Characters]:
    """The labelizer whose token list this is; `table`: see `CTCLabelizer`.

    Raises:
        ValueError: neither a phone inventory of this version, nor that of the table, nor characters.
    """
    if table:
        labelizer = Phonemizer(str(table))
        if labelizer.tokens == list(tokens):
            return labelizer
        raise ValueError(f"the CTC head has other tokens than {table} gives: restore the table it was trained with")
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
