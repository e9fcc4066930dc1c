"""Recordings of any container, rate and length -> transcripts with segments, as they come; bad files stop nothing.

N samples.
"""

import ctypes
import logging
import math
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Deque, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from espnet_llmasr import audio
from espnet_llmasr.data.kaldi import piece_of, read_utt2lang
from espnet_llmasr.files import PathLike, read_scp
from espnet_llmasr.guard.gaps import Gap
from espnet_llmasr.guard.verifier import Word
from espnet_llmasr.inference.hypothesis import GAP, Hypothesis
from espnet_llmasr.inference.long_audio import PAUSE_S, Piece, join, pieces, silero, tokens
from espnet_llmasr.text.normalize import is_han, joined

STDIN = "-"
TRIM_S = 0.5
WINDOW = 4  # batches whose pieces are read together and sorted by length
FRAME_S = 0.01  # of `max_frames`
TOO_LONG = "too_long"  # reason of the error of a recording of more than `max_seconds`

Decode = Callable[[List[np.ndarray], List[str]], List[Hypothesis]]
"""Samples (N,) and languages of pieces -> their hypotheses."""


class Source(NamedTuple):
    """A recording: its id, an entry of wav.scp (see `audio`) or samples (N,) at the model's rate, and its language."""

    id: str
    speech: Union[str, np.ndarray]
    language: str = ""


class Segment(NamedTuple):
    """A piece of a recording. Its times are seconds of the recording, also those of the words and gaps."""

    start_s: float
    end_s: float
    hypothesis: Hypothesis


class Transcript(NamedTuple):
    """A transcribed recording; `error` says why there is no transcript, it is "" otherwise.

    `language` is the one that was given, or that of the script of the text ("zh", "en", "zh-en"; "" without text).
    """

    id: str
    segments: Tuple[Segment, ...] = ()
    seconds: float = 0.0
    language: str = ""
    error: str = ""

    @property
    def text(self) -> str:
        """The texts of the segments in one line."""
        return joined(segment.hypothesis.text for segment in self.segments)

    @property
    def words(self) -> List[Word]:
        """The words of all segments, with times where a CTC head gave them."""
        return [word for segment in self.segments for word in segment.hypothesis.words]

    @property
    def hypothesis(self) -> Hypothesis:
        """One hypothesis of the whole; score and confidence are means over time. It is empty without segments."""
        if len(self.segments) == 1:
            return self.segments[0].hypothesis
        parts = [segment.hypothesis for segment in self.segments]
        return Hypothesis(
            self.text,
            self._mean([part.score for part in parts]) or 0.0,
            self._mean([part.confidence for part in parts]),
            tuple(dict.fromkeys(flag for part in parts for flag in part.flags)),
            words=tuple(self.words),
            gaps=tuple(gap for part in parts for gap in part.gaps),
        )

    def _mean(self, values: Sequence[Union[float, None]]) -> Union[float, None]:
        known = [(value, one.end_s - one.start_s) for value, one in zip(values, self.segments) if value is not None]
        return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None


@contextmanager
def find_sources(paths: Iterable[PathLike], language: str = "") -> Iterator[List[Source]]:
    """The recordings of files, folders, Kaldi directories (with wav.scp) and "-" (standard input, kept until the end).

    A Kaldi directory may have segments and utt2lang; its paths are relative to the working directory, as in Kaldi.

    Raises:
        ValueError: a folder without audio, or a damaged table. A missing file is found when it is read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        yield [source for path in paths for source in _sources(str(path), language, Path(scratch, "stdin"))]


def _sources(path: str, language: str, copy: Path) -> List[Source]:
    if path == STDIN:
        with open(copy, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return [Source("stdin", str(copy), language)]
    if not Path(path).is_dir():
        return [_of_file(path, language)]
    if Path(path, "wav.scp").is_file():
        return _of_kaldi(Path(path), language)
    files = sorted(map(str, audio.find_files(path)))
    if not files:
        raise ValueError(f"the folder {path} has no audio ({', '.join(audio.SUFFIXES)}), and no wav.scp")
    return [_of_file(file, language) for file in files]


def _of_file(path: str, language: str) -> Source:
    """Its id is the path, with `\\xc4` for a byte that is no UTF-8, as file names of other systems have."""
    return Source(os.fsencode(path).decode("utf-8", "backslashreplace"), path, language)


def _of_kaldi(data: Path, language: str) -> List[Source]:
    entries, langs = read_scp(data / "wav.scp"), read_utt2lang(data)
    if (data / "segments").exists():
        rows = {uid: line.split() for uid, line in read_scp(data / "segments").items()}
        bad = [uid for uid, fields in rows.items() if fields[:1] == [] or fields[0] not in entries]
        bad += [uid for uid, fields in rows.items() if uid not in bad and not piece_of(fields[1:])]
        if bad:
            raise ValueError(
                f"{data}/segments: '{bad[0]}' has no recording in wav.scp, or no times: see bin.check_data"
            )
        entries = {uid: f"{entries[fields[0]]}{piece_of(fields[1:])}" for uid, fields in rows.items()}
    if not entries:
        raise ValueError(f"{data} has no recordings: its wav.scp or segments is empty")
    return [Source(uid, entry, language or langs.get(uid, "")) for uid, entry in entries.items()]


@dataclass
class Recording:
    """A recording that is being read and decoded: `pieces` gives its pieces, `put` takes their hypotheses.

    `segments` are those of the first pieces, up to one that is not decoded yet.
    """

    source: Source
    max_seconds: float = math.inf
    segments: List[Segment] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    _read: List[Piece] = field(default_factory=list)  # without samples
    _hypotheses: Dict[int, Hypothesis] = field(default_factory=dict)  # of pieces behind those of `segments`
    _ended: bool = False

    def pieces(self, rate: int, longest_s: float, pause_s: float = PAUSE_S) -> Iterator[Tuple[int, np.ndarray]]:
        """The number and the samples (N,) of each piece; a fault of the file ends them and becomes the `error`."""
        try:
            for number, piece in enumerate(pieces(self._blocks(rate), rate, longest_s, silero, pause_s)):
                self._read.append(piece._replace(samples=None))
                yield number, piece.samples
        except (audio.AudioError, OSError) as error:
            self.error = str(error)
        self._ended = True

    def _blocks(self, rate: int) -> Iterator[np.ndarray]:
        speech = self.source.speech
        if isinstance(speech, str) and math.isfinite(self.max_seconds):
            self._check_length(audio.stated_seconds(speech))
        for block in audio.stream(speech, rate) if isinstance(speech, str) else [speech]:
            self.seconds += len(block) / rate
            self._check_length(self.seconds)
            yield block
        if isinstance(speech, str):
            audio.refuse_more_than_stated(speech)

    def _check_length(self, seconds: float) -> None:
        if seconds > self.max_seconds:
            raise audio.AudioError(TOO_LONG, self.source.id)

    def put(self, number: int, hypothesis: Hypothesis) -> None:
        """Takes the hypothesis of a piece; the pieces may come in any order."""
        self._hypotheses[number] = hypothesis
        while (number := len(self.segments)) in self._hypotheses:
            piece = self._read[number]
            new = Segment(piece.start_s, piece.end_s, shifted(self._hypotheses.pop(number), piece.start_s))
            if piece.overlap_s and self.segments:
                self.segments[-1], new = without_overlap(self.segments[-1], new, piece.overlap_s)
            self.segments.append(new)

    @property
    def settled(self) -> int:
        """The number of segments that no later piece changes."""
        number = len(self.segments)
        if not number or self.is_done or number < len(self._read) and not self._read[number].overlap_s:
            return number
        return number - 1

    @property
    def is_done(self) -> bool:
        return self._ended and (bool(self.error) or len(self.segments) == len(self._read))

    def transcript(self) -> Transcript:
        if self.error:
            return Transcript(self.source.id, seconds=self.seconds, language=self.source.language, error=self.error)
        language = self.source.language or script_of(joined(one.hypothesis.text for one in self.segments))
        return Transcript(self.source.id, tuple(self.segments), self.seconds, language)


def transcribe(
    sources: Iterable[Source],
    decode: Decode,
    rate: int,
    batch_size: int = 16,
    max_frames: int = 10000,
    longest_s: float = 20.0,
    pause_s: float = PAUSE_S,
) -> Iterator[Transcript]:
    """The transcripts of recordings in their order, each as soon as it and those before it are decoded.

    Pieces of similar length are decoded together. What is in memory does not depend on the number of recordings or on
    their lengths.

    Args:
        rate: of the samples that `decode` gets, in Hz.
        batch_size: most pieces in a batch. max_frames: most padded frames of 10 ms in it, unless a piece has more.
        longest_s: recordings that are longer, in seconds, are cut at silences into pieces of at most this length.
        pause_s: silence that ends a piece, in seconds.
    """
    pending: Deque[Recording] = deque()
    window: List[Tuple[Recording, int, np.ndarray]] = []
    most = int(max_frames * FRAME_S * rate)
    done = seconds = 0
    heap = Heap()

    def decoded() -> Iterator[Transcript]:
        nonlocal done, seconds
        window.sort(key=lambda row: len(row[2]))
        for batch in batches([row for row in window if not row[0].error], batch_size, most):
            found = decode([samples for _, _, samples in batch], [row.source.language for row, _, _ in batch])
            for (recording, number, _), hypothesis in zip(batch, found):
                recording.put(number, hypothesis)
            heap.trim()
        seconds += sum(len(samples) for _, _, samples in window) / rate
        window.clear()
        while pending and pending[0].is_done:
            done += 1
            yield pending.popleft().transcript()
        logging.info("%d recordings and %.0f s of speech", done, seconds)

    for source in sources:
        pending.append(Recording(source))
        for number, samples in pending[-1].pieces(rate, longest_s, pause_s):
            window.append((pending[-1], number, samples))
            if len(window) >= WINDOW * batch_size or sum(len(row[2]) for row in window) >= WINDOW * most:
                yield from decoded()
    yield from decoded()


class Heap:
    """Gives the free parts of the process's heap back to the system, at most every TRIM_S seconds, because it takes 10 ms.

    glibc keeps them, and batches of ever new sizes leave holes, so that a long recording would seem to need ever more.
    """

    def __init__(self):
        self.trimmed_s = time.monotonic()

    def trim(self) -> None:
        """Does nothing where the C library cannot."""
        now = time.monotonic()
        if now - self.trimmed_s >= TRIM_S:
            self.trimmed_s = now
            with suppress(AttributeError, TypeError):
                ctypes.CDLL(None).malloc_trim(0)


def batches(rows: Sequence[tuple], batch_size: int, most: int) -> Iterator[Sequence[tuple]]:
    """Rows whose last items ascend in length -> groups of at most `batch_size`, of `most` padded samples or one row."""
    start = 0
    for end in range(1, len(rows) + 1):
        size = end + 1 - start
        if end == len(rows) or size > batch_size or size * len(rows[end][-1]) > most:
            yield rows[start:end]
            start = end


def shifted(hypothesis: Hypothesis, by_s: float) -> Hypothesis:
    """The hypothesis with all times later by `by_s`."""

    def move(item):
        return item._replace(start_s=round(item.start_s + by_s, 3), end_s=round(item.end_s + by_s, 3))

    return hypothesis._replace(words=tuple(map(move, hypothesis.words)), gaps=tuple(map(move, hypothesis.gaps)))


def without_overlap(left: Segment, right: Segment, overlap_s: float) -> Tuple[Segment, Segment]:
    """Two segments that share the last and first `overlap_s`, without the words that both have.

    If `join` finds no common words, the times decide: words before the middle of the overlap stay in the left segment.
    Without a time for each token nothing is removed (an unwritten "nineteen ninety-nine" has three for its "1999").
    """
    middle = right.start_s + overlap_s / 2
    kept = join(left.hypothesis.text, right.hypothesis.text, overlap_s)
    if kept is None and all(0 < len(s.hypothesis.words) == len(tokens(s.hypothesis.text)) for s in (left, right)):
        kept = tuple(
            sum(word.start_s + word.end_s < 2 * middle for word in side.hypothesis.words) for side in (left, right)
        )
    if kept is not None:
        left = left._replace(hypothesis=_slice(left.hypothesis, 0, kept[0]))
        right = right._replace(hypothesis=_slice(right.hypothesis, kept[1], None))
    left, right = left._replace(end_s=middle), right._replace(start_s=middle)
    return _with_gaps(left, lambda gap: gap.start_s < middle), _with_gaps(right, lambda gap: gap.end_s > middle)


def _with_gaps(segment: Segment, keep: Callable[[Gap], bool]) -> Segment:
    hypothesis = segment.hypothesis
    gaps = tuple(filter(keep, hypothesis.gaps))
    flags = tuple(flag for flag in hypothesis.flags if gaps or flag != GAP)
    return segment._replace(hypothesis=hypothesis._replace(gaps=gaps, flags=flags))


def _slice(hypothesis: Hypothesis, first: int, last: Union[int, None]) -> Hypothesis:
    """The hypothesis with the tokens [first, last) of its text, and their words if each token has one."""
    found = tokens(hypothesis.text)
    words = hypothesis.words[first:last] if len(found) == len(hypothesis.words) else ()
    kept = found[first:last]
    text = hypothesis.text[kept[0].start() : kept[-1].end()] if kept else ""
    return hypothesis._replace(text=text, words=words)


def script_of(text: str) -> str:
    """ "zh" for Han characters, "en" for Latin letters, "zh-en" for both, "" for neither."""
    found = {"zh": any(map(is_han, text)), "en": any(letter.isascii() and letter.isalpha() for letter in text)}
    return "-".join(name for name in found if found[name])
