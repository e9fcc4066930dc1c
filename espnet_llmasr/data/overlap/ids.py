"""The id under which an utterance was published, so that two directories of the same corpus can be compared."""

from typing import Dict, Sequence, Tuple

RELATED = {"wsc_eval": "wenetspeech_chuan", "wsyue_eval": "wenetspeech_yue"}
"""Benchmarks that were cut from the same recordings as a training corpus, and named like them."""


def published(key: str, corpora: Sequence[str]) -> Tuple[str, str]:
    """(corpus, id in it) of one of our ids, PREFIX_speaker-rest or PREFIX_rest; an unknown prefix stays in the id.

    "-" and "_" count as equal, because the id of an utterance without a speaker holds no "-".

    >>> published("wsc_eval_a-1", ("wsc_eval", "wsc"))
    ('wenetspeech_chuan', 'a_1')
    """
    known = [corpus for corpus in corpora if key.startswith(f"{corpus}_")]
    corpus = max(known, key=len, default="")
    rest = key[len(corpus) + 1 :] if corpus else key
    return RELATED.get(corpus, corpus), rest.replace("-", "_")


class IdIndex:
    """Test utterances by published id."""

    def __init__(self, corpora: Sequence[str]):
        self.corpora = tuple(corpora)
        self._numbers: Dict[Tuple[str, str], list] = {}

    def add(self, key: str, number: int) -> None:
        self._numbers.setdefault(published(key, self.corpora), []).append(number)

    def find(self, key: str) -> Sequence[int]:
        """Numbers of the test utterances that were published under the same id."""
        return self._numbers.get(published(key, self.corpora), ())
