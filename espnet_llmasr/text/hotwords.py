"""Hotwords by their pronunciation: which entries of a list occur in the labels of an utterance.

All entries stand in one Aho-Corasick automaton over phones (section on hotword retrieval of arXiv 2604.18105), so the
time for an utterance does not depend on the number of entries.
"""

import logging
from typing import Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from espnet_llmasr.files import PathLike, read_text
from espnet_llmasr.text.ctc_labels import Labels

MIN_LABELS = 3  # shorter entries occur by chance in most utterances


class Match(NamedTuple):
    """Entries that sound the same, and their place [start, end) among the labels of an utterance."""

    words: Tuple[str, ...]
    start: int
    end: int


class Hotwords:
    """Entries of a list by their labels.

    Entries of less than `MIN_LABELS` labels, or with labels that the CTC head does not have, are left out and counted
    in the log.

    Args:
        words: the entries, as they are to be written.
        labelize: (text, language) -> labels, a `CTCLabelizer` of the CTC head.
        lang: language of the entries (value of utt2lang), "yue" for Cantonese.
    Raises:
        ValueError: no entry is left, or pyahocorasick is not installed.
    """

    def __init__(self, words: Iterable[str], labelize: Callable[[str, str], Labels], lang: str = ""):
        try:
            from ahocorasick import Automaton
        except ImportError as error:
            raise ValueError("hotwords need the package pyahocorasick: pip install pyahocorasick") from error
        self.automaton, left_out = Automaton(), []
        for word in dict.fromkeys(words):
            labels = labelize(word, lang)
            if labels.unknown or len(labels.ids) < MIN_LABELS:
                left_out.append(word)
                continue
            key = _key(labels.ids)
            _, same = self.automaton.get(key, (0, ()))
            self.automaton.add_word(key, (len(key), (*same, word)))
        if left_out:
            reason = f"fewer than {MIN_LABELS} phones or without phones"
            logging.warning("%d hotwords are left out (%s), the first is '%s'", len(left_out), reason, left_out[0])
        if not len(self.automaton):
            raise ValueError(f"no hotword has at least {MIN_LABELS} phones of the CTC head: give longer words or names")
        self.automaton.make_automaton()

    def __len__(self) -> int:
        """The number of different pronunciations."""
        return len(self.automaton)

    def find(self, labels: Sequence[int]) -> List[Match]:
        """The longest matches in label ids (n,), by their starts; see `longest`."""
        found = self.automaton.iter(_key(labels))
        return longest(Match(words, last + 1 - length, last + 1) for last, (length, words) in found)


def longest(matches: Iterable[Match]) -> List[Match]:
    """The matches that no longer one covers: "New York Times" drops "York" within it."""
    kept: List[Match] = []
    for match in sorted(matches, key=lambda match: (match.start, -match.end)):
        if not kept or match.end > kept[-1].end:
            kept.append(match)
    return kept


def read_hotwords(path: PathLike) -> List[str]:
    """The entries of a list, one a line; blank lines and repeated entries are skipped.

    Raises:
        ValueError: no such file, no UTF-8 text, or no entry.
    """
    lines: Dict[str, None] = dict.fromkeys(" ".join(line.split()) for line in read_text(path, "utf-8-sig").splitlines())
    words = [line for line in lines if line]
    if not words:
        raise ValueError(f"{path} has no hotwords: write one a line")
    return words


def _key(labels: Sequence[int]) -> str:
    """Label ids as a string, which is what the automaton takes."""
    return "".join(map(chr, labels))
