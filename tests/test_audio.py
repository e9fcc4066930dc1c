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
