"""Cuts recordings of any length into pieces at silences, and joins the transcripts of pieces that overlap.

Times are counted in windows of 32 ms, those of the voice activity detector (Silero VAD, MIT licence, whose weights come
with its package); W windows, N samples.
"""

import re
from difflib import SequenceMatcher
from typing import Callable, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from espnet_llmasr.audio import resample
from espnet_llmasr.text.ctc_labels import WORD

WINDOW_S = 0.032
VAD_HZ, VAD_WINDOW = 16000, 512
SPEECH = 0.35  # probability from which a window may be speech; Silero VAD ends speech below it
MARGIN = 6  # windows of silence (0.2 s) that stay around speech, or half of it: consonants at its edges are improbable
BREAK = 6  # windows of silence (0.2 s) at which a piece that would be too long may end
OVERLAP = 62  # windows (2 s) that two pieces share where there is no silence
PAUSE_S = 0.4  # of silence that ends a piece in any case
WORDS_PER_S = 6  # at most, to be looked for in an overlap
EDGE = 2  # words that a cut through a word may garble on each side

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Samples of whole windows (N,) that continue those of the last call -> probabilities of speech (W,)."""


class Piece(NamedTuple):
    """Samples (N,), their times in the recording, and the seconds that they share with the piece before."""

    start_s: float
    end_s: float
    samples: np.ndarray
    overlap_s: float = 0.0


class Cut(NamedTuple):
    """The next piece of a recording is [begin, end); `rest` is where the search for the one after it goes on."""

    begin: int
    end: int
    rest: int


def pieces(
    blocks: Iterable[np.ndarray],
    rate: int,
    longest_s: float,
    detector: Callable[[int], Probabilities],
    pause_s: float = PAUSE_S,
) -> Iterator[Piece]:
    """Blocks of samples (N,) at `rate` Hz -> pieces of at most `longest_s`, as soon as each is complete.

    A recording of at most `longest_s` is one piece, and needs no detector. In a longer one, silence of `pause_s` ends a
    piece, and stretches without speech are left out. `detector(rate)` makes a detector for one recording.
    """
    blocks, held = iter(blocks), np.zeros(0, np.float32)
    while len(held) <= longest_s * rate:
        block = next(blocks, None)
        if block is None:
            yield Piece(0.0, len(held) / rate, held)
            return
        held = np.concatenate([held, block])
    windows = int(longest_s / WINDOW_S), round(pause_s / WINDOW_S)
    yield from _cut_all(_with_first(held, blocks), rate, *windows, detector(rate))


def _with_first(first: np.ndarray, others: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from others


def _cut_all(
    blocks: Iterator[np.ndarray], rate: int, longest: int, pause: int, detect: Probabilities
) -> Iterator[Piece]:
    size = round(WINDOW_S * rate)
    held, probabilities = np.zeros(0, np.float32), np.zeros(0)
    origin = overlap = 0  # window at which `held` begins, windows that it shares with the last piece
    ended = False
    while not ended:
        block = next(blocks, None)
        ended = block is None
        if not ended:
            held = np.concatenate([held, block])
        elif len(held) % size:
            held = np.pad(held, (0, -len(held) % size))
        new = held[len(probabilities) * size : len(held) // size * size]
        probabilities = np.concatenate([probabilities, detect(new)]) if len(new) else probabilities
        while cut := next_cut(probabilities, longest, pause, ended):
            if cut.end > cut.begin:
                start_s, end_s = ((origin + window) * size / rate for window in (cut.begin, cut.end))
                shared_s = max(0, overlap - cut.begin) * size / rate
                yield Piece(start_s, end_s, held[cut.begin * size : cut.end * size], shared_s)
            overlap = max(0, cut.end - cut.rest)
            held, probabilities = held[cut.rest * size :], probabilities[cut.rest :]
            origin += cut.rest


def next_cut(probabilities: np.ndarray, longest: int, pause: int, ended: bool) -> Optional[Cut]:
    """Probabilities of speech (W,) -> the first piece, or None if the windows that follow are needed, or none is left.

    It ends in the first silence of `pause` windows. If that would make it longer than `longest` windows, it ends in the
    last short silence, and without one at the least probable speech, around which this piece and the next share
    `OVERLAP` windows. A piece with begin = end only skips silence.
    """
    number = len(probabilities)
    speech = np.flatnonzero(probabilities >= SPEECH)
    if not len(speech):
        skipped = number if ended else max(0, number - MARGIN)
        return Cut(0, 0, skipped) if skipped else None
    begin = max(0, int(speech[0]) - MARGIN)
    silences = _silences(speech, number)
    for start, end in silences:
        kept = start + min(MARGIN, (end - start) // 2)
        if end - start >= pause and kept - begin <= longest:
            unknown = end == number and end - start < 2 * MARGIN and not ended  # how long this silence is
            return None if unknown else Cut(begin, kept, kept)
    if number - begin <= longest:
        return Cut(begin, min(number, int(speech[-1]) + 1 + MARGIN), number) if ended else None
    middles = [(start + end) // 2 for start, end in silences if end - start >= BREAK]
    within = [middle for middle in middles if begin + longest // 4 < middle <= begin + longest]
    if within:
        return Cut(begin, within[-1], within[-1])
    overlap = min(OVERLAP, longest // 4)
    first, last = begin + longest // 2, begin + longest - overlap // 2
    smooth = np.convolve(probabilities, np.ones(3) / 3, "same")
    point = first + int(np.argmin(smooth[first:last]))
    return Cut(begin, point + overlap // 2, point - overlap // 2)


def _silences(speech: np.ndarray, number: int) -> List[Tuple[int, int]]:
    """Windows with speech -> the silences [start, end) after the first of them."""
    edges = zip(speech.tolist(), [*speech[1:].tolist(), number])
    return [(before + 1, after) for before, after in edges if after > before + 1]


def silero(rate: int) -> Probabilities:
    """Silero VAD for one recording.

    Raises:
        ValueError: the package silero-vad is not installed.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        from silero_vad import load_silero_vad  # sets the number of threads of the whole process to 1
    except ModuleNotFoundError as error:
        raise ValueError(
            "long recordings are cut by Silero VAD, which is missing: pip install silero-vad, or give shorter files"
        ) from error
    finally:
        torch.set_num_threads(threads)
    model = load_silero_vad()
    size = round(WINDOW_S * rate)

    @torch.no_grad()
    def probabilities(samples: np.ndarray) -> np.ndarray:
        windows = len(samples) // size
        if size != VAD_WINDOW:
            samples = resample(samples, size, VAD_WINDOW)
        speech = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).view(windows, VAD_WINDOW)
        return np.array([model(window, VAD_HZ).item() for window in speech])

    return probabilities


def tokens(text: str) -> List["re.Match"]:
    """The words and Han characters of a transcript, with their places in it."""
    return list(WORD.finditer(text))


def join(left: str, right: str, overlap_s: float) -> Optional[Tuple[int, int]]:
    """Transcripts of two pieces that share `overlap_s` -> the tokens that the left one keeps, and the right one loses.

    The last tokens of the left are compared with the first tokens of the right. Both are cut behind the longest run of
    tokens that they share, which stays in the left. None if there is no such run.
    """
    most = int(np.ceil(overlap_s * WORDS_PER_S))
    tail, head = tokens(left)[-most:], tokens(right)[:most]
    words = [[match[0].lower() for match in side] for side in (tail, head)]
    run = SequenceMatcher(None, *words, autojunk=False).find_longest_match()
    unmatched = len(tail) - run.a - run.size, run.b
    if not run.size or run.size == 1 and max(unmatched) > EDGE:
        return None
    return len(tokens(left)) - unmatched[0], run.b + run.size
