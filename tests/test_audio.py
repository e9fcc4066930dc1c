"""Pieces are exactly what the whole file has there; audio that is cut is refused in every container that can tell."""

import tarfile

import numpy as np
import pytest
import soundfile

from espnet_llmasr import audio

RATE = 16000
CONTAINERS = dict.fromkeys(("wav", "flac", "mp3", "aiff"), {})
CONTAINERS |= {"ogg": dict(format="OGG", subtype="VORBIS"), "sph": dict(format="NIST", subtype="PCM_16")}


@pytest.fixture
def recording(tmp_path):
    """(suffix, seconds) -> a file in a folder with an awkward name."""

    def write(suffix, seconds=7.3, rate=RATE):
        folder = tmp_path / "a b #1:ü.tar:x"
        folder.mkdir(exist_ok=True)
        samples = np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * rate))
        soundfile.write(folder / f"c.{suffix}", samples, rate, **CONTAINERS[suffix])
        return folder / f"c.{suffix}"

    return write


def in_tar(path):
    """The entry of the file as a member of a tar."""
    with tarfile.open(path.with_suffix(".tar"), "w") as tar:
        tar.add(path, arcname="x")
    with tarfile.open(path.with_suffix(".tar")) as tar:
        return f"{path.with_suffix('.tar')}:{tar.getmembers()[0].offset_data}"


def reason(entry, read=lambda entry: audio.read(entry, RATE)):
    with pytest.raises(audio.AudioError) as error:
        read(str(entry))
    return error.value.reason


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("rate", [RATE, 24000])
def test_pieces_are_slices_of_the_whole(recording, suffix, rate):
    """Also in the last page of Ogg Vorbis, where libsndfile seeks up to 20 ms too far."""
    path = recording(suffix, rate=rate)
    for entry in (str(path), in_tar(path)):
        whole, _ = audio.read_at_own_rate(entry)
        for start, end in ((0, 1), (1.2345, 2.789), (6.5, 7.3), (7.0, 7.35), (7.2, 7.3)):
            piece = f"{entry}#t={start},{end}"
            expected = whole[round(start * rate) : min(round(end * rate), len(whole))]
            assert np.array_equal(audio.read_at_own_rate(piece)[0], expected)
            assert audio.info(piece).samples == len(expected)


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_a_cut_file_is_refused_as_a_tar_member_too(recording, suffix):
    path = recording(suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason(path) == reason(in_tar(path)) == "truncated_wav"
    assert reason(f"{path}#t=6,7") == "truncated_wav"


def test_a_hole_in_ogg_is_damage(recording):
    path = recording("ogg")
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(6000) + data[middle + 6000 :])
    assert reason(path) == "truncated_wav"


@pytest.mark.parametrize("entry", ["", "a\nb", "none.wav", "none.tar:512#t=1,2"])
def test_what_names_no_file_is_missing(entry):
    assert reason(entry) == reason(entry, audio.info) == "missing_wav"


@pytest.mark.parametrize("rates", [(16000, 16000), (44100, 16000), (8000, 16000), (48000, 16000), (22050, 8000)])
def test_a_stream_is_what_is_read_at_once(rates, tmp_path, monkeypatch):
    """Also a piece that begins within a block."""
    source, target = rates
    monkeypatch.setattr(audio, "_BLOCK", 5000)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (31234, 2)), source)
    for entry in (str(path), f"{path}#t=0.2,0.6&channel=1"):
        blocks = list(audio.stream(entry, target))
        assert len(blocks) > 1
        assert np.abs(np.concatenate(blocks) - audio.read(entry, target)).max() < 1e-6


def test_a_stream_of_a_file_that_is_cut_ends_with_its_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "_BLOCK", 4000)
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 64000), 16000)
    path.write_bytes(path.read_bytes()[:60000])
    blocks = audio.stream(str(path), 16000)
    assert len(next(blocks)) == 4000
    with pytest.raises(audio.AudioError, match="damaged_wav"):
        list(blocks)


def test_arrays_of_callers():
    """What soundfile, scipy and torch return, as float32 mono at the wanted rate."""
    floats = np.random.default_rng(0).uniform(-0.5, 0.5, 800)
    same = audio.of_array(floats, RATE, RATE)
    assert same.dtype == np.float32 and np.array_equal(same, floats.astype(np.float32))
    for dtype in (np.int16, np.int32):
        whole = np.round(floats * -float(np.iinfo(dtype).min)).astype(dtype)
        assert np.abs(audio.of_array(whole, RATE, RATE) - floats).max() < 2.0**-15
    assert np.allclose(audio.of_array(np.stack([floats, -floats], 1), RATE, RATE), 0.0)
    assert len(audio.of_array(floats.tolist(), 8000, RATE)) == 1600 and len(audio.of_array([], RATE, RATE)) == 0


@pytest.mark.parametrize(
    "speech, fs, message",
    [
        (np.zeros((1, 800), np.float32), RATE, r"the shape \(1, 800\): give \(samples,\) or \(samples, channels\)"),
        (np.float32(0.5), RATE, r"the shape \(\)"),
        (np.zeros(800, np.uint8), RATE, "samples of uint8: give floats"),
        (np.zeros(800, complex), RATE, "samples of complex128"),
        (["a.wav"], RATE, "samples of <U5"),
        (np.array([0.0, np.nan]), RATE, "no numbers"),
        (np.array([0.0, np.inf], np.float32), RATE, "no numbers"),
        (np.zeros(800), 0, "has 0 samples a second: give fs in Hz, from 1000 to 768000"),
        (np.zeros(800), 16, "has 16 samples a second"),
        (np.zeros(800), 16000.5, "has 16000.5 samples a second"),
        (np.zeros(800), float("nan"), "has nan samples a second"),
    ],
)
def test_arrays_that_are_no_speech_are_refused(speech, fs, message):
    with pytest.raises(ValueError, match=message):
        audio.of_array(speech, fs, RATE)
