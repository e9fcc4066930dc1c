"""Checks one recording for data preparation: what is wrong with it, or where the audio to train on lies."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

WINDOW_S, SHIFT_S = 0.025, 0.010
UNCOMPRESSED = ("WAV", "WAVEX", "AIFF", "NIST", "RAW")


class Dropped(Exception):
    """An utterance that cannot be used; the message is the reason under which it is counted."""


@dataclass(frozen=True)
class Audio:
    """Audio at the wanted rate and mono: where it lies, its samples, and what had to be done to it."""

    path: str
    samples: int
    resampled: bool = False
    mixed_down: bool = False


def fbank_frames(samples: int, rate: int) -> int:
    """Kaldi's frame count (25 ms window, 10 ms shift, snip_edges)."""
    window, shift = int(rate * WINDOW_S), int(rate * SHIFT_S)
    return 0 if samples < window else 1 + (samples - window) // shift


def encoder_frames(num_fbank: int) -> int:
    """Frames after the encoder's two convolutions of width 3 and stride 2, not counting padding."""
    once = (num_fbank - 3) // 2 + 1
    return max(0, (once - 3) // 2 + 1)


def resample(samples: np.ndarray, source_hz: int, target_hz: int) -> np.ndarray:
    """(N,) -> (N * target / source,), polyphase."""
    from scipy.signal import resample_poly

    divisor = math.gcd(source_hz, target_hz)
    return resample_poly(samples, target_hz // divisor, source_hz // divisor)


def check_audio(path: str, rate: int, copy_to: Path) -> Audio:
    """Checks the file `path`; only what is not mono at `rate` Hz is written anew, as 16-bit WAV, to `copy_to`.

    Plain PCM needs no look at its samples; float and compressed audio (FLAC, MP3, ...) is decoded to find NaN, damage.

    Raises:
        Dropped: missing, empty, unreadable, cut off or with samples that are not finite.
    """
    info = _info(path)
    fits = info.samplerate == rate and info.channels == 1
    if fits and info.format in UNCOMPRESSED and info.subtype.startswith("PCM_"):
        return Audio(path, info.frames)
    samples = _read(path)
    if fits:
        return Audio(path, len(samples))
    samples = samples.mean(axis=1)
    if info.samplerate != rate:
        samples = resample(samples, info.samplerate, rate)
    copy_to.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(copy_to, np.clip(samples, -1.0, 1.0), rate, subtype="PCM_16", format="WAV")
    return Audio(str(copy_to), len(samples), info.samplerate != rate, info.channels > 1)


def _info(path: str):
    if not Path(path).is_file():
        raise Dropped("missing_wav")
    if Path(path).stat().st_size == 0:
        raise Dropped("empty_wav")
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise Dropped("unreadable_wav") from error
    if info.frames == 0:
        raise Dropped("empty_wav")
    if _is_cut(path):
        raise Dropped("truncated_wav")
    return info


def _is_cut(path: str) -> bool:
    """True if a RIFF header promises over 1 KiB more than there is; what writes to a pipe promises 2 GB or more."""
    with open(path, "rb") as f:
        head = f.read(8)
    promised = int.from_bytes(head[4:], "little") + 8
    return head[:4] == b"RIFF" and Path(path).stat().st_size + 1024 < promised < 0x7FFF0000


def _read(path: str) -> np.ndarray:
    """All samples, (N, channels), finite."""
    try:
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise Dropped("unreadable_wav") from error
    if len(samples) == 0:
        raise Dropped("empty_wav")
    if not np.isfinite(samples).all():
        raise Dropped("nan_samples")
    return samples
