"""Pieces of all waiting recordings, decoded together: one thread decodes, others read files and cut them.

N samples.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, Callable, Deque, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_llmasr.inference.hotwords import HotwordDecoder
from espnet_llmasr.inference.long_audio import PAUSE_S, silero
from espnet_llmasr.inference.speech2text import Speech2Text
from espnet_llmasr.inference.transcribe import FRAME_S, WINDOW, Heap, Recording, batches

READERS = 2  # threads
OPEN = 32  # recordings that are read in turn; each holds about a minute of samples
GATHER = 0.1  # of the time of the last batch: so long one that is not full waits for recordings that are on their way


class BadHotwords(ValueError):
    """Hotwords of a request that cannot be used."""


@dataclass(eq=False)
class Job:
    """A recording that someone waits for.

    Args:
        file: an open file of the recording; it is closed when it has been read.
        notify: is called, from any thread, after each change.
        lenient: the hotwords are of a text, and need not be usable.
    """

    recording: Recording
    file: BinaryIO
    hotwords: Tuple[str, ...]
    notify: Callable[[], None]
    lenient: bool = False
    error: Optional[Exception] = None
    """What went wrong in the decoding; the recording knows the faults of the file."""
    cancelled: bool = False
    pieces: Iterator[Tuple[int, np.ndarray]] = iter(())

    @property
    def is_done(self) -> bool:
        return self.cancelled or self.error is not None or self.recording.is_done

    @property
    def key(self) -> tuple:
        """Jobs with the same key can share a batch."""
        return self.hotwords, self.lenient, self.recording.source.language if self.hotwords else ""

    def fail(self, error: Exception) -> None:
        self.error = self.error or error


class Row(NamedTuple):
    """A piece that waits to be decoded; its samples (N,) come last for `batches`."""

    job: Job
    number: int
    samples: np.ndarray


@dataclass
class Work:
    """What the decoding thread has done."""

    batches: int = 0
    pieces: int = 0
    speech_s: float = 0.0
    busy_s: float = 0.0
    last_s: float = 0.0


@dataclass
class Batcher:
    """Decodes the pieces of jobs in common batches, the oldest first; a transcript does not depend on the others.

    Args:
        batch_size, max_frames, longest_s, pause_s: see `inference.transcribe.transcribe`.
    Raises:
        ValueError: silero-vad is not installed.
    """

    speech2text: Speech2Text
    batch_size: int = 16
    max_frames: int = 10000
    longest_s: float = 20.0
    pause_s: float = PAUSE_S
    work: Work = field(default_factory=Work)

    def __post_init__(self):
        self.rate = self.speech2text.sample_rate
        silero(self.rate)
        self.most = int(self.max_frames * FRAME_S * self.rate)  # samples
        self.changed = threading.Condition()
        self.fresh: Deque[Job] = deque()  # not opened yet
        self.reading: Deque[Job] = deque()  # those that no reader has at this moment
        self.opened = self.held = 0  # recordings, samples
        self.coming = 0  # requests that are being received; counted by those who submit
        self.rows: List[Row] = []
        self.stopped = False
        self.decoder = lru_cache(32)(self._decoder)
        self.threads = [
            threading.Thread(target=run, daemon=True) for run in [self._decode_on] + [self._read_on] * READERS
        ]

    def __enter__(self) -> "Batcher":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Ends the threads; jobs that are not done stay so."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self.threads)

    def submit(self, job: Job) -> None:
        job.pieces = job.recording.pieces(self.rate, self.longest_s, self.pause_s)
        with self.changed:
            self.coming -= 1
            self.fresh.append(job)
            self.changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Drops what is left of a job."""
        with self.changed:
            job.cancelled = True
            self._drop([row for row in self.rows if row.job is job])
            if job in self.fresh:
                self.fresh.remove(job)
                job.file.close()
            self.changed.notify_all()

    def _read_on(self) -> None:
        while job := self._next_job():
            try:
                piece = None if job.is_done else next(job.pieces, None)
            except Exception as error:
                logging.exception("reading of %s", job.recording.source.id)
                job.fail(error)
                piece = None
            with self.changed:
                if piece is None or job.is_done:
                    job.pieces.close()
                    job.file.close()
                    self.opened -= 1
                else:
                    self.rows.append(Row(job, *piece))
                    self.held += len(piece[1])
                    self.reading.append(job)
                self.changed.notify_all()
            job.notify()

    def _next_job(self) -> Optional[Job]:
        """A job whose next piece is to be read: a fresh one first, the others in turn. None at the end."""

        def ready():
            return self.fresh and self.opened < OPEN or self.reading

        with self.changed:
            self.changed.wait_for(lambda: self.stopped or self.held < WINDOW * self.most and ready())
            if self.stopped:
                return None
            if self.fresh and self.opened < OPEN:
                self.opened += 1
                return self.fresh.popleft()
            return self.reading.popleft()

    def _decode_on(self) -> None:
        heap = Heap()
        while batch := self._next_batch():
            started = time.monotonic()
            self._decode(batch)
            work = self.work
            work.last_s = time.monotonic() - started
            work.busy_s += work.last_s
            work.speech_s += sum(len(row.samples) for row in batch) / self.rate
            work.batches, work.pieces = work.batches + 1, work.pieces + len(batch)
            heap.trim()

    def _next_batch(self) -> Sequence[Row]:
        """The batch of the oldest piece, with others of similar length and the same hotwords. Empty at the end."""
        with self.changed:
            while not self.stopped:
                self.changed.wait_for(lambda: self.rows or self.stopped)
                self.changed.wait_for(
                    lambda: len(self.rows) >= self.batch_size or self.stopped or not self._reads(),
                    GATHER * self.work.last_s,
                )
                if self.rows and not self.stopped:  # none is left if their jobs were cancelled meanwhile
                    return self._take_batch()
            return []

    def _take_batch(self) -> Sequence[Row]:
        oldest = self.rows[0]
        rows = sorted((row for row in self.rows if row.job.key == oldest.job.key), key=lambda row: len(row.samples))
        found = batches(rows, self.batch_size, self.most)
        batch = next(batch for batch in found if any(row is oldest for row in batch))
        self._drop(batch)
        self.changed.notify_all()
        return batch

    def _reads(self) -> bool:
        """More pieces will come soon."""
        return bool(self.coming > 0 or self.fresh or self.opened)

    def _drop(self, rows: Sequence[Row]) -> None:
        dropped = {*map(id, rows)}
        self.rows = [row for row in self.rows if id(row) not in dropped]
        self.held -= sum(len(row.samples) for row in rows)

    def _decode(self, rows: Sequence[Row]) -> None:
        try:
            hotwords = self.decoder(*rows[0].job.key)
            languages = [row.job.recording.source.language for row in rows]
            found = self.speech2text.decode([row.samples for row in rows], languages, hotwords)
        except BadHotwords as error:
            for row in rows:
                row.job.fail(error)
        except Exception as error:
            if len(rows) > 1:  # it may be the fault of one
                for row in rows:
                    self._decode([row])
                return
            logging.exception("decoding of a piece of %.2f s", len(rows[0].samples) / self.rate)
            rows[0].job.fail(error)
        else:
            with self.changed:
                for row, hypothesis in zip(rows, found):
                    row.job.recording.put(row.number, hypothesis)
        for row in rows:
            row.job.notify()

    def _decoder(self, words: Tuple[str, ...], lenient: bool, language: str) -> Optional[HotwordDecoder]:
        try:
            return self.speech2text.hotwords(words, language) if words else None
        except ValueError as error:
            if lenient:
                return None
            raise BadHotwords(str(error)) from error
