"""Files of unknown, wrong or absurd length, cut or joined: decoded whole, or refused by a reason, in every container."""

import io
import os
import re
import struct
import tarfile

import numpy as np
import pytest
import soundfile

from espnet_llmasr import audio, containers

RATE = 16000
FORMATS = {
    "wav": {},
    "wav float": dict(format="WAV", subtype="FLOAT"),
    "wavex": dict(format="WAVEX"),
    "rf64": dict(format="RF64"),
    "w64": dict(format="W64"),
    "aiff": dict(format="AIFF"),
    "au": dict(format="AU"),
    "caf": dict(format="CAF"),
    "sph": dict(format="NIST", subtype="PCM_16"),
    "flac": dict(format="FLAC"),
    "ogg": dict(format="OGG", subtype="VORBIS"),
    "opus": dict(format="OGG", subtype="OPUS"),
    "mp3": dict(format="MP3"),
}


def encoded(name, seconds=3.0, seed=0, rate=RATE, channels=1, **more):
    """The bytes of a file of noise."""
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, (round(seconds * rate), channels)).astype("float32")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", **FORMATS[name], **more})
    return file.getvalue()


WHOLE = {name: encoded(name) for name in FORMATS}
SECOND = {name: encoded(name, 2.0, seed=1) for name in FORMATS}


def change(content, *changes):
    """`content` with other bytes at some offsets."""
    content = bytearray(content)
    for at, new in changes:
        content[at : at + len(new)] = new
    return bytes(content)


def flac(samples, content=None):
    """A FLAC that states another number of samples (0: unknown)."""
    content = content or WHOLE["flac"]
    first = bytes([content[21] & 0xF0 | samples >> 32])
    return change(content, (21, first + struct.pack(">I", samples & 0xFFFFFFFF)))


def wav(riff=None, data=None):
    sizes = [(at, struct.pack("<I", size)) for at, size in ((4, riff), (40, data)) if size is not None]
    return change(WHOLE["wav"], *sizes)


def sphere(count):
    head, sound = WHOLE["sph"][:1024], WHOLE["sph"][1024:]
    return head.replace(b"sample_count -i 48000", b"sample_count -i %d" % count).ljust(1024)[:1024] + sound


def without_count(content):
    """An mp3 as a pipe writes it: without the frame that states how many follow."""
    return content[containers._frame(content[:4])[0] :]


def entry_of(tmp_path, content, in_tar=False):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    if not in_tar:
        return str(path)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(path, arcname="x")
    return f"{tmp_path}/a.tar:512"


def outcome(entry):
    """Seconds that can be read, or the reason why the entry is dropped by stage 2, which decodes it."""
    try:
        info = audio.info(entry)
        audio.refuse_more_than_stated(entry)
        seconds = len(audio.read(entry, RATE)) / RATE
    except audio.AudioError as error:
        return error.reason
    assert seconds == info.samples_at(RATE) / RATE
    return seconds


PIPE = 0xFFFFFFFF
RIFX = encoded("wav", endian="BIG")
NO_LENGTH = {
    "rifx of a pipe": change(RIFX, (4, b"\xff" * 4), (40, b"\xff" * 4)),
    "flac": flac(0),
    "flac, 44.1 kHz, two channels": flac(0, encoded("flac", rate=44100, channels=2)),
    "flac behind an ID3 tag": b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + flac(0),
    "wav of a pipe": wav(PIPE, PIPE),
    "wav of a pipe, 2 GB": wav(0x7FFFFFFF, 0x7FFFFFFF - 36),
    "wav, no RIFF size": wav(0),
    "au of a pipe": change(WHOLE["au"], (8, b"\xff" * 4)),
    "aiff of a pipe": change(WHOLE["aiff"], (4, bytes(4)), (42, bytes(4))),
    "sph without a count": sphere(0),
    "w64 of a pipe": change(WHOLE["w64"], (16, b"\xff" * 7 + b"\x7f")),
}


@pytest.mark.parametrize("in_tar", [False, True])
@pytest.mark.parametrize("name", NO_LENGTH)
def test_a_file_that_states_no_length_is_decoded_to_its_end(tmp_path, name, in_tar):
    assert outcome(entry_of(tmp_path, NO_LENGTH[name], in_tar)) == 3.0


@pytest.mark.parametrize("content", [WHOLE["mp3"], encoded("mp3", rate=44100, channels=2), encoded("mp3", rate=8000)])
def test_an_mp3_without_a_frame_count_is_decoded_to_its_end(tmp_path, content):
    """libsndfile guesses its length by its first frame: half of it in a file of varying bit rates."""
    whole, rate = audio.read_at_own_rate(entry_of(tmp_path, content))
    path = entry_of(tmp_path, without_count(content))
    assert 3.0 <= outcome(path) < 3.25
    again, _ = audio.read_at_own_rate(path)
    assert any(np.allclose(again[at : at + rate], whole[4000 : 4000 + rate], atol=1e-3) for at in range(3000, 8000))


def test_pieces_of_a_flac_without_a_length(tmp_path):
    entry = entry_of(tmp_path, flac(0))
    whole = audio.read(entry, RATE)
    for piece, expected in (("0.5,1.25", whole[8000:20000]), ("2.5", whole[40000:]), ("2.5,3.05", whole[40000:])):
        assert np.array_equal(audio.read(f"{entry}#t={piece}", RATE), expected)
        assert audio.info(f"{entry}#t={piece}").samples == len(expected)
    assert outcome(f"{entry}#t=1,4") == "beyond_end" and outcome(f"{entry}#t=9") == "beyond_end"


@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize("name", FORMATS)
def test_the_size_of_blocks_changes_nothing(tmp_path, monkeypatch, name, size):
    entry = entry_of(tmp_path, encoded(name, channels=2, rate=24000))
    with soundfile.SoundFile(entry) as sound:
        expected = sound.read(dtype="float32").mean(axis=1)
    monkeypatch.setattr(audio, "_BLOCK", size)
    assert np.array_equal(audio.read_at_own_rate(entry)[0], expected)
    assert np.array_equal(audio.read_at_own_rate(f"{entry}#t=1.5,2.9")[0], expected[36000:69600])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", FORMATS)
def test_a_cut_file_is_refused(tmp_path, name, share):
    content = WHOLE[name][: int(share * len(WHOLE[name]))]
    reason = outcome(entry_of(tmp_path, content))
    assert reason == ("damaged_wav" if name == "flac" else "truncated_wav")
    if name not in ("flac", "mp3"):  # all others show it in their heads, or in the last page
        with pytest.raises(audio.AudioError, match="truncated_wav"):
            audio.info(entry_of(tmp_path, content))


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_told_from_one_that_is_no_audio(tmp_path, name):
    """Random bytes behind the first ones of each container."""
    content = WHOLE[name][:12] + np.random.default_rng(1).bytes(5000)
    assert outcome(entry_of(tmp_path, content)) in ("damaged_wav", "truncated_wav")
    assert outcome(entry_of(tmp_path, b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(500))) == "unreadable_wav"


@pytest.mark.parametrize("name", ["ogg", "opus"])
def test_an_ogg_without_its_first_sound_is_refused(tmp_path, name):
    """libsndfile leaves a damaged page out, and takes the second of the recording that follows for the first."""
    content = encoded(name, 10.0)
    third = [match.start() for match in re.finditer(b"OggS", content)][2]
    assert outcome(entry_of(tmp_path, content)) == 10.0
    for change_at in (third, third + 200):
        assert outcome(entry_of(tmp_path, change(content, (change_at, b"XXXX")))) == "damaged_wav"


def test_a_cut_mp3_without_a_frame_count_is_refused(tmp_path):
    content = without_count(WHOLE["mp3"])
    assert outcome(entry_of(tmp_path, content[: len(content) // 2])) == "truncated_wav"


@pytest.mark.parametrize("in_tar", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_joined_files_are_refused(tmp_path, name, in_tar):
    assert outcome(entry_of(tmp_path, WHOLE[name], in_tar)) == 3.0
    for second in (SECOND[name], WHOLE[name]):
        assert outcome(entry_of(tmp_path, WHOLE[name] + second, in_tar)) == "joined_wav"


def test_joined_mp3_with_one_frame_count_or_none(tmp_path):
    first, second = without_count(WHOLE["mp3"]), without_count(SECOND["mp3"])
    assert outcome(entry_of(tmp_path, WHOLE["mp3"] + second)) == "wrong_length"
    tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
    for content in (
        first + second,
        first + SECOND["mp3"],
        first + tag + second,
        tag + first + b"TAG" + bytes(125) + second,
    ):
        assert 5.0 <= outcome(entry_of(tmp_path, content)) < 5.4


WRONG = {
    "wav: nothing": (wav(data=0), "wrong_length"),
    "wav: nothing, as left by a killed recorder": (wav(0, 0), "wrong_length"),
    "wav: a part": (wav(data=1000), "wrong_length"),
    "wav: a part, in both": (wav(1036, 1000), "wrong_length"),
    "wav: more than there is": (wav(data=200000), "truncated_wav"),
    "wav: 1 GB": (wav(10**9 + 36, 10**9), "truncated_wav"),
    "wav: 1 Hz": (change(WHOLE["wav"], (24, struct.pack("<I", 1))), "bad_rate"),
    "wav: 2 GHz": (change(WHOLE["wav"], (24, struct.pack("<I", 2**31 - 1))), "bad_rate"),
    "flac: a part": (flac(8000), "wrong_length"),
    "flac: a sample": (flac(1), "wrong_length"),
    "flac: more than there is": (flac(90000), "truncated_wav"),
    "flac: 49 days": (flac(2**36 - 1), "wrong_length"),
    "mp3: a part": (change(WHOLE["mp3"], (21, struct.pack(">I", 30))), "wrong_length"),
    "mp3: five years": (change(WHOLE["mp3"], (21, b"\xff" * 4)), "wrong_length"),
    "au: nothing": (change(WHOLE["au"], (8, bytes(4))), "wrong_length"),
    "au: a part": (change(WHOLE["au"], (8, struct.pack(">I", 1000))), "wrong_length"),
    "aiff: a part": (change(WHOLE["aiff"], (42, struct.pack(">I", 1000))), "wrong_length"),
    "rf64: a part": (change(WHOLE["rf64"], (28, struct.pack("<Q", 1000))), "wrong_length"),
    "rifx: a part of the file": (RIFX[:30000], "truncated_wav"),
    "ogg: the last page is damaged": (change(WHOLE["ogg"], (-50, bytes(20))), "truncated_wav"),
    "opus: the last page is damaged": (change(WHOLE["opus"], (-50, bytes(20))), "truncated_wav"),
    "sph: a part": (sphere(100), "wrong_length"),
    "sph: more than there is": (sphere(99999), "truncated_wav"),
    "sph: absurdly much": (sphere(10**17), "truncated_wav"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_length_is_refused(tmp_path, name):
    content, reason = WRONG[name]
    assert outcome(entry_of(tmp_path, content)) == reason


BEHIND = {
    "zeros": bytes(4000),
    "an ID3 tag": b"TAG" + b"a" * 125,
    "a few bytes": os.urandom(500),
    "a list of names": b"LIST\4\0\0\0INFO",
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", ["wav", "aiff", "au", "flac", "mp3", "ogg", "opus"])
def test_what_is_no_sound_may_follow(tmp_path, name, behind):
    assert outcome(entry_of(tmp_path, WHOLE[name] + BEHIND[behind])) == 3.0


def tar_of(tmp_path):
    """Two members of 700 bytes and of a wav."""
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, content in (("a.json", os.urandom(700)), ("b.wav", WHOLE["wav"])):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return tmp_path / "s.tar"


OFFSETS = {
    "2048": 3.0,
    "0" * 30 + "2048": "bad_offset",
    "0": "bad_offset",
    "100": "bad_offset",
    "511": "bad_offset",
    "512": "unreadable_wav",
    "1024": "bad_offset",
    "2047": "bad_offset",
    "2049": "bad_offset",
    "2560": "bad_offset",
    "9999360": "bad_offset",
    "9223372036854775807": "bad_offset",
    "9" * 25: "bad_offset",
    "1" + "0" * 5000: "bad_offset",
}


@pytest.mark.parametrize("offset", OFFSETS, ids=lambda offset: offset[:30])
def test_offsets_into_a_tar(tmp_path, offset):
    assert outcome(f"{tar_of(tmp_path)}:{offset}") == OFFSETS[offset]


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\x7f" * 11, b"77777777777\0", b"not a number"])
def test_absurd_sizes_of_a_member(tmp_path, size):
    path = tar_of(tmp_path)
    head = bytearray(path.read_bytes()[1536:2048])
    head[124:136] = size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(change(path.read_bytes(), (1536, bytes(head))))
    assert outcome(f"{path}:2048") in ("bad_offset", "truncated_wav")


TIMES = {
    "9" * 400: "beyond_end",
    "0," + "9" * 400: "beyond_end",
    "4": "beyond_end",
    "1,2.5": 1.5,
    "1": 2.0,
    "2.9,3.1": 0.1,
}


@pytest.mark.parametrize("times", TIMES, ids=lambda times: times[:30])
def test_times_of_any_size(tmp_path, times):
    assert outcome(f"{entry_of(tmp_path, WHOLE['wav'])}#t={times}") == TIMES[times]


def test_a_channel_of_a_piece(tmp_path):
    entry = entry_of(tmp_path, encoded("wav", channels=2))
    left, right = soundfile.read(entry, dtype="float32")[0].T
    assert np.array_equal(audio.read(f"{entry}#t=0&channel=0", RATE), left)
    assert np.array_equal(audio.read(f"{entry}#t=1,2&channel=1", RATE), right[RATE : 2 * RATE])
    assert audio.info(f"{entry}#t=1,2&channel=1").channels == 1 and audio.info(entry).channels == 2
    assert outcome(f"{entry}#t=1,2&channel=2") == "no_channel"
    mono = entry_of(tmp_path, WHOLE["wav"])
    assert np.array_equal(audio.read(f"{mono}#t=1,2&channel=1", RATE), audio.read(f"{mono}#t=1,2", RATE))


@pytest.mark.parametrize(
    "text", ["a.wav", "a.tar:512", "a.tar:512#t=1.000,2.500", "a#t=1.000", "a#t=0.500,2.000&channel=1"]
)
def test_an_entry_is_written_as_it_is_read(text):
    assert str(audio.Entry.parse(text)) == text


NOISE = np.random.default_rng(0).uniform(-0.3, 0.3, 8000).astype("float32")
FAULTS = {
    "zeros": (np.zeros(8000), "silent_wav"),
    "a constant": (np.full(8000, 0.85), "silent_wav"),
    "the last bits of 16": (np.sign(NOISE) / 32768, "silent_wav"),
    "a float wav in the range of 16 bits": (NOISE * 32768, "too_loud"),
    "one sample of 331,000": (np.append(NOISE, 331000), "too_loud"),
    "clipped": (np.clip(NOISE * 100, -1, 1), "too_loud"),
    "clipped at the highest value of 16 bits": (np.clip(NOISE * 100, -1, 32767 / 32768), "too_loud"),
    "noise": (NOISE, ""),
    "whispered": (NOISE / 100, ""),
    "with an offset": (NOISE / 10 + 0.85, ""),
    "some clipped": (np.clip(NOISE * 4, -1, 1), ""),
    "above full scale": (NOISE * 8, ""),
    "half silent": (np.append(np.zeros(8000), NOISE), ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_samples_that_nobody_can_understand(tmp_path, name):
    samples, fault = FAULTS[name]
    assert audio.fault_of(samples.astype("float32")) == fault
    soundfile.write(tmp_path / "a.wav", np.clip(samples, -1, 1), RATE)
    if np.abs(samples).max() <= 1:
        assert audio.fault_of_plain(str(tmp_path / "a.wav"), len(samples) / RATE) == fault
