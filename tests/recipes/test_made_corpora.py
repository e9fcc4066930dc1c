"""The corpora that recipes make: whole data directories, equal bytes for equal options, nothing made twice."""

import pytest
import soundfile

from espnet_llmasr.files import read_scp

CORPORA = {  # sample rate and number of utterances
    "mini_zh_en": (16000, dict(train=None, valid=12, cka=4, test_zh=6, test_en=6, test_cs=6)),
    "fsdd": (8000, dict(train=60, valid=10, cka=4, test=50)),
    "misheard": (8000, dict(train=None, valid=12, cka=4, test=40, start=None, start_valid=12)),
}


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("corpus", CORPORA)
def test_data_directories_are_whole(made_corpora, corpus):
    folder, (rate, sizes) = made_corpora[corpus], CORPORA[corpus]
    for name, size in sizes.items():
        data = folder / "data" / name
        tables = {file: read_scp(data / file) for file in ("wav.scp", "text", "utt2spk", "utt2lang")}
        assert all(table.keys() == tables["text"].keys() for table in tables.values())
        assert list(tables["text"]) == sorted(tables["text"]) and size in (None, len(tables["text"]))
        for speaker, utterances in read_scp(data / "spk2utt").items():
            assert all(tables["utt2spk"][utterance] == speaker for utterance in utterances.split())
        info = soundfile.info(folder / next(iter(tables["wav.scp"].values())))
        assert (info.samplerate, info.channels, info.subtype) == (rate, 1, "PCM_16")


@pytest.mark.parametrize("corpus", CORPORA)
def test_equal_options_give_equal_bytes_whatever_nj_and_are_not_done_twice(make_corpus, made_corpora, corpus, tmp_path):
    assert make_corpus(corpus, tmp_path, "--nj", 1).returncode == 0
    assert files_of(tmp_path) == files_of(made_corpora[corpus])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert "there already" in make_corpus(corpus, tmp_path, "--nj", 1).stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    make_corpus(corpus, tmp_path, "--seed", 1)
    assert files_of(tmp_path) != files_of(made_corpora[corpus])


@pytest.mark.parametrize(
    "corpus, options, message",
    [
        ("mini_zh_en", ["--train_hours", 0], "need train_hours > 0"),
        ("mini_zh_en", ["--num_cka", 13], "num_cka <= num_valid"),
        ("mini_zh_en", ["--num_test", 0], "num_test >= 1"),
        ("mini_zh_en", ["--bogus", 1], "--bogus"),
        ("fsdd", ["--src", "nowhere"], "FSDD"),
        ("misheard", ["--src", "nowhere"], "FSDD"),
        ("misheard", ["--src", ""], "FSDD is not named: give FSDD=<dir>"),
        ("misheard", ["--num_lm", 0], "num_lm >= 1"),
    ],
)
def test_mistakes_are_one_line_and_leave_what_was_there(make_corpus, made_corpora, corpus, options, message):
    before = files_of(made_corpora[corpus])
    done = make_corpus(corpus, made_corpora[corpus], *options)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and message in done.stderr
    assert files_of(made_corpora[corpus]) == before
