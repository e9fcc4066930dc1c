"""The non-speech suite: what its clips are, that a seed gives the same bytes, and what is refused."""

import json

import numpy as np
import pytest
import soundfile

from espnet_llmasr.bin import make_nonspeech
from espnet_llmasr.data import nonspeech
from espnet_llmasr.data.nonspeech import mixed_voices, read_voices
from espnet_llmasr.files import read_scp
from espnet_llmasr.train.batches import read_num_frames

FS = 8000
KINDS = ["silence", "white", "pink", "brown", "hum", "clicks", "music", "babble"]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """wav.scp of 30 utterances, each a tone of its own pitch from 300 Hz up, 0.3 to 1.5 s long."""
    folder = tmp_path_factory.mktemp("train")
    lines = []
    for number in range(30):
        time = np.arange(int((0.3 + 0.04 * number) * FS)) / FS
        soundfile.write(folder / f"{number}.wav", 0.01 * (number + 1) * np.sin(2 * np.pi * pitch(number) * time), FS)
        lines.append(f"u{number:02d} {folder}/{number}.wav\n")
    (folder / "wav.scp").write_text("".join(lines))
    return folder / "wav.scp"


def pitch(number):
    return 300 + 100 * number


def make(out, train, **options):
    options = {"clips": 40, "fs": FS, **options}
    extra = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    make_nonspeech.main(["--out", str(out), "--wav_scp", str(train), *extra])
    return out


@pytest.fixture(scope="module")
def suite(train, tmp_path_factory):
    return make(tmp_path_factory.mktemp("suite") / "nonspeech", train)


def audio_of(suite, kind):
    """uid -> samples (N,) of one kind."""
    wavs = read_scp(suite / "wav.scp")
    return {uid: soundfile.read(path)[0] for uid, path in wavs.items() if uid.startswith(kind)}


def contents(suite):
    return {path.name: path.read_bytes() for path in suite.glob("audio/*.wav")}


def test_tables_as_stage_2_leaves_them(suite):
    wavs = read_scp(suite / "wav.scp")
    assert len(wavs) == 40 and list(wavs) == sorted(wavs)
    kinds = read_scp(suite / "utt2spk")
    assert {kind: list(kinds.values()).count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 5)
    assert read_scp(suite / "spk2utt")["hum"].split() == [f"hum-{number:05d}" for number in range(5)]
    for name in ("text", "phones", "utt2lang"):
        assert read_scp(suite / name) == dict.fromkeys(wavs, "")
    samples, frames = read_scp(suite / "utt2num_samples"), read_num_frames(suite / "utt2num_frames")
    for uid, path in wavs.items():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (FS, 1, "PCM_16")
        assert path == f"{suite}/audio/{uid}.wav" and 0.5 * FS <= info.frames < 8 * FS
        assert info.frames == int(samples[uid]) and frames[uid] == 1 + (info.frames - 200) // 80
    assert json.loads((suite / "stats.json").read_text())["utts"] == 40


def test_levels(suite):
    peaks = [20 * np.log10(np.abs(x).max()) for kind in KINDS[1:] for x in audio_of(suite, kind).values()]
    assert -60.5 < min(peaks) < -50 and -16 < max(peaks) < -5.9
    quiet = [np.abs(x).max() * 32768 for x in audio_of(suite, "silence").values()]
    assert set(quiet) == {0, 1}  # digital zero and dither


@pytest.mark.parametrize("kind, slope", [("white", 0), ("pink", -1), ("brown", -2)])
def test_each_noise_has_the_slope_of_its_colour(suite, kind, slope):
    """Power over frequency in logarithms, in bands between 60 and 3200 Hz."""
    edges = np.geomspace(60, 3200, 13)
    for samples in audio_of(suite, kind).values():
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
        hertz = np.fft.rfftfreq(len(samples), 1 / FS)
        bands = [power[(low <= hertz) & (hertz < high)].mean() for low, high in zip(edges, edges[1:])]
        assert np.polyfit(np.log(edges[1:]), np.log(bands), 1)[0] == pytest.approx(slope, abs=0.25)


def test_the_seed_decides(suite, train, tmp_path):
    assert contents(make(tmp_path / "again", train)) == contents(suite)
    other = contents(make(tmp_path / "other", train, seed=1))
    assert all(other[name] != value for name, value in contents(suite).items() if not name.startswith("silence"))
    more = contents(make(tmp_path / "more", train, clips=48))
    assert {name: more[name] for name in contents(suite)} == contents(suite)  # a clip does not hang on the others


def test_babble_has_all_voices_and_none_of_them_stands_out(train):
    """Within half a second there are tones of most of the 30 utterances, the strongest below a third of the power."""
    voices = read_voices(train, 0, FS)
    assert len(voices) == 30 and all(np.sqrt(np.mean(voice**2)) == pytest.approx(1, abs=1e-3) for voice in voices)
    sound = mixed_voices(voices, 4 * FS, np.random.default_rng(0), FS)
    assert sound.shape == (4 * FS,)
    for begin in range(0, len(sound), FS // 2):
        power = np.abs(np.fft.rfft(sound[begin : begin + FS // 2] * np.hanning(FS // 2))) ** 2
        hertz = np.fft.rfftfreq(FS // 2, 1 / FS)
        bands = np.array([power[np.abs(hertz - pitch(number)) < 50].sum() for number in range(30)]) / power.sum()
        assert (bands > 0.003).sum() >= 20 and bands.max() < 0.33
    edges = [np.sqrt(np.mean(part**2)) for part in np.split(sound, 8)]
    assert max(edges) < 1.5 * min(edges)  # as loud at its beginning and end


def test_only_a_few_utterances_are_read_and_only_their_beginnings(train, monkeypatch):
    read = []
    real = nonspeech.audio.read
    monkeypatch.setattr(nonspeech.audio, "read", lambda entry, rate: read.append(entry) or real(entry, rate))
    monkeypatch.setattr(nonspeech, "POOL", 25)
    monkeypatch.setattr(nonspeech, "POOL_S", 0.5)
    voices = read_voices(train, 3, FS)
    assert len(read) == len(set(read)) == len(voices) == 25 and max(map(len, voices)) == FS // 2


def test_mistakes_are_one_line(command, train, tmp_path):
    few, none, foreign = tmp_path / "few.scp", tmp_path / "none.scp", tmp_path / "foreign"
    few.write_text("".join(train.read_text().splitlines(keepends=True)[:23]))
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    broken = tmp_path / "broken.scp"
    broken.write_text(train.read_text().replace("/7.wav", "/gone.wav"))
    for wav_scp, out, message in (
        (none, tmp_path / "new", f"{none} does not exist"),
        (few, tmp_path / "new", f"{few} has 23 utterances, babble needs 24 or more: give the table of a training set"),
        (broken, tmp_path / "new", "gone.wav: missing_wav"),
        (train, foreign, f"{foreign} exists and was not made here"),
    ):
        result = command(make_nonspeech, "--out", out, "--wav_scp", wav_scp, "--clips", 8, "--fs", FS)
        assert result.code == 1 and result.err.count("\n") == 1 and message in result.err
    assert not (tmp_path / "new").exists() and [path.name for path in foreign.iterdir()] == ["thesis.tex"]
