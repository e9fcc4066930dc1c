"""Connected digits: the official split is kept, every test recording is used, runs repeat exactly."""

import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

CORPORA = Path(__file__).resolve().parents[2] / "egs2" / "fsdd" / "llmasr1" / "local"
sys.path.insert(0, str(CORPORA))

import fsdd  # noqa: E402

from espnet_llmasr.files import read_scp  # noqa: E402

TINY = ["--num_train", "60", "--num_valid", "10", "--num_cka", "4", "--num_test", "50"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two speakers, indices 0-9; the tone's pitch tells digit, speaker and index apart."""
    folder = tmp_path_factory.mktemp("source") / "recordings"
    folder.mkdir()
    for number in range(200):
        digit, speaker, index = number % 10, ("ann", "bob")[number // 10 % 2], number // 20
        samples = 0.3 * np.sin(np.arange(1600 + 10 * number) * (0.1 + 0.01 * number))
        soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", samples, 8000, subtype="PCM_16")
    return folder.parent


def make(folder, source, *options):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(CORPORA / "fsdd.py"), "--src", str(source), *TINY, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fsdd") / "a"
    result = make(folder, source)
    assert result.returncode == 0, result.stderr
    return folder


def index_of(path):
    return int(Path(path).stem.split("_")[2])


def test_split_rule():
    assert [fsdd.split_of(index) for index in (0, 4, 5, 6, 7, 49)] == ["test"] * 2 + ["valid"] * 2 + ["train"] * 2


def test_split_is_kept_and_every_test_recording_used(source):
    splits = fsdd.split_recordings(source / "recordings")
    strings = {name: fsdd.draw_strings(0, name, 50, splits) for name in splits}
    used = {name: {path for _, paths in strings[name] for path in paths} for name in strings}
    assert {index_of(path) for path in used["test"]} == set(range(5)) and len(used["test"]) == 100
    assert {index_of(path) for path in used["valid"]} == {5, 6}
    assert min(index_of(path) for path in used["train"]) == 7


def test_real_test_recordings_are_all_used_with_the_default_sizes():
    if not os.environ.get("FSDD"):
        pytest.skip("FSDD does not name a copy of free-spoken-digit-dataset")
    splits = fsdd.split_recordings(fsdd.recordings_in(os.environ["FSDD"]))
    strings = fsdd.draw_strings(0, "test", fsdd.get_parser().get_default("num_test"), splits)
    assert len({path for _, paths in strings for path in paths}) == 300


def test_a_string_has_one_speaker_and_test_strings_2_to_6_digits(source):
    splits = fsdd.split_recordings(source / "recordings")
    for speaker, paths in fsdd.draw_strings(0, "test", 50, splits):
        assert 2 <= len(paths) <= 6
        assert {Path(path).name.split("_")[1] for path in paths} == {speaker}


def test_joining_keeps_the_recordings_in_order(source):
    recordings = [fsdd.read(source / "recordings" / f"{digit}_ann_0.wav") for digit in (3, 1)]
    joined = fsdd.join(recordings, random.Random(0))
    text = joined.tobytes()
    assert 0 < text.find(recordings[0].tobytes()) < text.find(recordings[1].tobytes())


def test_corpus_is_whole(corpus):
    for name in fsdd.SETS:
        tables = {file: read_scp(corpus / "data" / name / file) for file in ("wav.scp", "text", "utt2spk", "utt2lang")}
        assert all(table.keys() == tables["text"].keys() for table in tables.values())
        assert {word for text in tables["text"].values() for word in text.split()} <= set(fsdd.DIGITS)
    info = soundfile.info(corpus / next(iter(tables["wav.scp"].values())))
    assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
    assert len(tables["text"]) == 50


def test_equal_options_give_equal_bytes_whatever_nj(corpus, source, tmp_path):
    assert make(tmp_path / "b", source, "--nj", "1").returncode == 0
    assert files_of(tmp_path / "b") == files_of(corpus)


def test_a_second_run_does_nothing(corpus, source):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert "there already" in make(corpus, source).stderr
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_a_missing_source_is_named_in_one_line(tmp_path):
    result = make(tmp_path / "a", tmp_path / "nowhere")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "nowhere" in result.stderr and "FSDD" in result.stderr


def test_download_unpacks_the_recordings_only(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("fsdd-master/README.md", "text")
        archive.write(source / "recordings" / "0_ann_0.wav", "fsdd-master/recordings/0_ann_0.wav")
    fsdd.download((tmp_path / "a.zip").as_uri(), tmp_path / "fsdd")
    assert [path.name for path in (tmp_path / "fsdd").rglob("*")] == ["recordings", "0_ann_0.wav"]


def test_a_failed_download_says_what_to_do_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="FSDD="):
        fsdd.download((tmp_path / "missing.zip").as_uri(), tmp_path / "fsdd")
    assert list((tmp_path / "fsdd").rglob("*")) == []
