"""The command as a whole, on two training sets and two test sets with known overlaps."""

import json

import numpy as np
import pytest
import soundfile

from espnet_llmasr.bin import check_overlap

RATE = 16000
LONG = "this sentence is long enough to mean something"


@pytest.fixture
def sets(data_dir, voice, tmp_path):
    """(training sets, test sets): one utterance with the same id, one with the same audio, one with the same text."""

    def row(key, seed, text, kind="wav", gain=1.0, skip=0.0):
        path = tmp_path / f"{seed}_{gain}.{kind}"
        soundfile.write(path, gain * voice(seed, seed, 4.0)[int(skip * RATE) :], RATE)
        return key, key.partition("-")[0], "en", f"{soundfile.info(path).duration:.3f}", text, path

    ascend = [row("ascend_1-1", 1, "hello"), row("ascend_1-2", 2, LONG), row("ascend_2-1", 3, "yes")]
    mls = [row("mls_english_7-1", 11, "yes"), row("mls_english_8-1", 12, "alone", kind="mp3", gain=0.3, skip=0.7)]
    test = [row("ascend_1-2", 22, "other"), row("ascend_9-1", 23, LONG), row("ascend_9-2", 24, LONG)]
    libri = [row("librispeech_5-1", 12, "as one"), row("librispeech_5-2", 31, "yes"), row("librispeech_6-1", 32, "so")]
    made = [data_dir(*named) for named in dict(train_a=ascend, train_m=mls, test_a=test, test_l=libri).items()]
    return made[:2], made[2:]


@pytest.fixture
def guard(sets, tmp_path, capsys):
    """guard(*options) -> exit code, standard output, lines of OUT's files"""

    def run(*options, train=sets[0], test=sets[1]):
        out = tmp_path / "overlaps"
        arguments = ["--train", *map(str, train), "--test", *map(str, test), "--out", str(out), *options]
        code = check_overlap.main(arguments)
        return code, capsys.readouterr().out, lambda name: (out / name).read_text().splitlines()

    return run


def test_ids_audio_and_text_are_listed_and_what_is_certain_is_excluded(guard, sets):
    test_a, test_l = sets[1]
    code, printed, lines = guard()
    rows = [line.split("\t") for line in lines("overlaps.tsv")]
    assert [row[:4] for row in rows] == [
        ["ascend_1-2", str(test_a), "ascend_1-2", "id"],
        ["ascend_1-2", str(test_a), "ascend_9-1", "text"],
        ["mls_english_8-1", str(test_l), "librispeech_5-1", "audio"],
    ]
    assert [row[4] for row in rows[:2]] == ["1.000", "1.000"] and float(rows[2][4]) > 0.8
    assert lines("exclude.txt") == ["ascend_1-2", "mls_english_8-1"] and lines("unreadable.txt") == [] and code == 0
    assert "the same audio: 1 training utterances" in printed and "to leave out of training: 2 utterances" in printed
    assert guard("--exclude_text", "--audio", "none")[2]("exclude.txt") == ["ascend_1-2"]


def test_sums_of_pairs(guard, sets):
    stats = json.loads("".join(guard()[2]("stats.json")))
    train, test = ([str(path) for path in side] for side in sets)
    fields = ("train", "test", "kind", "train_utts", "test_utts", "test_hours")
    assert sorted(tuple(pair[field] for field in fields) for pair in stats["pairs"]) == [
        (train[0], test[0], "id", 1, 1, round(4 / 3600, 6)),
        (train[0], test[0], "text", 1, 2, round(8 / 3600, 6)),
        (train[0], test[1], "short", 1, 1, round(4 / 3600, 6)),
        (train[1], test[1], "audio", 1, 1, round(4 / 3600, 6)),
        (train[1], test[1], "short", 1, 1, round(4 / 3600, 6)),
    ]
    hours = dict.fromkeys(("hours", "hours_heard"), round(24 / 3600, 6))
    assert stats["train"]["utts"] == 5
    assert stats["test"] == dict(utts=6, unreadable=0, too_short_or_silent=0, **hours)


def test_audio_of_similar_text_only_and_strict(guard, sets):
    assert "audio" not in {line.split("\t")[3] for line in guard("--audio", "text")[2]("overlaps.tsv")}
    trees = "we walked to the river and sat under the old trees"
    for directory, old in ((sets[0][1], "alone"), (sets[1][1], "as one")):
        (directory / "text").write_text((directory / "text").read_text().replace(old, trees))
    _, _, lines = guard("--audio", "text")
    assert [line.split("\t")[3] for line in lines("overlaps.tsv")] == ["id", "text", "text", "audio"]
    assert json.loads("".join(lines("stats.json")))["train"]["hours_heard"] == round((3 * 4 + 3.3) / 3600, 6)
    assert guard("--strict")[0] == 1 and guard("--strict", test=sets[1][1:], train=sets[0][:1])[0] == 0


def test_where_only_short_words_are_the_same_the_audio_is_compared(guard, sets):
    """A copy of a test recording that says no more than "as one" must not stay in the training set."""
    directory = sets[0][1]
    (directory / "text").write_text((directory / "text").read_text().replace("alone", "as one"))
    _, _, lines = guard("--audio", "text")
    assert "mls_english_8-1" in lines("exclude.txt")


def test_shards_together_are_the_whole(guard):
    whole = guard()[2]("overlaps.tsv")
    parts = [line for i in (1, 2, 3) for line in guard("--shard", f"{i}/3")[2]("overlaps.tsv")]
    assert sorted(parts) == sorted(whole)


def test_audio_in_segments(guard, data_dir, voice, sets, tmp_path):
    """The copy lies between 1.5 and 5.5 s of a long recording."""
    soundfile.write(tmp_path / "long.flac", np.concatenate([voice(91, 91, 1.5), voice(32, 32, 4.0)]), RATE)
    rows = [
        ("own_1-1", "own_1", "en", "1.500", "a", "own_rec 0.000 1.500"),
        ("own_1-2", "own_1", "en", "3.500", "b", "own_rec 2.000 5.500"),
    ]
    train = data_dir("own", rows, {"own_rec": tmp_path / "long.flac"})
    lines = guard(train=[train])[2]
    assert [line.split("\t")[:4] for line in lines("overlaps.tsv")] == [
        ["own_1-2", str(sets[1][1]), "librispeech_6-1", "audio"]
    ]


def test_broken_audio_is_counted_and_named(guard, sets, tmp_path):
    (tmp_path / "12_0.3.mp3").write_bytes(b"broken")
    (tmp_path / "32_1.0.wav").unlink()
    _, printed, lines = guard()
    assert lines("unreadable.txt") == [
        f"{sets[1][1]} librispeech_6-1 missing_wav",
        f"{sets[0][1]} mls_english_8-1 unreadable_wav",
    ]
    assert printed.count("unreadable 1") == 2 and lines("exclude.txt") == ["ascend_1-2"]


def test_mistakes_are_one_line(sets, command, tmp_path):
    (train, other), (test, _) = sets
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ["--out", tmp_path / "out"]
    (other / "utt2dur").unlink()
    for arguments, said in (
        (["--train", train, "--test", train, *out], f"--test {train} is given twice, also in --train"),
        (["--train", train, "--test", tmp_path / "none", *out], f"--test {tmp_path}/none is no directory"),
        (["--train", train, "--test", *out], "expected at least one argument"),
        (["--train", train, "--test", empty, *out], f"{empty}/text does not exist"),
        (["--train", other, "--test", test, *out], f"{other}/utt2dur does not exist"),
        (["--train", train, "--test", test, *out, "--shard", "3/2"], "shard '3/2' is not i/n"),
    ):
        result = command(check_overlap, *arguments)
        assert result.code == 1 and said in result.err and result.err.count("\n") == 1, result.err
        assert not (tmp_path / "out").exists()


def test_a_copy_too_short_for_a_fingerprint_is_known_by_its_samples_and_silence_is_not(
    guard, data_dir, voice, tmp_path
):
    """Half a second, in another container and piece of a longer file; equal silence proves nothing."""
    half, before, after = ((20000 * voice(seed, seed, 0.5)).astype(np.int16) for seed in (71, 72, 73))
    soundfile.write(tmp_path / "half.wav", half, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "long.flac", np.concatenate([before, half, after]), RATE)
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE // 2), RATE)

    def rows(*parts):
        return [(f"{speaker}-1", speaker, "en", "0.500", speaker, audio) for speaker, audio in parts]

    silence = tmp_path / "silence.wav"
    test = data_dir("short_test", rows(("t_1", tmp_path / "half.wav"), ("t_2", silence)))
    pieces = rows(("u_1", "long 0.500 1.000"), ("u_2", "mute 0.000 0.500"))
    train = data_dir("short_train", pieces, {"long": tmp_path / "long.flac", "mute": silence})
    _, _, lines = guard(train=[train], test=[test])
    assert lines("exclude.txt") == ["u_1-1"]
    assert lines("overlaps.tsv") == [f"u_1-1\t{test}\tt_1-1\taudio\t1.000"]
