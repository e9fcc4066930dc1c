"""Reads an entry of wav.scp: a file, a member of a tar, or a piece of either, in any container of libsndfile.

    /data/a.flac                          wav, flac, mp3, opus, ogg, sph, ...
    /data/shard.tar:1536                  the member whose data begins at byte 1536 (kaldiio, omniio), in any container
    /data/talk.opus#t=780.310,783.130     the piece between two times in seconds (W3C media fragment)
    /data/call.sph#t=1.5&channel=1        from a time to the end; one channel, counted from 0

Rates and channels are converted on reading, so no corpus has to be copied.
"""

import io
import math
import mmap
import os
import re
import sys
import tarfile
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Tuple

import numpy as np
import soundfile

from espnet_llmasr import containers
from espnet_llmasr.files import PathLike

_SECONDS = r"\d+(?:\.\d+)?"
_ENTRY = re.compile(
    r"(?s)(?P<path>.*?)(?:(?<=\.tar):(?P<offset>\d+))?"
    rf"(?:#t=(?P<start>{_SECONDS})(?:,(?P<end>{_SECONDS}))?(?:&channel=(?P<channel>\d))?)?"
)
_MISSING_S = 0.1  # more than this missing at the end is damage
_ALL = sys.maxsize  # what libsndfile states for a FLAC that states no length
_MOST_CHANNELS = 64  # of an array: more are samples, as in torchaudio's (channels, samples)
_BLOCK = 1 << 20  # samples read at a time
_FILTER = 10  # half the length of scipy's resampling filter, in samples of the lower rate
_RATES = (1000, 768000)  # Hz; headers with others are damaged
_BYTES_PER_S = 16  # no codec of speech needs less
_QUIET = 2.0**-14  # between the lowest and the highest sample: four steps of 16 bits
_LOUD = 10.0  # of full scale: such samples were not divided by 32768
_FULL = 0.999
_MPEG_SLACK = 3  # frames by which encoders pad
_FLAC_SLACK = 4096  # bytes of a FLAC that may follow its last frame: tags
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
    """None: the entry is no piece; inf: the piece reaches to the end."""
    channel: Optional[int] = None
    """None: the mean of all."""

    @classmethod
    def parse(cls, text: str) -> "Entry":
        match = _ENTRY.fullmatch(text)
        path, offset, start, end, channel = match.groups()
        offset = offset and (int(offset) if len(offset) < 20 else sys.maxsize)  # no file is so large
        if start is not None:
            end = min(float(end), sys.float_info.max) if end else math.inf
        return cls(path, offset, float(start or 0), end, channel and int(channel))

    def exists(self) -> bool:
        """The file is there and not empty; it is not opened."""
        try:
            return os.stat(self.path).st_size > 0
        except (OSError, ValueError):
            return False

    def __str__(self) -> str:
        return f"{self.path}{'' if self.offset is None else f':{self.offset}'}{self.fragment}"

    @property
    def fragment(self) -> str:
        """#t=1.000,2.500, #t=1.000 or #t=1.000,2.500&channel=1; empty for what is no piece."""
        if self.end is None:
            return ""
        end = f",{self.end:.3f}" if math.isfinite(self.end) else ""
        return f"#t={self.start:.3f}{end}" + ("" if self.channel is None else f"&channel={self.channel}")


def find_files(folder: PathLike) -> Iterator[Path]:
    """All audio files below a folder, in any order; links are followed."""
    paths = (Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)
    return (path for path in paths if path.suffix.lower() in SUFFIXES)


def info(entry: str) -> Info:
    """Reads the header only; decodes what states no length, and counts the frames of such an mp3.

    Raises AudioError: missing_wav, empty_wav, unreadable_wav (no container that libsndfile reads), damaged_wav (one that
    it cannot decode), bad_offset (of no member of the tar), bad_rate, no_channel, beyond_end for a piece that ends more
    than 0.1 s after the recording; truncated_wav, joined_wav or wrong_length where the file has less than it states, or
    more.
    """
    where = Entry.parse(entry)
    with _open(where, entry) as sound:
        plain = sound.format in UNCOMPRESSED and sound.subtype.startswith("PCM_")
        frames = sound.frames if sound.frames < _ALL else _decoded_frames(where.path, where.offset, _stamp(where))
        seconds = frames / sound.samplerate
        if frames and where.end is not None and max(where.start, _finite(where.end)) > seconds + _MISSING_S:
            raise AudioError("beyond_end", entry)
        first, last = _span(sound, where, frames)
        if first >= last:
            raise AudioError("empty_wav", entry)
        return Info(sound.samplerate, 1 if where.channel is not None else sound.channels, last - first, plain)


def stated_seconds(entry: str) -> float:
    """The length of a whole file by its header, 0 where that states none: nothing is decoded. Raises as `info`."""
    with _open(Entry.parse(entry), entry) as sound:
        return sound.frames / sound.samplerate if sound.frames < _ALL else 0.0


def _finite(seconds: float) -> float:
    return seconds if math.isfinite(seconds) else 0.0


def _stamp(where: Entry) -> Tuple[int, int]:
    """Changes whenever the file does."""
    try:
        status = os.stat(where.path)
    except OSError:
        return 0, 0  # opening it tells why
    return status.st_mtime_ns, status.st_size


@lru_cache(256)
def _decoded_frames(path: str, offset: Optional[int], stamp: Tuple[int, int]) -> int:
    """Number of samples per channel of a file that states none; once for all pieces of a recording."""
    where = Entry(path, offset)
    with _open(where, str(where)) as sound:
        try:
            return sum(map(len, _blocks(sound, _ALL)))
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError("damaged_wav", str(where)) from error


def refuse_more_than_stated(entry: str) -> None:
    """Raises AudioError, as `info`, for what only all of a file tells: another one behind it, more than it states."""
    where = Entry.parse(entry)
    reason = _excess(where.path, where.offset, _stamp(where))
    if reason:
        raise AudioError(reason, entry)


@lru_cache(256)
def _excess(path: str, offset: Optional[int], stamp: Tuple[int, int]) -> str:
    where = Entry(path, offset)
    with _content(where, str(where)) as data:
        reason = containers.joined_fault(data)
        if reason:
            return reason
        with _open(where, str(where)) as sound:
            frames, rate, form = sound.frames, sound.samplerate, sound.format
        if form == "MP3":
            return _excess_of_mpeg(containers.mpeg(data), frames, rate)
        if form == "FLAC" and frames < _ALL:
            with nullcontext(io.BytesIO(data)) if offset is not None else open(path, "rb") as file:
                return "wrong_length" if _unread(file, frames) > _FLAC_SLACK else ""
    return ""


def _excess_of_mpeg(found: Optional[containers.Mpeg], frames: int, rate: int) -> str:
    if not found or found.frames * found.samples <= frames + max(_MISSING_S * rate, _MPEG_SLACK * found.samples):
        return ""
    return "joined_wav" if found.joined else "wrong_length"


def _unread(file: BinaryIO, frames: int) -> int:
    """Bytes of a FLAC behind its last sample, by its head."""
    with soundfile.SoundFile(file) as sound:
        try:
            sound.seek(max(0, frames - 1))
            sound.read(1)
        except soundfile.SoundFileError:
            return 0  # it has fewer: reading tells
        position = file.tell()
        return file.seek(0, os.SEEK_END) - position


def read(entry: str, rate: int) -> np.ndarray:
    """float32 mono samples (N,) at `rate` Hz; channels are averaged, other rates resampled (polyphase).

    Raises AudioError as `info`, truncated_wav where less can be decoded than the header promises, and nan_samples.
    """
    samples, source_rate = read_at_own_rate(entry)
    return samples if source_rate == rate else resample(samples, source_rate, rate).astype(np.float32)


def read_at_own_rate(entry: str) -> Tuple[np.ndarray, int]:
    """float32 mono samples (N,) and their rate in Hz. Raises as `read`."""
    blocks = _mono_blocks(entry)
    source_rate = next(blocks)
    samples = list(blocks)
    return samples[0] if len(samples) == 1 else np.concatenate(samples), source_rate


def stream(entry: str, rate: int) -> Iterator[np.ndarray]:
    """The samples of `read` in blocks (N,) of about a minute, so that a recording of any length takes little memory.

    Raises as `read`; damage at the end of a file is found after the blocks before it.
    """
    blocks = _mono_blocks(entry)
    source_rate = next(blocks)
    return blocks if source_rate == rate else _resampled(blocks, source_rate, rate)


def _mono_blocks(entry: str) -> Iterator:
    """The rate in Hz, then blocks of float32 mono samples (N,). Raises as `read`."""
    where = Entry.parse(entry)
    with _open(where, entry) as sound:
        yield sound.samplerate
        first, last = _span(sound, where, sound.frames)
        if first >= last:
            raise AudioError("empty_wav", entry)
        number = 0
        try:
            for samples in _piece(sound, first, last):
                if not np.isfinite(samples).all():
                    raise AudioError("nan_samples", entry)
                number += len(samples)
                yield _mono(samples, where.channel)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError("damaged_wav", entry) from error
        if number == 0 or last < _ALL and number < last - first - _MISSING_S * sound.samplerate:
            raise AudioError("truncated_wav", entry)


def _mono(samples: np.ndarray, channel: Optional[int]) -> np.ndarray:
    """(N, channels) -> (N,): one channel, or the mean of all."""
    if channel is not None:
        return samples[:, min(channel, samples.shape[1] - 1)]
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def of_array(speech, fs: float, rate: int) -> np.ndarray:
    """Samples as a caller has them -> float32 mono samples (N,) at `rate` Hz.

    Args:
        speech: (N,) or (N, channels), floats in [-1, 1] or signed integers. fs: their rate in Hz.
    Raises:
        ValueError: other shapes, types or rates, and samples that are no numbers.
    """
    samples = np.asarray(speech)
    if samples.ndim not in (1, 2) or samples.ndim == 2 and not 1 <= samples.shape[1] <= _MOST_CHANNELS:
        raise ValueError(f"speech has the shape {samples.shape}: give (samples,) or (samples, channels)")
    if samples.dtype.kind not in "fi":
        raise ValueError(f"speech has samples of {samples.dtype}: give floats in [-1, 1], or signed integers")
    if not _RATES[0] <= fs <= _RATES[1] or fs != int(fs):
        raise ValueError(f"speech has {fs} samples a second: give fs in Hz, from {_RATES[0]} to {_RATES[1]}")
    if not np.isfinite(samples).all():
        raise ValueError("speech has samples that are no numbers (NaN or infinite): look at what made them")
    if samples.dtype.kind == "i":
        samples = samples / -float(np.iinfo(samples.dtype).min)
    samples = samples if samples.ndim == 1 else _mono(samples, None)
    return (samples if fs == rate else resample(samples, int(fs), rate)).astype(np.float32)


def fault_of(samples: np.ndarray) -> str:
    """The fault of samples (N,) that can be read, but that nobody can understand; empty if there is none.

    silent_wav: all are the same, up to noise below 16 bits. too_loud: some are ten times too large, or half are clipped.
    """
    lowest, highest = samples.min(), samples.max()
    if highest - lowest <= _QUIET:
        return "silent_wav"
    peak = max(-lowest, highest)
    clipped = peak >= _FULL and np.mean(np.abs(samples) >= 0.9 * peak) > 0.5
    return "too_loud" if peak > _LOUD or clipped else ""


def fault_of_plain(entry: str, seconds: float) -> str:
    """`fault_of` an uncompressed entry of this length; half a second of its middle is enough if nothing is wrong there."""
    where = Entry.parse(entry)
    middle = where.start + seconds / 2
    part = replace(where, start=middle - 0.25, end=middle + 0.25)
    if seconds > 0.5 and not fault_of(read_at_own_rate(str(part))[0]):
        return ""
    return fault_of(read_at_own_rate(entry)[0])


def _piece(sound: soundfile.SoundFile, first: int, last: int) -> Iterator[np.ndarray]:
    """Blocks (N, channels) of the samples from `first` to `last`; fewer if the file has less than its header says.

    libsndfile seeks some milliseconds too far within the last page of Ogg Vorbis, and inexactly in all of mp3.
    """
    begin = first
    if sound.format in ("MP3", "MPEG") or sound.frames == _ALL:
        begin = 0
    elif sound.subtype == "VORBIS":
        begin = max(0, min(first, sound.frames - int(_LAST_PAGE_S * sound.samplerate)))
    if begin:
        sound.seek(begin)
    for block in _blocks(sound, last - begin):  # a damaged header may state more than fits into memory
        yield block[max(0, first - begin) :]
        begin += len(block)


def _blocks(sound: soundfile.SoundFile, left: int) -> Iterator[np.ndarray]:
    """Blocks (at most _BLOCK, channels) of the next `left` samples, or those up to the end; at least one."""
    while True:
        block = sound.read(min(left, _BLOCK), dtype="float32", always_2d=True)
        yield block
        left -= len(block)
        if len(block) < _BLOCK:
            return


def _span(sound: soundfile.SoundFile, where: Entry, frames: int) -> Tuple[int, int]:
    """First sample of the entry, and the one after its last."""
    if where.end is None:
        return 0, frames
    first, last = (round(min(t * sound.samplerate, frames)) for t in (where.start, where.end))
    return first, max(first, last)


def resample(samples: np.ndarray, source_hz: int, target_hz: int) -> np.ndarray:
    """(N,) -> (N * target / source,), polyphase."""
    from scipy.signal import resample_poly  # 0.3 s to import

    divisor = math.gcd(source_hz, target_hz)
    return resample_poly(samples, target_hz // divisor, source_hz // divisor)


def _resampled(blocks: Iterator[np.ndarray], source_hz: int, target_hz: int) -> Iterator[np.ndarray]:
    """Blocks whose concatenation is `resample` of the concatenated blocks: each is resampled with its surroundings."""
    up, down = (rate // math.gcd(source_hz, target_hz) for rate in (target_hz, source_hz))
    margin = -(-_FILTER * max(up, down) // (up * down)) * down  # samples around a block that its filter reaches
    held, before = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        end = (len(held) - margin) // down * down
        if end > before:
            yield _part(held[: end + margin], before, end, up, down)
            start = max(0, end - margin)
            held, before = held[start:], end - start
    yield _part(held, before, len(held), up, down)


def _part(samples: np.ndarray, begin: int, end: int, up: int, down: int) -> np.ndarray:
    """Resamples (N,), and returns what became of the samples from `begin`, a multiple of `down`, to `end`."""
    return resample(samples, down, up)[begin * up // down : -(-end * up // down)].astype(np.float32)


class _Sound(soundfile.SoundFile):
    """A file that is read on without seeking, as soundfile would after every read.

    libsndfile seeks inexactly in mp3 and Ogg Vorbis, and not at all where it does not know the length.
    """

    def seekable(self) -> bool:
        return False


def _open(where: Entry, entry: str) -> soundfile.SoundFile:
    with _content(where, entry) as data:
        reason = containers.length_fault(data)
        if reason:
            raise AudioError(reason, entry)
        try:
            sound = _Sound(os.fsencode(where.path) if where.offset is None else io.BytesIO(data))
            if sound.format == "MP3":
                sound = _with_known_length(sound, data, entry)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError("damaged_wav" if containers.is_known(data) else "unreadable_wav", entry) from error
        try:
            _refuse_absurd(sound, len(data), where, entry)
        except AudioError:
            sound.close()
            raise
        return sound


def _with_known_length(sound: soundfile.SoundFile, data, entry: str) -> soundfile.SoundFile:
    """An mp3 as it is, or opened anew with a frame count where it has none and libsndfile has guessed too low."""
    found = containers.mpeg(data, whole=False)
    if found is None or found.counted:
        return sound
    if found.cut:
        sound.close()
        raise AudioError("truncated_wav", entry)
    missing = found.frames * found.samples - sound.frames
    if missing <= max(_MISSING_S * sound.samplerate, _MPEG_SLACK * found.samples):
        return sound
    sound.close()
    return _Sound(io.BytesIO(found.with_count(data)))


def _refuse_absurd(sound: soundfile.SoundFile, size: int, where: Entry, entry: str) -> None:
    """Raises AudioError for a header that no recording can have."""
    if not _RATES[0] <= sound.samplerate <= _RATES[1]:
        raise AudioError("bad_rate", entry)
    if sound.frames < _ALL and sound.frames / sound.samplerate > size / _BYTES_PER_S:
        raise AudioError("wrong_length", entry)
    if where.channel is not None and 1 < sound.channels <= where.channel:
        raise AudioError("no_channel", entry)


def _content(where: Entry, entry: str):
    """A context manager of the bytes of a file (mmap) or of a member of a tar."""
    path = Path(where.path)
    if not os.path.isfile(path):  # also False for a name that no file can have
        raise AudioError("missing_wav", entry)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise AudioError("empty_wav", entry)
            if where.offset is not None:
                return nullcontext(_member(file, size, where.offset, entry))
            return closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise AudioError("unreadable_wav", entry) from error


def _member(tar: BinaryIO, tar_size: int, offset: int, entry: str) -> bytes:
    """The data of a tar member; its header, the 512 bytes before, tells the size."""
    if not tarfile.BLOCKSIZE <= offset <= tar_size or offset % tarfile.BLOCKSIZE:
        raise AudioError("bad_offset", entry)
    tar.seek(offset - tarfile.BLOCKSIZE)
    try:
        member = tarfile.TarInfo.frombuf(tar.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise AudioError("bad_offset", entry) from error
    if not member.isreg() or member.size < 0:
        raise AudioError("bad_offset", entry)
    if not member.size:
        raise AudioError("empty_wav", entry)
    if offset + member.size > tar_size:
        raise AudioError("truncated_wav", entry)
    return tar.read(member.size)
