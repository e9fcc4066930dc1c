"""bin.format_data: audio that must be converted, and audio that is broken."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def test_wrong_rates_are_resampled_with_one_warning(data, caplog):
    for key, rate in (("a", 8000), ("b", 44100), ("c", RATE)):
        time = np.arange(rate) / rate
        data.add(key, samples=0.5 * np.sin(2 * np.pi * 440 * time), rate=rate)
    data.run()
    warnings = [r.message for r in caplog.records if "were resampled" in r.message]
    assert len(warnings) == 1 and "2 recordings" in warnings[0] and "16000 Hz" in warnings[0]
    for key in "ab":
        path = data.table("wav.scp")[key]
        assert path == str(data.out / "wav" / f"{key}.wav")
        samples, rate = soundfile.read(path)
        assert rate == RATE and len(samples) == RATE == int(data.table("utt2num_samples")[key])
        wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
        assert np.abs(samples - wanted)[500:-500].max() < 5e-3


def test_stereo_is_mixed_down_with_one_warning(data, caplog):
    samples = data.noise(1.0, channels=2)
    data.add("a", samples=samples)
    data.add("b", samples=samples)
    data.run()
    warnings = [r.message for r in caplog.records if "mixed down" in r.message]
    assert len(warnings) == 1 and "2 recordings" in warnings[0]
    mono, _ = soundfile.read(data.table("wav.scp")["a"])
    assert np.abs(mono - samples.mean(axis=1)).max() < 1e-4


def test_ids_with_a_slash_get_a_file(data):
    (data.dir / "x").mkdir()
    data.add("x/a", rate=8000)
    data.run()
    assert Path(data.table("wav.scp")["x/a"]).is_file()


def test_several_processes_give_the_same_dump(data):
    for number in range(20):
        data.add(f"u{number}", text="你好 hello" if number % 3 else "", rate=8000 if number % 2 else RATE)
    data.run()
    one = data.snapshot()
    data.run("--nj", "2")
    assert data.snapshot() == one


def test_damaged_compressed_audio_is_found(data):
    data.add("a")
    path = data.dir / "b.flac"
    soundfile.write(path, data.noise(2.0), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    data.wavs.append(f"b {path}")
    data.texts.append("b 你好")
    assert data.run()["dropped"] == {"unreadable_wav": 1}
