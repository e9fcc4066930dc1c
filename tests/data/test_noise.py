"""Noise sources: what the generated kinds sound like, and pieces of the files in a folder."""

import os

import numpy as np
import pytest
import soundfile

from espnet_llmasr.data import noise
from espnet_llmasr.data.noise import audio_files, noise_source
from espnet_llmasr.data.sounds import KINDS

FS = 16000


def rng(seed=0):
    return np.random.default_rng(seed)


def spectrum(samples, size=8192):
    """Mean power (bins,) and its frequencies, by averaging windows."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2] * np.hanning(size)
    return (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0), np.fft.rfftfreq(size, 1 / FS)


def slope_db(samples, low, high):
    """dB per octave between two frequencies."""
    power, hertz = spectrum(samples)
    band = (hertz >= low) & (hertz <= high)
    return np.polyfit(np.log2(hertz[band]), 10 * np.log10(power[band]), 1)[0]


def share_below(samples, limit_hz):
    power, hertz = spectrum(samples)
    return power[hertz < limit_hz].sum() / power.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 401, 16000, 159999])
def test_kinds_give_the_wanted_samples_and_repeat(kind, size):
    source = noise_source(kind, FS)
    first, again, other = (source(size, rng(seed)) for seed in (3, 3, 4))
    assert first.shape == (size,) and first.dtype == np.float32 and np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert size < FS or (not np.array_equal(first, other) and first.std() > 0)


def test_vehicle_and_hum_are_low_and_hum_has_lines():
    vehicle, hum = (noise_source(kind, FS)(10 * FS, rng(1)) for kind in ("vehicle", "hum"))
    assert share_below(vehicle, 300) > 0.85 and share_below(hum, 700) > 0.9
    power, hertz = spectrum(hum)
    strongest = hertz[power.argmax()]
    assert min(abs(strongest - mains * k) for mains in (50, 60) for k in range(1, 11)) < 2
    assert slope_db(vehicle, 400, 1500) < -6


def test_babble_is_voiced_and_music_has_notes():
    """Both change over time, unlike stationary noise; music keeps to few frequencies."""
    levels = {}
    for kind in ("white", "babble", "music"):
        sound = noise_source(kind, FS)(10 * FS, rng(2))
        frames = sound[: len(sound) // 400 * 400].reshape(-1, 400)
        level = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
        levels[kind] = level.std()
        power, _ = spectrum(sound)
        levels[f"{kind} peaks"] = np.sort(power)[::-1][:40].sum() / power.sum()
    assert levels["babble"] > 2 and levels["music"] > 1 and levels["white"] < 0.6
    assert levels["music peaks"] > 0.5 > levels["white peaks"]
    assert share_below(noise_source("babble", FS)(10 * FS, rng()), 4200) > 0.99


def test_clicks_are_short_and_far_apart():
    """Most of the time nothing is heard; the power of each knock has gone after 20 ms."""
    for seed in range(20):
        sound = noise_source("clicks", FS)(5 * FS, rng(seed))
        heard = (np.abs(sound[: 5 * FS].reshape(-1, FS // 100)) > 1e-3).any(axis=1)
        assert 0 < heard.mean() < 0.6
        assert np.abs(sound).max() > 0.09
    assert np.abs(noise_source("clicks", FS)(100, rng())).max() > 0


# ---- folders -------------------------------------------------------------------------------------------------------


def ramp(seconds, rate=FS):
    """Samples that tell their place: from -0.8 to 0.8."""
    return np.linspace(-0.8, 0.8, int(seconds * rate), dtype=np.float32)


@pytest.fixture()
def folder(tmp_path):
    """Clears the list of known folders, for every test writes its own."""
    audio_files.cache_clear()
    (tmp_path / "noise" / "deep" / "er").mkdir(parents=True)
    return tmp_path / "noise"


def test_a_piece_of_a_long_file(folder):
    soundfile.write(folder / "deep" / "er" / "a.flac", ramp(5), FS)
    source = noise_source(str(folder), FS)
    begins = []
    for seed in range(200):
        piece = source(FS, rng(seed))
        assert piece.shape == (FS,) and piece.dtype == np.float32
        np.testing.assert_allclose(np.diff(piece), 1.6 / (5 * FS - 1), atol=1e-4)
        begins.append((piece[0] + 0.8) / 1.6 * 5)
    assert min(begins) < 0.2 and max(begins) > 3.8 and np.mean(begins) == pytest.approx(2, abs=0.3)


def test_a_short_file_is_looped(folder):
    soundfile.write(folder / "a.wav", ramp(0.5), FS)
    piece = noise_source(str(folder), FS)(3 * FS + 7, rng())
    np.testing.assert_array_equal(piece[: FS // 2], piece[FS // 2 : FS])
    assert len(piece) == 3 * FS + 7 and sorted(piece[: FS // 2]) == pytest.approx(ramp(0.5), abs=1e-4)
    assert piece[0] != noise_source(str(folder), FS)(3 * FS, rng(1))[0]  # begins anywhere


@pytest.mark.parametrize("name, rate", [("a.mp3", 16000), ("a.ogg", 16000), ("A.WAV", 44100), ("a.wav", 8000)])
def test_containers_and_rates(folder, name, rate):
    """A tone of 440 Hz is one at the model's rate, in pieces of 1 s and looped to 5 s."""
    time = np.arange(3 * rate) / rate
    soundfile.write(folder / name, np.stack([0.3 * np.sin(2 * np.pi * 440 * time)] * 2, axis=1), rate)
    for size in (FS, 5 * FS):
        piece = noise_source(str(folder), FS)(size, rng())
        power, hertz = spectrum(piece)
        assert piece.shape == (size,) and hertz[power.argmax()] == pytest.approx(440, abs=2)
        assert piece.std() == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_every_file_is_as_likely_and_links_are_followed(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for number, place in enumerate((folder, folder / "deep", tmp_path / "elsewhere")):
        soundfile.write(place / f"{number}.wav", np.full(400 * 10**number, 0.1 * (number + 1)), FS)
    os.symlink(tmp_path / "elsewhere", folder / "link")
    (folder / "LICENSE").write_text("text")
    source = noise_source(str(folder), FS)
    levels = [round(float(source(100, rng(seed))[0]), 1) for seed in range(600)]
    assert [levels.count(level) for level in (0.1, 0.2, 0.3)] == pytest.approx([200] * 3, abs=45)


def test_headers_are_read_once(folder, monkeypatch):
    soundfile.write(folder / "a.wav", ramp(1), FS)
    noise_source(str(folder), FS)
    monkeypatch.setattr(noise.audio.os, "walk", None)
    noise_source(str(folder), FS)


def test_bad_noise(folder, tmp_path):
    with pytest.raises(ValueError, match="noise 'babbel' is neither a folder of audio files nor one of babble, brown"):
        noise_source("babbel", FS)
    with pytest.raises(ValueError, match="noise folder .*noise has no audio files"):
        noise_source(str(folder), FS)
    (folder / "deep" / "a.mp3").write_text("no audio")
    with pytest.raises(ValueError, match="noise .*deep/a.mp3: unreadable_wav: repair or remove"):
        noise_source(str(folder), FS)
    (folder / "deep" / "a.mp3").unlink()
    soundfile.write(folder / "a.wav", ramp(1), FS)
    source = noise_source(str(folder), FS)
    (folder / "a.wav").unlink()
    with pytest.raises(ValueError, match="noise .*a.wav.*: missing_wav"):
        source(100, rng())
