"""Reads an entry of wav.scp: a file, a member of a tar, or a piece of either, in any container of libsndfile.

    /data/a.flac                          wav, flac, mp3, opus, ogg, sph, ...
    /data/shard.tar:1536                  the member whose data begins at byte 1536 (kaldiio, omniio), in any container
    /data/talk.opus#t=780.310,783.130     the piece between two times in seconds (W3C media fragment)

Rates and channels are converted on reading, so no corpus has to be copied.
"""

import io
import math
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, Tuple

import numpy as np
import soundfile

from espnet_llmasr.files import PathLike

_SECONDS = r"\d+(?:\.\d+)?"
_ENTRY = re.compile(
    rf"(?s)(?P<path>.*?)(?:(?<=\.tar):(?P<offset>\d+))?(?:#t=(?P<start>{_SECONDS}),(?P<end>{_SECONDS}))?"
)
_MISSING_S = 0.1  # more than this missing at the end is damage
_LAST_PAGE_S = 20.0  # no last page of Ogg is longer
UNCOMPRESSED = ("WAV", "WAVEX", "AIFF", "NIST", "RAW")
SUFFIXES = (".wav", ".flac", ".mp3", ".opus", ".ogg", ".sph", ".oga", ".aiff", ".aif", ".au", ".caf", ".w64")


@dataclass(frozen=True)
class Windows:
    """Windows of `size` samples (or frames) that begin every `shift`; none reaches beyond the end of the signal."""

    size: int
    shift: int

    def count(self, length):
        """Windows in `length` (int, array or tensor); 0 where the signal is shorter than a window."""
        number = (length - self.size) // self.shift + 1
        return max(number, 0) if isinstance(number, int) else number.clip(min=0)

    @classmethod
    def of_features(cls, rate: int, size_ms: float = 25, shift_ms: float = 10) -> "Windows":
        """The windows, in samples of a signal of `rate` Hz, of which Kaldi makes one feature frame each."""
        return cls(int(rate * size_ms * 0.001), int(rate * shift_ms * 0.001))


class AudioError(ValueError):
    """Audio that cannot be used; `reason` is the word that counts it."""

    def __init__(self, reason: str, entry: str):
        super().__init__(f"{entry}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Info:
    """The header of an entry; `samples` (per channel) counts only the piece, if the entry names one."""

    rate: int
    channels: int
    samples: int
    plain: bool
    """Uncompressed PCM: damage shows in the size of the file, so the samples need not be read to find it."""

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    def samples_at(self, rate: int) -> int:
        """The number of samples that `read` returns at this rate."""
        return -(-self.samples * rate // self.rate)


@dataclass(frozen=True)
class Entry:
    path: str
    offset: Optional[int] = None
    start: float = 0.0
    end: Optional[float] = None

    @classmethod
    def parse(cls, text: str) -> "Entry":
        match = _ENTRY.fullmatch(text)
        path, offset, start, end = match["path"], match["offset"], match["start"], match["end"]
        return cls(path, offset and int(offset), float(start or 0), end and float(end))

    def exists(self) -> bool:
        """The file is there and not empty; it is not opened."""
        try:
            return os.stat(self.path).st_size > 0
        except (OSError, ValueError):
            return False

    def __str__(self) -> str:
        offset = "" if self.offset is None else f":{self.offset}"
        return f"{self.path}{offset}" + ("" if self.end is None else f"#t={self.start:.3f},{self.end:.3f}")


def find_files(folder: PathLike) -> Iterator[Path]:
    """All audio files below a folder, in any order; links are followed."""
    paths = (Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)
    return (path for path in paths if path.suffix.lower() in SUFFIXES)


def info(entry: str) -> Info:
    """Reads the header only.

    Raises AudioError: missing_wav, empty_wav, unreadable_wav, truncated_wav, or beyond_end for a piece that ends more
    than 0.1 s after the recording.
    """
    where = Entry.parse(entry)
    with _open(where, entry) as sound:
        plain = sound.format in UNCOMPRESSED and sound.subtype.startswith("PCM_")
        if where.end is not None and where.end > sound.frames / sound.samplerate + _MISSING_S and sound.frames:
            raise AudioError("beyond_end", entry)
        first, last = _span(sound, where)
        if first >= last:
            raise AudioError("empty_wav", entry)
        return Info(sound.samplerate, sound.channels, last - first, plain)


def read(entry: str, rate: int) -> np.ndarray:
    """float32 mono samples (N,) at `rate` Hz; channels are averaged, other rates resampled (polyphase).

    Raises AudioError as `info`, truncated_wav where less can be decoded than the header promises, and nan_samples.
    """
    samples, source_rate = read_at_own_rate(entry)
    return samples if source_rate == rate else resample(samples, source_rate, rate).astype(np.float32)


def read_at_own_rate(entry: str) -> Tuple[np.ndarray, int]:
    """float32 mono samples (N,) and their rate in Hz. Raises as `read`."""
    where = Entry.parse(entry)
    with _open(where, entry) as sound:
        source_rate = sound.samplerate
        first, last = _span(sound, where)
        if first >= last:
            raise AudioError("empty_wav", entry)
        try:
            samples = _read_piece(sound, first, last)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError("unreadable_wav", entry) from error
    if len(samples) == 0 or len(samples) < last - first - _MISSING_S * source_rate:
        raise AudioError("truncated_wav", entry)
    if not np.isfinite(samples).all():
        raise AudioError("nan_samples", entry)
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return samples, source_rate


def _read_piece(sound: soundfile.SoundFile, first: int, last: int) -> np.ndarray:
    """(last - first, channels), fewer if the file has less than its header says.

    libsndfile seeks some milliseconds too far within the last page of Ogg Vorbis, and inexactly in all of mp3.
    """
    begin = first
    if sound.format in ("MP3", "MPEG"):
        begin = 0
    elif sound.subtype == "VORBIS":
        begin = max(0, min(first, sound.frames - int(_LAST_PAGE_S * sound.samplerate)))
    if begin:
        sound.seek(begin)
    return sound.read(last - begin, dtype="float32", always_2d=True)[first - begin :]


def _span(sound: soundfile.SoundFile, where: Entry) -> Tuple[int, int]:
    """First sample of the entry, and the one after its last."""
    if where.end is None:
        return 0, sound.frames
    first, last = (min(round(t * sound.samplerate), sound.frames) for t in (where.start, where.end))
    return first, max(first, last)


def resample(samples: np.ndarray, source_hz: int, target_hz: int) -> np.ndarray:
    """(N,) -> (N * target / source,), polyphase."""
    from scipy.signal import resample_poly  # 0.3 s to import

    divisor = math.gcd(source_hz, target_hz)
    return resample_poly(samples, target_hz // divisor, source_hz // divisor)


def _open(where: Entry, entry: str) -> soundfile.SoundFile:
    path = Path(where.path)
    if not os.path.isfile(path):  # also False for a name that no file can have
        raise AudioError("missing_wav", entry)
    if path.stat().st_size == 0:
        raise AudioError("empty_wav", entry)
    try:
        if where.offset is not None:
            member = _member(path, where.offset, entry)
            _refuse_cut(member[:8], len(member), entry)
            return soundfile.SoundFile(io.BytesIO(member))
        with open(path, "rb") as file:
            _refuse_cut(file.read(8), path.stat().st_size, entry)
        return soundfile.SoundFile(where.path)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError("unreadable_wav", entry) from error


def _member(path: Path, offset: int, entry: str) -> bytes:
    """The data of a tar member; its header, the 512 bytes before, tells the size."""
    with open(path, "rb") as tar:
        tar.seek(max(0, offset - tarfile.BLOCKSIZE))
        try:
            size = tarfile.TarInfo.frombuf(tar.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape").size
        except tarfile.HeaderError as error:
            raise AudioError("unreadable_wav", entry) from error
        data = tar.read(size)
    if not size:
        raise AudioError("empty_wav", entry)
    if len(data) < size:
        raise AudioError("truncated_wav", entry)
    return data


def _refuse_cut(head: bytes, size: int, entry: str) -> None:
    """Raises AudioError if a RIFF header promises over 1 KiB more than there is; pipes promise 2 GB or more."""
    promised = int.from_bytes(head[4:], "little") + 8
    if head[:4] == b"RIFF" and size + 1024 < promised < 0x7FFF0000:
        raise AudioError("truncated_wav", entry)
