"""Connected digits: the official split is kept, every test recording is used."""

import os
import random
import sys
import zipfile
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "egs2" / "fsdd" / "llmasr1" / "local"
sys.path.insert(0, str(CORPORA))

import fsdd  # noqa: E402

from espnet_llmasr.files import read_scp  # noqa: E402


def index_of(path):
    return int(Path(path).stem.split("_")[2])


def test_split_is_kept_and_every_test_recording_used(digits):
    splits = fsdd.split_recordings(digits / "recordings")
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


def test_a_string_has_one_speaker_and_test_strings_2_to_6_digits(digits):
    splits = fsdd.split_recordings(digits / "recordings")
    for speaker, paths in fsdd.draw_strings(0, "test", 50, splits):
        assert 2 <= len(paths) <= 6
        assert {Path(path).name.split("_")[1] for path in paths} == {speaker}


def test_joining_keeps_the_recordings_in_order(digits):
    recordings = [fsdd.read(digits / "recordings" / f"{digit}_ann_0.wav") for digit in (3, 1)]
    joined = fsdd.join(recordings, random.Random(0))
    text = joined.tobytes()
    assert 0 < text.find(recordings[0].tobytes()) < text.find(recordings[1].tobytes())


def test_texts_are_digits(made_corpora):
    texts = read_scp(made_corpora["fsdd"] / "data/test/text").values()
    assert {word for text in texts for word in text.split()} <= set(fsdd.DIGITS)


def test_download_unpacks_the_recordings_only(digits, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("fsdd-master/README.md", "text")
        archive.write(digits / "recordings" / "0_ann_0.wav", "fsdd-master/recordings/0_ann_0.wav")
    fsdd.download((tmp_path / "a.zip").as_uri(), tmp_path / "fsdd")
    assert [path.name for path in (tmp_path / "fsdd").rglob("*")] == ["recordings", "0_ann_0.wav"]


def test_a_failed_download_says_what_to_do_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="FSDD="):
        fsdd.download((tmp_path / "missing.zip").as_uri(), tmp_path / "fsdd")
    assert list((tmp_path / "fsdd").rglob("*")) == []
