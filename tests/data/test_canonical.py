"""Corpora with bad input: a counted, named drop, or one clear line and exit code 1."""

import os

import pytest

from espnet_llmasr.data.formats.readers import json_lines
from espnet_llmasr.data.utterance import Utterance

LIST = [
    b'\xef\xbb\xbf{"id": "ok-1", "wav": "a.wav", "text": "First \\"quoted\\" line"}\r\n',
    b'{"id": "broken", "wav": "a.wav"\r\n',
    b"\r\n",
    b'["no", "object"]\n',
    '{"id": "gbk", "wav": "a.wav", "text": "你好"}\n'.encode("gbk"),
    '{"id": "名-gbk", "wav": "a.wav", "text": "x"}\n'.encode("gbk"),
    '{"id": "han", "wav": "a.wav", "text": "你好"}\n'.encode(),
    b'{"id": "with blank/and slash", "wav": "a.wav", "text": "tab\\tand\\nline"}\n',
    b'{"id": "mute", "wav": "a.wav", "text": " ... "}\n',
    b'{"id": "gone", "wav": "b.wav", "text": "x"}\n',
    b'{"id": "zero bytes", "wav": "zero.wav", "text": "x"}\n',
    b'{"id": "no samples", "wav": "samples.wav", "text": "x"}\n',
    b'{"id": "cut", "wav": "cut.wav", "text": "x"}\n',
    b'{"id": "noise", "wav": "noise.flac", "text": "x"}\n',
    b'{"id": "tab in path", "wav": "a\\tb.wav", "text": "x"}\n',
    b'{"id": " ", "wav": "a.wav", "text": "x"}\n',
]


def test_one_list_with_every_fault(make, as_corpus, sound, tmp_path):
    sound(tmp_path / "src" / "a.wav", 0.4)
    sound(tmp_path / "src" / "samples.wav", 0)
    whole = sound(tmp_path / "src" / "cut.wav", 0.4).read_bytes()
    (tmp_path / "src" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "src" / "zero.wav").write_bytes(b"")
    (tmp_path / "src" / "noise.flac").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "src" / "list.jsonl").write_bytes(b"".join(LIST))

    def read(source):
        for row in json_lines(source, source.path / "list.jsonl"):
            yield Utterance(row["id"], str(source.path / row["wav"]), row["text"])

    as_corpus(read, lang="zh")
    data = make("librispeech", tmp_path / "src", "all")
    assert data.lines("text") == [
        "librispeech_han 你好",
        "librispeech_ok_1 first quoted line",
        "librispeech_with_blank_and_slash tab and line",
    ]
    assert data.dropped == {
        "list.jsonl:2": "broken_json",
        "list.jsonl:4": "broken_json",
        "gbk": "not_utf8",
        "??-gbk": "not_utf8",
        "mute": "empty_text",
        "gone": "missing_wav",
        "zero bytes": "empty_wav",
        "no samples": "empty_wav",
        "cut": "truncated_wav",
        "noise": "unreadable_wav",
        "tab in path": "bad_path",
        "": "empty_id",
    }


def test_durations_and_times_that_cannot_be(make, utterances):
    piece = dict(recording="r")
    src = utterances(
        ("given", "x", dict(duration=0.4)),
        ("none", "x", dict(duration=0.0)),
        ("nan", "x", dict(duration=float("nan"))),
        ("inf", "x", dict(duration=float("inf"))),
        ("gone", "x", dict(duration=0.4, audio="/none.wav")),
    )
    data = make("librispeech", src, "all")
    assert data.lines("utt2dur") == ["librispeech_given 0.400"]
    assert data.dropped == {"none": "bad_duration", "nan": "bad_duration", "inf": "bad_duration", "gone": "missing_wav"}
    src = utterances(
        ("ok", "x", dict(start=0.1, end=0.3, **piece)),
        ("little-over", "x", dict(start=0.2, end=0.45, **piece)),
        ("over", "x", dict(start=0.2, end=0.6, **piece)),
        ("back", "x", dict(start=0.3, end=0.2, **piece)),
        ("before", "x", dict(start=-0.1, end=0.2, **piece)),
        ("never", "x", dict(start=0.1, end=float("nan"), **piece)),
    )
    data = make("librispeech", src, "all")
    assert data.lines("segments") == [
        "librispeech_little_over librispeech_r 0.200 0.400",
        "librispeech_ok librispeech_r 0.100 0.300",
    ]
    assert data.dropped == {"over": "beyond_end", "back": "bad_times", "before": "bad_times", "never": "bad_times"}


@pytest.mark.parametrize(
    "wrong",
    [
        dict(id=None),
        dict(id=3),
        dict(text=None),
        dict(text=["a"]),
        dict(speaker=5),
        dict(audio=None),
        dict(duration="1"),
    ]
    + [dict(start="0", end="1"), dict(start=0, end=1, recording=7), dict(lang=None)],
)
def test_fields_of_a_wrong_type_are_a_drop(make, utterances, wrong):
    odd = {"id": "odd", **wrong}
    data = make("librispeech", utterances(("fine", "x", {}), ("odd", "y", odd)), "all")
    assert data.lines("text") == ["librispeech_fine x"]
    assert data.dropped == {str(odd["id"]): "wrong_type"}


def test_kaldi_order_whatever_the_speakers_are_called(make, utterances):
    speakers = ("160", "16", "a-b", "a", "a.b", "A", "é", " ", "16-1")
    src = utterances(*((f"{speaker}-{n}", "x", dict(speaker=speaker)) for n in (2, 1) for speaker in speakers))
    data = make("librispeech", src, "all", "--prefix", "my-corpus")
    assert [line.split()[0] for line in data.lines("text")] == [
        "my_corpus_16-1",
        "my_corpus_16-2",
        "my_corpus_160-1",
        "my_corpus_160-2",
        "my_corpus_16_1-16-1-1",
        "my_corpus_16_1-16-1-2",
        "my_corpus_A-1",
        "my_corpus_A-2",
        "my_corpus__1",
        "my_corpus__2",
        "my_corpus_a-1",
        "my_corpus_a-2",
        "my_corpus_a.b-1",
        "my_corpus_a.b-2",
        "my_corpus_a_b-a-b-1",
        "my_corpus_a_b-a-b-2",
        "my_corpus_é-1",
        "my_corpus_é-2",
    ]
    assert data.table("utt2spk")["my_corpus_a_b-a-b-1"] == "my_corpus_a_b"
    assert data.table("utt2spk")["my_corpus__1"] == "my_corpus__1"


@pytest.mark.parametrize("second", ["a", "a ", "a/b", "a b"])
def test_duplicate_ids_are_refused_also_those_that_cleaning_makes(run, utterances, tmp_path, second):
    first = "a/b" if "b" in second else "a"
    src = utterances((first, "x", {}), ("other", "x", {}), (second, "x", {}))
    done = run(src, "all", tmp_path / "out")
    assert done.code == 1 and done.err.count("\n") == 1 + done.err.count(" INFO: ")
    assert "two utterances are called librispeech_a" in done.err
    assert not (tmp_path / "out").exists() and os.listdir(tmp_path) == ["src"]


def test_recordings_with_one_name_are_refused(run, utterances, sound, tmp_path):
    other = str(sound(tmp_path / "src" / "deep" / "a.wav"))
    src = utterances(("u1", "x", dict(start=0, end=0.2)), ("u2", "x", dict(start=0, end=0.2, audio=other)))
    done = run(src, "all", tmp_path / "out")
    assert done.code == 1 and "two recordings are called librispeech_a: " in done.err


def test_text_cannot_make_columns_and_lines(make, utterances, monkeypatch):
    monkeypatch.setattr("espnet_llmasr.data.prepare.Transcript", lambda style: lambda text, lang: (text, text.upper()))
    src = utterances(("a", "one\ttwo\nthree\u2028four\x85five", {}))
    data = make("librispeech", src, "all")
    assert data.lines("text") == ["librispeech_a one two three four five"]
    assert data.lines("text_pron") == ["librispeech_a ONE TWO THREE FOUR FIVE"]
