"""The utterances that are compared, their fingerprints, and the test sets, found by id, text and audio."""

from collections import Counter, defaultdict
from hashlib import blake2b
from pathlib import Path
from typing import IO, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_llmasr import audio
from espnet_llmasr.data.kaldi import read_complete
from espnet_llmasr.data.overlap.audio_index import FEWEST, AudioIndex
from espnet_llmasr.data.overlap.fingerprint import LAG, STEP, Fingerprint, fingerprint
from espnet_llmasr.data.overlap.text_index import TextIndex
from espnet_llmasr.data.utterance import Utterance

NEEDED = ("text", "utt2dur")  # tables of the directories that are compared, beside that of the audio
NOTHING = np.zeros(0, np.float32)
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


class Overlap(NamedTuple):
    kind: str
    """id, audio, text, or short: an equal text that is too short to mean much."""
    tests: Sequence[int]
    """Numbers of test utterances, equal to each other in what was compared."""
    score: float


class AudioKeys(NamedTuple):
    """The keys by which equal audio is found."""

    fingerprint: Fingerprint
    digest: bytes
    """Hash of the samples as 16-bit numbers: finds copies that are too short for a fingerprint."""


def digest_of(samples: np.ndarray) -> bytes:
    """Empty for silence: all silence of one length is the same."""
    numbers = np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2")
    return blake2b(numbers.tobytes(), digest_size=16).digest() if numbers.any() else b""


class FingerprintReader:
    """Reads audio and makes fingerprints; counts audio that cannot be compared, names audio that cannot be read."""

    COUNTED = ("hours_heard", "unreadable", "too_short_or_silent")

    def __init__(self, log: IO[str]):
        self._log, self._counts = log, Counter()

    def read(self, directory: Path, utterance: Utterance, step: int) -> AudioKeys:
        """The fingerprint and the digest; empty ones if the audio cannot be read."""
        samples, rate = NOTHING, 16000
        try:
            samples, rate = audio.read_at_own_rate(utterance.audio)
        except audio.AudioError as error:
            self._log.write(f"{directory} {utterance.id} {error.reason}\n")
            self._counts["unreadable"] += 1
        self._counts["seconds"] += len(samples) / rate
        prints = fingerprint(samples, rate, step)
        if len(samples) and np.count_nonzero(prints.valid) * step < FEWEST * LAG:
            self._counts["too_short_or_silent"] += 1
        return AudioKeys(prints, digest_of(samples))

    def restart(self) -> Dict[str, float]:
        """The counts since the last restart, by the names in COUNTED."""
        counts, self._counts = self._counts, Counter()
        return dict(zip(self.COUNTED, (round(counts["seconds"] / 3600, 6), *(counts[n] for n in self.COUNTED[1:]))))


class TestSets:
    """The utterances of the test sets by number; finds those that a training utterance overlaps by id, text or audio."""

    __test__ = False  # no test of pytest

    def __init__(self, directories: Sequence[Path], corpora: Sequence[str], reader: Optional[FingerprintReader]):
        """Without a `reader` audio is not compared."""
        self.directories, self.reader = directories, reader
        self.names: List[str] = []
        self.set_of: List[int] = []
        self.seconds: List[float] = []
        self._corpora, self._texts = corpora, TextIndex()
        self._with_id, self._with_sentence = defaultdict(list), defaultdict(list)
        self._with_digest: Dict[bytes, List[int]] = defaultdict(list)
        self._audio = AudioIndex(prints for prints in self._read() if prints is not None)

    def _read(self) -> Iterator[Optional[Fingerprint]]:
        for number, directory in enumerate(self.directories):
            for utterance in read_complete(directory, NEEDED):
                self._with_id[published(utterance.id, self._corpora)].append(len(self.names))
                self._with_sentence[self._texts.add(utterance.text)].append(len(self.names))
                keys = self.reader and self.reader.read(directory, utterance, STEP)
                if keys:
                    self._with_digest[keys.digest].append(len(self.names))
                self.names.append(utterance.id)
                self.set_of.append(number)
                self.seconds.append(utterance.duration)
                yield keys and keys.fingerprint

    def overlaps(self, directory: Path, utterance: Utterance, only_similar: bool) -> Iterator[Overlap]:
        """The overlaps of a training utterance. With `only_similar` the audio is compared only if the text is similar."""
        same_id = self._with_id.get(published(utterance.id, self._corpora))
        if same_id:
            yield Overlap("id", same_id, 1.0)
        similar = False
        for match in self._texts.find(utterance.text):
            similar = True
            if match.kind != "similar":
                kind = "short" if match.kind == "short" else "text"
                yield Overlap(kind, self._with_sentence[match.sentence], match.shared)
        if self.reader and (similar or not only_similar):
            keys = self.reader.read(directory, utterance, LAG)
            equal = self._with_digest.get(keys.digest, []) if keys.digest else []
            if equal:
                yield Overlap("audio", equal, 1.0)
            for match in self._audio.find(keys.fingerprint):
                if match.test not in equal:
                    yield Overlap("audio", [match.test], match.agreement)

    def by_set(self, tests: Sequence[int]) -> Dict[int, List[int]]:
        """The numbers of test utterances by the number of their set."""
        sets: Dict[int, List[int]] = {}
        for test in tests:
            sets.setdefault(self.set_of[test], []).append(test)
        return sets
