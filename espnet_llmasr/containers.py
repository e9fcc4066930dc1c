"""What the structure of an audio file tells about its length, without decoding: cut, joined, or of another length.

libsndfile takes what is there: of a cut AIFF the rest, of two FLACs behind each other the first, of an mp3 without a
frame count a guess. Each function takes the bytes of a file (bytes or mmap) and returns a reason of `audio.AudioError`,
or "" where the length is as the file states it, or the file does not state it and all of it can be read.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Iterator, NamedTuple, Optional, Tuple

SLACK = 1024  # bytes by which writers miscount, and of tags behind the sound
NO_LENGTH = {4: 0x7FFF0000, 8: 1 << 62}  # width of a size in bytes -> what a writer to a pipe states, or more
PAGE = 65307  # bytes of the largest page of Ogg
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MAGIC = re.compile(rb"(RIFF|RIFX|RF64)....WAVE|FORM....AIF|riff|caff|\.snd|NIST_1A|fLaC|OggS|ID3", re.DOTALL)
_TO_THE_END = (b"NIST", b"riff")  # libsndfile takes all that follows for sound
_FLAC_HEAD = b"fLaC\0\0\0\x22"
_OGG_PAGE = re.compile(rb"OggS\0[\0-\7]", re.DOTALL)
_OGG_JOINED = re.compile(rb"OggS\0[\0\1\4\5].*?OggS\0[\2\6]", re.DOTALL)  # a first page behind one that is none
_SPHERE = re.compile(rb"^(sample_count|channel_count|sample_n_bytes) -i (\d{1,18})\s", re.MULTILINE)


@dataclass(frozen=True)
class Chunked:
    """A container that is a row of chunks, each an id, a size and its content."""

    first: int
    """The offset of the first chunk."""
    data: bytes
    """The id of the chunk of sound."""
    order: str
    id_bytes: int = 4
    size_bytes: int = 4
    align: int = 2
    counts_head: bool = False
    """The size of a chunk counts its id and its size, too."""


CHUNKED = {
    b"RIFF": Chunked(12, b"data", "little"),
    b"RF64": Chunked(12, b"data", "little"),
    b"RIFX": Chunked(12, b"data", "big"),
    b"FORM": Chunked(12, b"SSND", "big"),
    b"riff": Chunked(40, b"data", "little", id_bytes=16, size_bytes=8, align=8, counts_head=True),
    b"caff": Chunked(8, b"data", "big", size_bytes=8, align=1),
}


def is_known(data) -> bool:
    """The file begins as one of a container that libsndfile reads, whatever follows."""
    return bool(_MAGIC.match(data)) or _frame(bytes(data[:4])) is not None


def length_fault(data) -> str:
    """truncated_wav, joined_wav, wrong_length or (Ogg) damaged_wav by the head, and in Ogg the last page: reads little."""
    magic = bytes(data[:4])
    if magic in CHUNKED:
        return _fault_of_chunks(data, magic, CHUNKED[magic])
    if magic == b".snd":
        begin, size = (int.from_bytes(data[at : at + 4], "big") for at in (4, 8))
        return _fault_of_span(data, magic, begin, size, 4)
    if magic == b"NIST":
        return _fault_of_sphere(data, magic)
    return _fault_of_pages(data) if magic == b"OggS" else ""


def joined_fault(data) -> str:
    """joined_wav for a FLAC or an Ogg with another behind it; looks through all of the file."""
    magic = bytes(data[:4])
    if magic == b"OggS":
        return "joined_wav" if _OGG_JOINED.search(data) else ""
    first = data.find(_FLAC_HEAD) if magic[:3] in (b"fLa", b"ID3") else -1
    return "joined_wav" if first >= 0 and data.find(_FLAC_HEAD, first + 1) > 0 else ""


def _fault_of_chunks(data, magic: bytes, form: Chunked) -> str:
    total = _stated_total(data, magic)
    if len(data) + SLACK < total:
        return "truncated_wav"
    at, end = form.first, None
    while at + form.id_bytes + form.size_bytes <= len(data):
        name = bytes(data[at : at + 4])
        if name == magic:
            return "joined_wav"
        size_at = at + form.id_bytes
        size = int.from_bytes(data[size_at : size_at + form.size_bytes], form.order)
        if magic == b"RF64" and name == b"data" and size == 0xFFFFFFFF:
            size = int.from_bytes(data[28:36], "little")
        begin = size_at + form.size_bytes
        size -= (begin - at) * form.counts_head
        if name == form.data and end is None:
            if size >= NO_LENGTH[form.size_bytes] and begin + size > len(data) or size == 0 and magic == b"FORM":
                return ""
            if begin + size > len(data) + SLACK:
                return "truncated_wav"
            end = begin + size
        elif not re.fullmatch(rb"[ -~]{4}", name) or size < 0 or begin + size > len(data):
            break
        at = begin + size + -size % form.align
        if end == begin + size and data[end : end + 4] == magic:
            return "joined_wav"  # a writer that does not align
    return _fault_of_rest(data, magic, at) if end is not None else ""


def _stated_total(data, magic: bytes) -> int:
    """Bytes of the file by its head; 0 where it states none."""
    if magic == b"caff":
        return 0
    if magic in (b"RIFF", b"RIFX", b"FORM"):
        size = int.from_bytes(data[4:8], CHUNKED[magic].order)
        return size + 8 if size < NO_LENGTH[4] else 0
    size = int.from_bytes(data[20:28] if magic == b"RF64" else data[16:24], "little")
    return size if size < NO_LENGTH[8] else 0


def _fault_of_span(data, magic: bytes, begin: int, size: int, width: int) -> str:
    """Of a container whose head is followed by nothing but `size` bytes of sound."""
    if begin + size <= len(data) + SLACK:
        return _fault_of_rest(data, magic, begin + size)
    return "" if size >= NO_LENGTH[width] else "truncated_wav"


def _fault_of_rest(data, magic: bytes, end: int) -> str:
    """Of what follows the sound: nothing, zeros, a tag and a few bytes are no fault."""
    rest = bytes(data[end : end + (1 << 20)])
    if rest.startswith(magic):
        return "joined_wav"
    zeros = magic not in _TO_THE_END and not rest.strip(b"\0")
    return "" if len(data) - end <= SLACK or rest.startswith(_TAGS) or zeros else "wrong_length"


def _fault_of_sphere(data, magic: bytes) -> str:
    head = bytes(data[:1024]).partition(b"end_head")[0]
    numbers = {name: int(number) for name, number in _SPHERE.findall(head)}
    length = head[8:16].strip()
    if len(numbers) < 3 or not numbers[b"sample_count"] or not length.isdigit() or b"embedded" in head:
        return ""
    samples, channels, width = (numbers[name] for name in (b"sample_count", b"channel_count", b"sample_n_bytes"))
    return _fault_of_span(data, magic, int(length), samples * channels * width, 8)


def _fault_of_pages(data) -> str:
    """Of an Ogg whose last page is not all there or damaged, or belongs to another stream than the first, or whose
    pages up to the first with sound are damaged: libsndfile leaves such pages out, and misses only those between."""
    tail = bytes(data[-(PAGE + SLACK) :])
    pages = [match.start() for match in _OGG_PAGE.finditer(tail)]
    if pages and not _ogg_page(tail[pages[-1] :]):
        return "truncated_wav"
    if pages and tail[pages[-1] :][14:18] != data[14:18]:
        return "joined_wav"
    at, position = 0, 0
    while position <= 0 and at < len(data):
        page = _ogg_page(bytes(data[at : at + PAGE]))
        if not page.startswith(b"OggS"):
            return "damaged_wav"
        at, position = at + len(page), int.from_bytes(page[6:14], "little", signed=True)
    return ""


def _ogg_page(data: bytes) -> bytes:
    """The page that begins these bytes; empty if it is not all there, or not as its checksum states."""
    head = 27 + data[26] if len(data) > 26 else 28
    size = head + sum(data[27:head])
    page = data[:size]
    is_whole = _ogg_checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little")
    return page if is_whole and len(page) == size else b""


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 of RFC 3533: that of zlib with its bits in the other order, and without its inversions."""
    inverted = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{inverted:032b}"[::-1], 2)


class Mpeg(NamedTuple):
    """The frames of an mp3; one that only holds a frame count is not counted."""

    frames: int
    samples: int
    """In a frame, per channel."""
    rate: int
    counted: bool
    """The first frame states how many follow."""
    joined: bool
    """A later frame does."""
    cut: bool
    """The last frame is not all there."""
    head: bytes
    """The four bytes that begin its first frame."""

    def with_count(self, data) -> bytes:
        """The file with one more frame at its beginning, which states the number of frames."""
        head = bytes([self.head[0], self.head[1] | 1, 0x80 | self.head[2] & 0x0D, self.head[3]])  # long, no checksum
        frame, at = bytearray(_frame(head)[0]), 4 + _side_bytes(head)
        frame[:4] = head
        frame[at : at + 12] = b"Xing" + (1).to_bytes(4, "big") + self.frames.to_bytes(4, "big")
        return bytes(frame) + data[_skip_tags(data, 0) :]


_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_HERTZ = (44100, 48000, 32000, 0)


def mpeg(data, whole: bool = True) -> Optional[Mpeg]:
    """The frames of an mp3; if not `whole`, of one that states their number only the first is looked at.

    None where the file does not begin with a frame.
    """
    counted, joined, number, first, at = False, False, 0, None, 0
    for at, size in _frames(data):
        head = bytes(data[at : at + 4])
        side = at + 4 + _side_bytes(head)
        states = data[side : side + 4] in (b"Xing", b"Info") or data[at + 36 : at + 40] == b"VBRI"
        number += not states
        if first is not None:
            joined |= states
        else:
            first, counted = head, states
            if counted and not whole:
                break
        at += size
    if first is None:
        return None
    _, samples, rate = _frame(first)
    return Mpeg(number, samples, rate, counted, joined, at > len(data), first)


def _frames(data) -> Iterator[Tuple[int, int]]:
    """(offset, length) of the frames, also behind tags between them; the last may end behind the file."""
    at = 0
    while at < len(data):
        frame = _frame(data[at : at + 4])
        behind = at + frame[0] if frame else _skip_tags(data, at)
        if frame:
            yield at, frame[0]
        elif behind == at:
            return
        at = behind


def _frame(head: bytes) -> Optional[Tuple[int, int, int]]:
    """(length in bytes, samples, rate in Hz) by the four bytes that begin a frame of layer III; None for other bytes."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version = (head[1] >> 3) & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    kbits = (_KBITS_1 if version == 3 else _KBITS_2)[head[2] >> 4]
    rate = _HERTZ[(head[2] >> 2) & 3] >> (2, 0, 1, 0)[version]
    if version == 1 or not kbits or not rate:
        return None
    samples = 1152 if version == 3 else 576
    return samples // 8 * kbits * 1000 // rate + ((head[2] >> 1) & 1), samples, rate


def _side_bytes(head: bytes) -> int:
    """Bytes between the head of a frame and its frame count."""
    mono, mpeg_1 = head[3] >> 6 == 3, head[1] & 8
    return (17 if mono else 32) if mpeg_1 else (9 if mono else 17)


def _skip_tags(data, at: int) -> int:
    """The offset behind the ID3 tags, of both kinds, that begin at `at`."""
    while True:
        if data[at : at + 3] == b"ID3" and len(data) >= at + 10:
            at += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[at + 6 : at + 10], (21, 14, 7, 0)))
        elif data[at : at + 3] == b"TAG":
            at += 128
        else:
            return at
