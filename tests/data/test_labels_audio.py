"""bin.format_data: audio that is converted on reading, pieces of recordings, and audio that is broken."""

import pytest
import soundfile

from espnet_llmasr import audio
from espnet_llmasr.asr.fbank import KaldiFbank

RATE = 16000


def warnings(caplog, part):
    return [r.message for r in caplog.records if r.levelname == "WARNING" and part in r.message]


def test_other_rates_and_channels_stay_where_they_are_with_one_warning_each(data, caplog):
    data.add("a", samples=data.noise(0.70003, 44100), rate=44100)
    data.add("b", samples=data.noise(1.0, 8000, channels=2), rate=8000)
    data.add("c")
    data.add("d", samples=data.noise(0.7, 11025), rate=11025, subtype="FLOAT")
    data.run()
    assert data.table("wav.scp") == dict(line.split() for line in data.wavs) and not (data.out / "wav").exists()
    (rates,), (channels,) = warnings(caplog, "another sample rate"), warnings(caplog, "several channels")
    assert "3 utterances" in rates and "16000 Hz" in rates and "1 utterances" in channels
    for key, entry in data.table("wav.scp").items():
        samples = len(audio.read(entry, RATE))
        assert int(data.table("utt2num_samples")[key]) == samples
        assert int(data.table("utt2num_frames")[key]) == KaldiFbank(RATE).frame_lengths(samples)


@pytest.fixture
def talk(data):
    """Pieces of two recordings: 3 s of wav at 8 kHz, 2 s of opus."""
    wav, opus = data.dir / "talk.wav", data.dir / "chat.opus"
    soundfile.write(wav, data.noise(3.0, 8000), 8000)
    soundfile.write(opus, data.noise(2.0), RATE, format="OGG", subtype="OPUS")
    data.wavs += [f"talk\t{wav}\r", f"chat {opus}"]  # not sorted, with a tab and the line end of Windows
    pieces = {"a": "talk 0.25 1.5", "b": "chat 0.5 1.0", "c": "talk 1.5 3.05"}
    bad = {"d": "talk 2 4", "e": "gone 0 1", "f": "talk 2 1", "g": "talk 2", "h": "talk -1 2", "i": "talk 3.0 3.05"}
    lines = [f"{key} {piece}\n" for key, piece in {**pieces, **bad}.items()]
    (data.dir / "segments").write_text("".join(lines))
    data.texts += [f"{key} 你好" for key in (*pieces, *bad, "j")]
    return wav, opus


def test_segments_become_entries(data, talk):
    wav, opus = talk
    data.run()
    assert data.table("wav.scp") == {"a": f"{wav}#t=0.25,1.5", "b": f"{opus}#t=0.5,1.0", "c": f"{wav}#t=1.5,3.05"}
    assert data.table("utt2num_samples") == {"a": "20000", "b": "8000", "c": "24000"}
    reasons = ["beyond_end", "no_recording", "bad_times", "bad_times", "bad_times", "empty_wav", "no_wav"]
    assert data.table("dropped.txt") == dict(zip("defghij", reasons))
    assert [len(audio.read(entry, RATE)) for entry in data.table("wav.scp").values()] == [20000, 8000, 24000]


def test_several_processes_give_the_same_dump(data):
    for number in range(200):
        data.wavs.append(f"u{number} {data.dir}/{'ab'[number % 2]}.wav")
        data.texts.append(f"u{number} {'你好 hello' if number % 3 else ''}".strip())
    for name, rate in (("a", 8000), ("b", RATE)):
        soundfile.write(data.dir / f"{name}.wav", data.noise(1.0, rate), rate)
    data.run()
    one = data.snapshot()
    data.run("--nj", "2")
    assert data.snapshot() == one


def test_damaged_compressed_audio_is_found_by_decoding_only(data):
    data.add("a")
    path = data.add("b", samples=data.noise(2.0), format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert data.run()["dropped"] == {"damaged_wav": 1}
    assert data.run("--audio_check", "header")["dropped"] == {}
    assert data.table("utt2num_samples") == {"a": "16000", "b": "32000"}


def test_durations_that_are_trusted(data, capsys):
    data.add("a").unlink()
    data.add("b")
    assert data.exit_code("--audio_check", "utt2dur") == 1
    assert "there is no" in capsys.readouterr().err
    (data.dir / "utt2dur").write_text("a 1.25\nb 31\n")
    assert data.run("--audio_check", "utt2dur")["dropped"] == {"too_long": 1}
    assert data.table("utt2num_samples") == {"a": "20000"}
    for content, message in (("a 1.25\n", "utt2dur lacks b"), ("a x\nb 1\n", "utt2dur has 'x' for a")):
        (data.dir / "utt2dur").write_text(content)
        assert data.exit_code("--audio_check", "utt2dur") == 1
        assert message in capsys.readouterr().err
        assert data.table("utt2num_samples") == {"a": "20000"}


@pytest.mark.parametrize("check", ["decode", "header"])
def test_audio_that_is_not_as_long_as_its_owner_says_is_dropped(data, check):
    """A cut Ogg looks like a shorter recording, an mp3 without a frame count misleads libsndfile."""
    for key, seconds in (("a", 2.0), ("b", 2.0), ("c", 10.0)):
        data.add(key, samples=data.noise(seconds))
    (data.dir / "utt2dur").write_text("a 2.2\nb 3.0\nc 10.6\n")
    assert data.run("--audio_check", check)["dropped"] == {"other_duration": 2}
    assert data.table("dropped.txt") == {"b": "other_duration", "c": "other_duration"}


def test_a_recording_cut_off_in_its_middle(data):
    path = data.add("b")
    data.add("a")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert data.run()["dropped"] == {"truncated_wav": 1}
    path.write_bytes(content[:4] + b"\xff\xff\xff\xff" + content[8:])  # written to a pipe: no length
    assert data.run()["dropped"] == {}


LENGTHS = ["nan", "inf", "-inf", "1e300", "1e6", "-1", "0", "-0.0", "9" * 400]


@pytest.mark.parametrize("check", ["decode", "header", "utt2dur"])
def test_absurd_lengths_in_utt2dur_are_dropped(data, check):
    for number, _ in enumerate(LENGTHS):
        data.add(f"b{number}")
    data.add("c")
    lengths = "".join(f"b{number} {length}\n" for number, length in enumerate(LENGTHS))
    (data.dir / "utt2dur").write_text(f"{lengths}c 1.0\n")
    stats = data.run("--audio_check", check)
    assert (stats["dropped"], stats["hours"]) == ({"bad_duration": len(LENGTHS)}, 1 / 3600)


@pytest.mark.parametrize("check", ["decode", "header"])
def test_lengths_of_files_never_end_the_stage(data, check):
    """What only all of a file can tell is not known by its header: two FLACs behind each other."""
    one = data.add("a", samples=data.noise(1.0), format="FLAC").read_bytes()
    states = {"b": 0, "c": 2**36 - 1, "d": 10**9}
    for key, samples in states.items():
        at = bytes([one[21] & 0xF0 | samples >> 32]) + (samples & 0xFFFFFFFF).to_bytes(4, "big")
        data.add(key).write_bytes(one[:21] + at + one[26:])
    data.add("e").write_bytes(one + one)
    data.add("f", samples=data.noise(1.0), format="AIFF")
    cut = data.add("g", samples=data.noise(1.0), format="AIFF")
    cut.write_bytes(cut.read_bytes()[:9000])
    data.wavs += [f"h {data.dir / 'x.tar'}:{'9' * 30}", f"i {data.dir / 'x.tar'}:100"]
    (data.dir / "x.tar").write_bytes(one + bytes(1024))
    data.texts += ["h 你好", "i 你好"]
    stats = data.run("--audio_check", check, "--test")
    dropped = {"bad_offset": 2, "joined_wav": 1, "truncated_wav": 1, "wrong_length": 2}
    if check == "header":
        del dropped["joined_wav"]
    assert stats["dropped"] == dropped
    assert stats["hours"] == (3 if check == "decode" else 4) / 3600


def test_kaldi_segments_to_the_end_with_channels_and_numbers_of_other_forms(data):
    stereo = data.noise(3.0, channels=2)
    soundfile.write(data.dir / "talk.wav", stereo, RATE)
    soundfile.write(data.dir / "chat.wav", stereo[:, 0], RATE)
    data.wavs += [f"chat {data.dir}/chat.wav", f"talk {data.dir}/talk.wav"]
    kept = {"a": "chat 1.0 -1", "b": "chat 0.5 1.5 1", "c": "chat 5e-1 1.5e0", "d": "chat .5 1.", "e": "talk 2 -1.0 1"}
    kept |= {"f": "chat +0.5 2E0", "g": "talk 0 1 0"}
    entries = [
        "#t=1.0",
        "#t=0.5,1.5&channel=1",
        "#t=0.5,1.5",
        "#t=0.5,1",
        "#t=2&channel=1",
        "#t=0.5,2",
        "#t=0,1&channel=0",
    ]
    dropped = {"p": "chat 1,0 1,5", "q": "chat -0.02 1", "r": "chat 1 1", "s": "chat 1 -2", "t": "chat 0 1 1 1"}
    dropped |= {
        "u": "chat nan 1",
        "v": "chat 0 inf",
        "w": "chat 0 1 -1",
        "x": "chat 0 1e9",
        "y": "talk 0 1 2",
        "z": "chat 5 -1",
    }
    lines = [f"{key} {piece}\n" for key, piece in {**kept, **dropped}.items()]
    (data.dir / "segments").write_text("".join(lines))
    data.texts += [f"{key} 你好" for key in (*kept, *dropped)]
    data.run()
    wavs = [f"{data.dir}/{piece.split()[0]}.wav{end}" for piece, end in zip(kept.values(), entries)]
    assert data.table("wav.scp") == dict(zip(kept, wavs))
    lengths = [2.0, 1.0, 1.0, 0.5, 1.0, 1.5, 1.0]
    assert [int(n) / RATE for n in data.table("utt2num_samples").values()] == lengths
    reasons = dict.fromkeys(dropped, "bad_times") | {"y": "no_channel", "z": "beyond_end"}
    assert data.table("dropped.txt") == reasons


def silence_and_noise(data):
    loud = data.noise(1.0) * 3e6
    for key, samples in (("a", data.noise(1.0)), ("b", loud * 0), ("c", loud * 0 + 0.85), ("e", data.noise(1.0) * 1e6)):
        data.add(key, samples=samples)
    data.add("d", samples=loud, subtype="FLOAT")
    data.add("f", samples=loud * 0, format="FLAC")
    data.wavs.sort()


def test_silent_and_too_loud_audio_is_no_training_data(data):
    silence_and_noise(data)
    assert data.run()["dropped"] == {"silent_wav": 3, "too_loud": 2}
    assert list(data.table("text")) == ["a"]
    assert "kept_with_fault" not in data.run("--audio_check", "header")


def test_a_test_set_keeps_silent_and_too_loud_audio_and_says_so(data, caplog):
    silence_and_noise(data)
    stats = data.run("--test")
    assert stats["utts"] == 6 and stats["dropped"] == {}
    assert stats["kept_with_fault"] == {"silent_wav": 3, "too_loud": 2}
    (warning,) = warnings(caplog, "nobody can understand")
    assert warning.endswith("silent_wav 3 (b, c, f), too_loud 2 (d, e)")
