import gzip
import json

import pytest

BOOK = "small/100/sea_fairies_64kb_mp3/01_baum_64kb"


def cut(number, start, duration, texts, book=BOOK):
    """A cut as in the manifests, with the audio path of their authors."""
    recording = dict(id=book, sources=[dict(type="file", channels=[0], source=f"download/librilight/{book}.flac")])
    spoken = dict(recording_id=book, start=0, duration=duration, speaker="100", custom=dict(texts=texts, end_byte=9))
    times = dict(id=f"{book}_{number}", start=start, duration=duration)
    return dict(times, supervisions=[spoken], recording=recording)


def manifest(path, cuts, tail=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(c, ensure_ascii=False) + "\n" for c in cuts) + tail)


@pytest.fixture
def corpus(sound, tmp_path):
    sound(tmp_path / "librilight" / f"{BOOK}.flac", 1.2)
    lost = cut(3, 0, 1, ["Lost.", "LOST"], "small/100/lost/02")
    textless = cut(4, 0, 1, [])
    cuts = [
        cut(0, 0.0, 0.48, ["“It’s so,” said Cap’n Bill.", "ITS SO SAID CAPTAIN BILL"]),
        cut(1, 0.48, 0.5, ["Yes，indeed", "YES INDEED"]),
    ]
    late = cut(2, 1.0, 0.5, ["Too long.", "TOO LONG"])
    manifest(tmp_path / "libriheavy_cuts_small.jsonl.gz", [*cuts, late, lost, textless], '{"id": "bro')
    return tmp_path


def test_book_text_pieces_and_rewritten_paths(make, corpus):
    data = make("libriheavy", corpus, "small")
    stem = "small_100_sea_fairies_64kb_mp3_01_baum_64kb"
    first, second = (f"libriheavy_100-{stem}_{number}" for number in (0, 1))
    assert data.lines("text") == [f"{first} it's so said cap'n bill", f"{second} yes indeed"]
    assert data.lines("segments") == [
        f"{first} libriheavy_{stem} 0.000 0.480",
        f"{second} libriheavy_{stem} 0.480 0.980",
    ]
    assert data.lines("wav.scp") == [f"libriheavy_{stem} {corpus / 'librilight' / BOOK}.flac"]
    assert data.lines("spk2utt") == [f"libriheavy_100 {first} {second}"]
    lost, broken = "small/100/lost/02_3", "libriheavy_cuts_small.jsonl.gz:6"
    data.check_dropped(beyond_end=f"{BOOK}_2", missing_wav=lost, broken_cut=f"{BOOK}_4", broken_json=broken)


def test_audio_elsewhere(make, sound, tmp_path):
    book = "large/7/x/y"
    sound(tmp_path / "audio" / f"{book}.flac", 0.6)
    manifest(tmp_path / "lists" / "libriheavy" / "libriheavy_cuts_large.jsonl.gz", [cut(0, 0.1, 0.4, ["A"], book)])
    data = make("libriheavy", tmp_path / "lists", "large", "--set", f"audio={tmp_path / 'audio'}")
    assert data.lines("wav.scp") == [f"libriheavy_large_7_x_y {tmp_path / 'audio' / book}.flac"]
