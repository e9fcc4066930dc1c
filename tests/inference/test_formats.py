"""Each format by hand, and where results go."""

import json

import pytest

from espnet_llmasr.guard.gaps import Gap
from espnet_llmasr.guard.verifier import Word
from espnet_llmasr.inference.formats import FORMATS, check_format, cues, deliver, evenly, file_name
from espnet_llmasr.inference.hypothesis import Hypothesis
from espnet_llmasr.inference.transcribe import Segment, Source, Transcript

WORDS = (Word("hi", 3600.5, 3600.75, 0.9), Word("你", 3601.0, 3601.25, 0.5))
TIMED = Hypothesis("Hi 你", -0.25, 0.75, ("loop",), words=WORDS, gaps=(Gap(3602.0, 3603.0, "unwritten"),))
PLAIN = Hypothesis("a <b>", -0.5)
TRANSCRIPT = Transcript("my talk.wav", (Segment(3600.0, 3604.0, TIMED), Segment(3605.0, 3607.0, PLAIN)), 3610.0, "en")
SRT = """1
01:00:00,500 --> 01:00:01,250
Hi 你

2
01:00:05,000 --> 01:00:07,000
a <b>

"""


@pytest.mark.parametrize(
    "name, expected",
    [
        ("text", "Hi 你 a <b>\n"),
        ("kaldi", "my_talk.wav Hi 你 a <b>\n"),
        ("srt", SRT),
        ("vtt", "WEBVTT\n\n01:00:00.500 --> 01:00:01.250\nHi 你\n\n01:00:05.000 --> 01:00:07.000\na &lt;b&gt;\n\n"),
        (
            "ctm",
            "my_talk.wav 1 3600.500 0.250 hi 0.9000\nmy_talk.wav 1 3601.000 0.250 你 0.5000\n"
            "my_talk.wav 1 3605.000 1.000 a\nmy_talk.wav 1 3606.000 1.000 <b>\n",
        ),
    ],
)
def test_formats(name, expected):
    assert FORMATS[name].write(TRANSCRIPT) == expected


def test_json():
    row = json.loads(FORMATS["json"].write(TRANSCRIPT))
    assert row["id"] == "my talk.wav" and row["text"] == "Hi 你 a <b>" and row["language"] == "en"
    assert row["words"][1] == dict(text="你", start_s=3601.0, end_s=3601.25, confidence=0.5)
    assert row["gaps"] == [dict(start_s=3602.0, end_s=3603.0, kind="unwritten")] and row["flags"] == ["loop"]
    assert row["segments"][1] == dict(start_s=3605.0, end_s=3607.0, text="a <b>", score=-0.5, confidence=None, flags=[])
    assert row["confidence"] == 0.75 and row["score"] == pytest.approx(-1 / 3, abs=1e-4)


def test_an_empty_transcript():
    empty = Transcript("x", (), 30.0)
    assert [FORMATS[name].write(empty) for name in ("text", "kaldi", "srt", "vtt", "ctm")] == [
        "\n",
        "x\n",
        "",
        "WEBVTT\n\n",
        "",
    ]
    assert json.loads(FORMATS["json"].write(empty))["segments"] == []


def test_subtitles_are_short_and_end_at_pauses():
    times = [0, 1, 2, 3, 4, 5, 6, 7.5, 8.5, 11]
    found = tuple(Word("a", time, time + 0.5, 1.0) for time in times)
    segment = Segment(0.0, 12.0, Hypothesis(" ".join("a" * 10), 0.0, words=found))
    spans = [(cue.start_s, cue.end_s) for cue in cues(Transcript("x", (segment,)))]
    assert spans == [(0, 6.5), (7.5, 9.0), (11, 11.5)]
    long = tuple(Word("w" * 30, time / 2, time / 2 + 0.4, 1.0) for time in range(4))
    segment = Segment(0.0, 3.0, Hypothesis(" ".join(["w" * 30] * 4), 0.0, words=long))
    assert [cue.text for cue in cues(Transcript("x", (segment,)))] == [" ".join(["w" * 30] * 2)] * 2


def test_evenly():
    assert evenly(Segment(1.0, 3.0, PLAIN)) == [Word("a", 1.0, 2.0, None), Word("<b>", 2.0, 3.0, None)]


def test_what_cannot_be_written_is_refused(tmp_path):
    two = [Source("a/x.wav", ""), Source("b/x.flac", "")]
    for name in ("srt", "vtt"):
        with pytest.raises(ValueError, match=f"--format {name} holds one recording, found 2: give --output_dir"):
            check_format(name, two, None, True)
    with pytest.raises(ValueError, match="needs the times of words"):
        check_format("ctm", two, None, False)
    with pytest.raises(ValueError, match="a/x.wav and b/x.flac would both become x.srt"):
        check_format("srt", two, tmp_path, True)
    check_format("json", two, None, False)
    assert [file_name(uid) for uid in ("a/x.wav", "u.1", "b/y.MP3#t=1,2", "stdin")] == ["x", "u.1", "y", "stdin"]


def test_deliver(tmp_path, capsys):
    found = [TRANSCRIPT, Transcript("bad.wav", error="bad.wav: truncated_wav")]
    assert deliver(found, "text", None, True) == 1
    out, err = capsys.readouterr()
    assert out == "my talk.wav\tHi 你 a <b>\n" and err == "bad.wav: not transcribed: bad.wav: truncated_wav\n"
    assert deliver(found[:1], "text", None, False) == 0 and capsys.readouterr().out == "Hi 你 a <b>\n"
    assert deliver(found, "srt", tmp_path, True) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["my talk.srt"]
    assert (tmp_path / "my talk.srt").read_text() == SRT and capsys.readouterr().out == ""
