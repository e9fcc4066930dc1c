"""What every utterance must pass, and the processes that check many of them in their order."""

import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Callable, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from espnet_llmasr import audio
from espnet_llmasr.data.kaldi import Utterance
from espnet_llmasr.text.normalize import is_han, score_tokens
from espnet_llmasr.text.phonemes import UNKNOWN, min_frames

WINDOW_S, SHIFT_S = 0.025, 0.010
AUDIO_CHECKS = ("decode", "header", "utt2dur")
CHUNK, CHUNKS_AHEAD = 64, 4  # utterances handed to a process at once; chunks that wait for each process


class Dropped(Exception):
    """An utterance that cannot be used; `reason` is the word under which it is counted."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Audio(NamedTuple):
    """Samples at the wanted rate, and what has to be done to the audio on reading."""

    samples: int
    resampled: bool = False
    mixed_down: bool = False


class Result(NamedTuple):
    """An utterance after its checks: either `reason` says why it is dropped, or the rest is set."""

    reason: Optional[str] = None
    audio: Optional[Audio] = None
    text: str = ""
    labels: str = ""
    lang: str = ""


def fbank_frames(samples: int, rate: int) -> int:
    """Kaldi's frame count (25 ms window, 10 ms shift, snip_edges)."""
    window, shift = int(rate * WINDOW_S), int(rate * SHIFT_S)
    return 0 if samples < window else 1 + (samples - window) // shift


def language_of(text: str) -> str:
    """Language by script, for a data directory without utt2lang."""
    scripts = {"zh" if is_han(token) else "en" for token in score_tokens(text)}
    return "-".join(sorted(scripts, reverse=True))


@dataclass
class Check:
    """All checks of one utterance; runs in the worker processes.

    Attributes:
        output_lengths: the encoder's frames for a number of feature frames.
    """

    units: Callable[[str, str], List[str]]
    output_lengths: Callable[[int], int]
    rate: int
    min_duration_s: float
    max_duration_s: float
    audio_check: str
    test: bool = False

    def __call__(self, utterance: Utterance) -> Result:
        try:
            text = " ".join((utterance.text or "").split())  # U+2028 and the like would break tables
            lang = utterance.lang or language_of(text)
            labels = self.labels(utterance, text, lang)
            measured = self.audio(utterance)
            self.fit(labels, measured)
        except (Dropped, audio.AudioError) as error:
            return Result(error.reason)
        return Result(None, measured, text, " ".join(labels), lang)

    def labels(self, utterance: Utterance, text: str, lang: str) -> List[str]:
        if utterance.fault:
            raise Dropped(utterance.fault)
        if utterance.text is None:
            raise Dropped("no_text")
        if not text:
            raise Dropped("empty_text")
        labels = self.units(utterance.spoken or text, lang)
        if not self.test and labels.count(UNKNOWN) == len(labels):
            raise Dropped("no_known_label")
        return labels

    def audio(self, utterance: Utterance) -> Audio:
        """Measures the audio as deeply as `audio_check` says.

        Raises:
            Dropped, audio.AudioError: it is missing or damaged.
            ValueError: no duration where utt2dur is to be trusted.
        """
        if not utterance.audio:
            raise Dropped("missing_wav")
        if self.audio_check == "utt2dur":
            return Audio(round(seconds_of(utterance) * self.rate))
        info = audio.info(utterance.audio)
        whole = info.plain or self.audio_check == "header"
        samples = info.samples_at(self.rate) if whole else len(audio.read(utterance.audio, self.rate))
        if utterance.seconds and not is_near(samples / self.rate, seconds_of(utterance)):
            raise Dropped("other_duration")
        return Audio(samples, info.rate != self.rate, info.channels > 1)

    def fit(self, labels: List[str], measured: Audio) -> None:
        """Drops what is too short, too long, or has fewer encoder frames than CTC needs for the labels.

        A test set keeps all that the encoder can read at all, or its error rate would be of another set.
        """
        frames = self.output_lengths(fbank_frames(measured.samples, self.rate))
        if self.test and frames > 0:
            return
        duration_s = measured.samples / self.rate
        if duration_s < self.min_duration_s:
            raise Dropped("too_short")
        if duration_s > self.max_duration_s:
            raise Dropped("too_long")
        enough = 2 * len(labels)  # for any labels; counting those that repeat takes as long as reading them
        if frames < max(1, enough) and frames < max(1, min_frames(labels)):
            raise Dropped("too_few_frames")


def is_near(measured_s: float, stated_s: float) -> bool:
    """True but for audio that is not what its owner described: cut off, or with a header that misleads libsndfile."""
    return abs(measured_s - stated_s) <= max(0.25, 0.05 * stated_s)


def seconds_of(utterance: Utterance) -> float:
    """The duration that utt2dur states. Raises ValueError where it states none."""
    try:
        return float(utterance.seconds or "")
    except ValueError as error:
        advice = "give --audio_check header, or make utt2dur anew"
        raise ValueError(f"utt2dur has '{utterance.seconds}' for {utterance.id}, no number: {advice}") from error


_check: Optional[Callable] = None


def _start_worker(check: Callable) -> None:
    global _check
    _check = check
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool whose owner was killed (no more memory, no more time) would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(utterances: List[Utterance]) -> List[Result]:
    return [_check(utterance) for utterance in utterances]


def check_all(check: Callable, utterances: Iterable[Utterance], nj: int) -> Iterator[Tuple[Utterance, Result]]:
    """Utterances and their results in order, from `nj` processes; only as many are read as the processes need.

    Raises:
        ValueError: a process was killed.
    """
    if nj == 1:
        yield from ((utterance, check(utterance)) for utterance in utterances)
        return
    pool = ProcessPoolExecutor(nj, multiprocessing.get_context("spawn"), _start_worker, (check,))
    utterances, window = iter(utterances), deque()
    try:
        for chunk in iter(lambda: list(islice(utterances, CHUNK)), []):
            window.append((chunk, pool.submit(_work, chunk)))
            if len(window) > nj * CHUNKS_AHEAD:
                yield from _finished(window)
        while window:
            yield from _finished(window)
    except BrokenProcessPool as error:
        raise ValueError(f"one of --nj {nj} processes was killed, perhaps for want of memory: lower --nj") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(window: deque) -> Iterator[Tuple[Utterance, Result]]:
    chunk, future = window.popleft()
    return zip(chunk, future.result())
