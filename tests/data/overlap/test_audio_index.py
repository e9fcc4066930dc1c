"""Copies of a recording are found however they were stored and cut; other recordings are not."""

import io

import numpy as np
import pytest
import soundfile

from espnet_llmasr.audio import resample
from espnet_llmasr.data.overlap.audio_index import AudioIndex
from espnet_llmasr.data.overlap.fingerprint import LAG, STEP, fingerprint

RATE = 16000
SECONDS = 5.0


@pytest.fixture
def index(voice):
    """Six test utterances of three speakers."""
    return AudioIndex(fingerprint(voice(text, text % 3, SECONDS), RATE, STEP) for text in range(6))


def found(index, samples, rate=RATE):
    return {match.test: match.agreement for match in index.find(fingerprint(samples, rate, LAG))}


def stored(samples, rate, **container):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **container)
    file.seek(0)
    return soundfile.read(file, dtype="float32")


def noisy(samples, snr_db):
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    return samples + noise * np.sqrt(np.mean(samples**2) / 10 ** (snr_db / 10))


COPIES = {
    "same": lambda x: (x, RATE),
    "gain": lambda x: (x * 0.25, RATE),
    "16 bit": lambda x: stored(x * 0.05, RATE, format="WAV", subtype="PCM_16"),
    "mp3": lambda x: stored(x, RATE, format="MP3"),
    "opus": lambda x: stored(x, RATE, format="OGG", subtype="OPUS"),
    "8 kHz": lambda x: (resample(x, RATE, 8000), 8000),
    "44.1 kHz mp3": lambda x: stored(resample(x, RATE, 44100), 44100, format="MP3"),
    "noise": lambda x: (noisy(x, 20), RATE),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_cut_elsewhere_is_found(index, voice, copy):
    for text in range(6):
        whole = voice(text, text % 3, SECONDS)
        for piece in (
            whole[int(1.2345 * RATE) : int(4.3 * RATE)],
            np.concatenate([voice(50, 4, 1.7), whole[: 3 * RATE]]),
        ):
            matches = found(index, *copy(piece))
            assert list(matches) == [text] and 0.8 < matches[text] <= 1.0


def test_a_long_recording_holds_several(index, voice):
    long = np.concatenate([voice(50, 4, 2.1), voice(3, 0, SECONDS), voice(51, 4, 1.3), voice(1, 1, SECONDS)])
    assert set(found(index, long)) == {1, 3}


def test_other_recordings_are_not_found(index, voice):
    for text in range(6):
        same_text_other_speaker = voice(text, 7, SECONDS)
        same_text_same_speaker_again = voice(text, text % 3, SECONDS, take=1)
        other_text = voice(text + 20, text % 3, SECONDS)
        for samples in (same_text_other_speaker, same_text_same_speaker_again, other_text):
            assert found(index, samples) == {}


def test_silence_tones_and_other_noise_do_not_match():
    time, rng = np.arange(5 * RATE) / RATE, np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 440 * time)
    for samples in (0 * time, 0 * time + 0.3, tone, tone + 0.2 * np.sin(2 * np.pi * 1270 * time)):
        samples = samples.astype(np.float32)
        assert found(AudioIndex([fingerprint(samples, RATE, STEP)]), samples[4321:]) == {}
    noises = [rng.standard_normal(5 * RATE).astype(np.float32) for _ in range(2)]
    assert found(AudioIndex([fingerprint(noises[0], RATE, STEP)]), noises[1]) == {}


def test_equal_silence_does_not_match_itself():
    """So short that its words are not yet common; bits of silence are all equal."""
    silence = np.zeros(int(1.2 * RATE), np.float32)
    heard = fingerprint(silence, RATE, STEP)
    assert found(AudioIndex([heard]), silence) == {}
    assert not heard.valid.any() and len(heard.valid) > 50


def test_silence_around_speech_counts_for_nothing(voice):
    """Two utterances with the same long silence and noise-free edges share only that."""
    silence = np.zeros(4 * RATE, np.float32)
    one, two = (np.concatenate([silence, voice(text, 0, 2.0), silence]) for text in (1, 2))
    assert found(AudioIndex([fingerprint(one, RATE, STEP)]), two) == {}
    assert list(found(AudioIndex([fingerprint(one, RATE, STEP)]), one[3 * RATE :])) == [0]


def test_too_short_and_empty():
    empty = np.zeros(0, np.float32)
    index = AudioIndex([fingerprint(empty, RATE, STEP), fingerprint(np.ones(100, np.float32), 8000, STEP)])
    assert found(index, empty) == {} and index.nbytes == 0
    assert found(index, np.ones(16000, np.float32)) == {}


def test_the_largest_word_is_looked_up_like_any_other(index, voice):
    """All 32 bits are set, as after some knocks: no word comes behind it."""
    heard = fingerprint(voice(0, 0, SECONDS), RATE, LAG)
    assert list(index.find(heard._replace(words=np.full_like(heard.words, 0xFFFFFFFF)))) == []


def test_number_of_words_and_scale(voice):
    """(seconds - 0.36 window - 0.096 lag) / step + 1, at every rate; the gain changes nothing at all."""
    samples = voice(0, 0, 2.0)
    assert len(fingerprint(samples, RATE, STEP).words) == (2000 - 360 - 96) // 12 + 1
    assert len(fingerprint(resample(samples, RATE, 44100), 44100, LAG).words) == (2000 - 360) // 96
    for a, b in zip(fingerprint(samples, RATE, LAG), fingerprint(samples * 0.25, RATE, LAG)):
        assert (a == b).all()
