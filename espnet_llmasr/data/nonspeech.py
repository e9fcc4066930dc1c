"""The non-speech suite: clips of silence, noise, hum, clicks, music-like tones and babble, with empty references."""

from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
import soundfile
from numpy.random import Generator

from espnet_llmasr import audio
from espnet_llmasr.data.checks import Audio, Result
from espnet_llmasr.data.sounds import KINDS
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import DumpWriter
from espnet_llmasr.files import read_rows, replacing

SYNTHETIC = ("white", "pink", "brown", "hum", "clicks", "music")
SECONDS = 0.5, 8.0
PEAK_DBFS = -60.0, -6.0
VOICES = 24  # at any time; each is 14 dB below the sum of the others
PIECE_S = 0.1, 0.4  # shorter than most words, cut anywhere
POOL, POOL_S = 200, 4.0  # utterances that the pieces come from; seconds read of each

Sound = Callable[[int, Generator], np.ndarray]


def make_suite(out: Path, wav_scp: Path, clips: int, seed: int, rate: int, num_frames: Callable[[int], int]) -> dict:
    """Writes a dump directory of `clips` clips, evenly of all kinds, and returns its statistics.

    The kind of a clip is its speaker. The same seed and the same utterances give the same bytes.

    Args:
        wav_scp: training utterances, of which babble is made.
        num_frames: number of samples -> feature frames.
    Raises:
        ValueError: see `read_voices` and `replacing`.
    """
    with replacing(out) as staged:
        kinds = sounds(read_voices(wav_scp, seed, rate), rate)
        (staged / "audio").mkdir()
        with DumpWriter(staged, rate, num_frames) as dump:
            for uid, kind in names(list(kinds), clips).items():
                samples = clip(kinds[kind], kind, np.random.default_rng([seed, *uid.encode()]), rate)
                soundfile.write(staged / "audio" / f"{uid}.wav", samples, rate, subtype="PCM_16")
                utterance = Utterance(uid, str(out / "audio" / f"{uid}.wav"), "", speaker=kind)
                dump.add(utterance, Result(audio=Audio(len(samples))))
        return dump.finish()


def names(kinds: Sequence[str], clips: int) -> Dict[str, str]:
    """Id -> kind of so many clips in the order of the ids, all kinds as often (up to one)."""
    return dict(sorted((f"{kinds[n % len(kinds)]}-{n // len(kinds):05d}", kinds[n % len(kinds)]) for n in range(clips)))


def clip(sound: Sound, kind: str, rng: Generator, rate: int) -> np.ndarray:
    """(N,) 16-bit samples of random length and level; silence keeps its own level."""
    samples = sound(int(rng.uniform(*SECONDS) * rate), rng)
    if kind != "silence":
        samples = samples * (10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(samples).max())
    return np.round(samples * 32768).astype(np.int16)


def sounds(voices: Sequence[np.ndarray], rate: int) -> Dict[str, Sound]:
    """Kind -> generator (N, random numbers) -> float32 (N,) at `rate` Hz; only the level of silence counts."""
    synthetic = {kind: partial(KINDS[kind], rate=rate) for kind in SYNTHETIC}
    return {"silence": silence, **synthetic, "babble": partial(mixed_voices, voices, rate=rate)}


def silence(num_samples: int, rng: Generator) -> np.ndarray:
    """Digital zeros, or as often triangular dither of one step of 16 bits."""
    if rng.random() < 0.5:
        return np.zeros(num_samples, dtype=np.float32)
    return (rng.random(num_samples, dtype=np.float32) - rng.random(num_samples, dtype=np.float32)) / 32768


def mixed_voices(voices: Sequence[np.ndarray], num_samples: int, rng: Generator, rate: int) -> np.ndarray:
    """Babble: VOICES streams of pieces of random utterances, one piece faded into the next, all equally loud."""
    margin = int(PIECE_S[1] * rate)
    out = np.zeros(margin + num_samples + margin, dtype=np.float32)
    for _ in range(VOICES):
        begin = rng.integers(margin)
        while begin < margin + num_samples:
            voice, size = voices[rng.integers(len(voices))], int(rng.uniform(*PIECE_S) * rate)
            first = rng.integers(max(1, len(voice) - size + 1))
            piece = voice[first : first + size]  # all of a shorter utterance
            out[begin : begin + len(piece)] += piece * np.hanning(len(piece)).astype(np.float32)
            begin += max(1, len(piece) // 2)
    return out[margin : margin + num_samples]


def read_voices(wav_scp: Path, seed: int, rate: int) -> List[np.ndarray]:
    """Up to POOL utterances of a training set drawn at random, POOL_S seconds of each, all at one level.

    Raises:
        ValueError: no such table, fewer than VOICES utterances, or audio that cannot be read (audio.AudioError).
    """
    total = sum(1 for _ in read_rows(wav_scp))
    if total < VOICES:
        raise ValueError(
            f"{wav_scp} has {total} utterances, babble needs {VOICES} or more: give the table of a training set"
        )
    drawn = set(np.random.default_rng(seed).choice(total, min(POOL, total), replace=False).tolist())
    entries = [entry for number, (_, entry) in enumerate(read_rows(wav_scp)) if number in drawn]
    voices = [audio.read(entry, rate)[: int(POOL_S * rate)] for entry in entries]
    return [voice / (np.sqrt(np.mean(voice**2)) + 1e-6) for voice in voices]
