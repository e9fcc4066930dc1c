"""The checks that every utterance must pass, and the processes that check many utterances in their order."""

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
from espnet_llmasr.data.utterance import Dropped, Utterance
from espnet_llmasr.text.normalize import is_han, score_tokens
from espnet_llmasr.text.phonemes import UNKNOWN, min_frames

AUDIO_CHECKS = ("decode", "header", "utt2dur")
CHUNK, CHUNKS_AHEAD = 64, 4  # utterances handed to a process at once; chunks that wait for each process


class Audio(NamedTuple):
    """Number of samples at the wanted rate, whether reading converts the rate or the channels, `audio.fault_of`."""

    samples: int
    resampled: bool = False
    mixed_down: bool = False
    fault: str = ""


class Result(NamedTuple):
    """An utterance after its checks: either `reason` says why it is dropped, or the rest is set."""

    reason: Optional[str] = None
    audio: Optional[Audio] = None
    text: str = ""
    labels: str = ""
    lang: str = ""


def language_of(text: str) -> str:
    """Language by script, for a data directory without utt2lang."""
    scripts = {"zh" if is_han(token) else "en" for token in score_tokens(text)}
    return "-".join(sorted(scripts, reverse=True))


@dataclass(frozen=True)
class Limits:
    """What decides, from the length of the audio and the number of labels, whether an utterance is kept.

    Args:
        rate: Hz, of the number of samples.
        num_frames: number of samples -> feature frames.
        output_lengths: number of feature frames -> encoder frames (Encoder.output_lengths).
        test: a test set keeps all that the encoder can read at all, or its error rate would be of another set.
    """

    rate: int
    min_duration_s: float
    max_duration_s: float
    num_frames: Callable[[int], int]
    output_lengths: Callable[[int], int]
    test: bool = False

    def __call__(self, result: Result) -> Result:
        """The result, with the reason to drop the utterance: silent or too loud, too short, too long, too short for CTC."""
        if result.reason:
            return result
        samples, labels = result.audio.samples, result.labels.split()
        frames = self.output_lengths(self.num_frames(samples))
        if self.test and frames > 0:
            return result
        if result.audio.fault:
            return Result(result.audio.fault)
        if samples / self.rate < self.min_duration_s:
            return Result("too_short")
        if samples / self.rate > self.max_duration_s:
            return Result("too_long")
        # Twice the number of labels is enough for any labels; counting repetitions takes as long as reading the labels.
        enough = frames >= max(1, 2 * len(labels)) or frames >= max(1, min_frames(labels))
        return result if enough else Result("too_few_frames")


@dataclass(frozen=True)
class Check:
    """The checks of one utterance that read its text and its audio; runs in the worker processes.

    Args:
        labelize: (text, language) -> labels.
        rate: Hz, to which the audio is converted on reading.
        audio_check: one of AUDIO_CHECKS.
        test: keep a line of which no label is known.
        lang: of lines whose language is not stated; empty: as their script tells.
    """

    labelize: Callable[[str, str], List[str]]
    rate: int
    audio_check: str
    test: bool = False
    lang: str = ""

    def __call__(self, utterance: Utterance) -> Result:
        """Raises ValueError where utt2dur is to be trusted and lacks the utterance."""
        try:
            return self._result(utterance)
        except (Dropped, audio.AudioError) as error:
            return Result(error.reason)

    def _result(self, utterance: Utterance) -> Result:
        text = " ".join(utterance.text.split())  # U+2028 and the like would break tables
        if utterance.fault or not text:
            raise Dropped(utterance.fault or "empty_text")
        lang = utterance.lang or self.lang or language_of(text)
        labels = self.labelize(utterance.pronunciation_text or text, lang)
        if not self.test and labels.count(UNKNOWN) == len(labels):
            raise Dropped("no_known_label")
        return Result(None, self._measure(utterance), text, " ".join(labels), lang)

    def _measure(self, utterance: Utterance) -> Audio:
        """Number of samples, from as much of the audio as `audio_check` wants."""
        if not utterance.audio:
            raise Dropped("missing_wav")
        stated_s = utterance.duration
        if self.audio_check == "utt2dur":
            if stated_s is None:
                raise ValueError(f"utt2dur lacks {utterance.id}: give --audio_check header, or make utt2dur anew")
            return Audio(round(stated_s * self.rate))
        info = audio.info(utterance.audio)
        samples, fault = info.samples_at(self.rate), ""
        if self.audio_check == "decode":
            samples, fault = self._decode(utterance.audio, info)
        if stated_s is not None and not abs(samples / self.rate - stated_s) <= max(0.25, 0.05 * stated_s):
            raise Dropped("other_duration")  # the audio is cut off, or its header misleads libsndfile
        return Audio(samples, info.rate != self.rate, info.channels > 1, fault)

    def _decode(self, entry: str, info: audio.Info) -> Tuple[int, str]:
        """Number of samples and `audio.fault_of` them; of plain audio no more is read than that needs."""
        if info.plain:
            return info.samples_at(self.rate), audio.fault_of_plain(entry, info.seconds)
        audio.refuse_more_than_stated(entry)
        samples = audio.read(entry, self.rate)
        return len(samples), audio.fault_of(samples)


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

    Raises ValueError if a process was killed.
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
                finished, future = window.popleft()
                yield from zip(finished, future.result())
        for finished, future in window:
            yield from zip(finished, future.result())
    except BrokenProcessPool as error:
        raise ValueError(f"one of --nj {nj} processes was killed, perhaps for want of memory: lower --nj") from error
    finally:
        pool.shutdown(cancel_futures=True)
