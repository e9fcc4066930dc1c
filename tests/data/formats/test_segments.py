"""GigaSpeech and WenetSpeech: pieces of long opus files by one big JSON."""

import json

import pytest

from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.prepare import load


@pytest.fixture
def giga(sound, write, tmp_path):
    src = tmp_path / "gigaspeech"
    pod, audiobook = "audio/podcast/P0001/POD0000000025.opus", "audio/audiobook/P0002/AUD0000000001.opus"
    sound(src / pod, 2)
    sound(src / audiobook, 1)

    def segment(sid, begin, end, text, *subsets, speaker="N/A"):
        return dict(sid=sid, speaker=speaker, begin_time=begin, end_time=end, text_tn=text, subsets=list(subsets))

    podcast = [
        segment("POD0000000025_S0000103", 0.31, 1.03, "FOUR O'CLOCK <COMMA> SAID WILLIAMS <PERIOD>", "{XL}", "{L}"),
        segment(
            "POD0000000025_S0000104", 1.1, 1.35, "REALLY <QUESTIONMARK> YES <EXCLAMATIONPOINT>", "{XL}", "{L}", "{XS}"
        ),
        segment("POD0000000025_S0000105", 1.35, 1.6, "WEEKLY", "{XL}", speaker="Ann"),
        *(segment(f"POD0000000025_S000020{n}", 1, 1.5, f"<{tag}>", "{XL}") for n, tag in enumerate(GARBAGE)),
        segment("POD0000000025_S0000300", 1.5, 2.5, "BEYOND THE END", "{XL}"),
        segment("POD0000000025_S0000301", 1, 1, "NO LENGTH", "{XL}"),
        segment("POD0000000025_S0000302", 1.5, 2, "<PERIOD>", "{XL}"),
        {"sid": "POD0000000025_S0000303", "begin_time": 1, "end_time": 2, "subsets": ["{XL}"]},
        segment("POD0000000025_S0000304", 1, 2, None, "{XL}"),
        segment("POD0000000025_S0000305", None, 2, "NO BEGIN", "{XL}"),
        segment("POD0000000025_S0000306", "x", 2, "NO NUMBER", "{XL}"),
        dict(segment("POD0000000025_S0000307", 1, 2, "NO LIST"), subsets=None),
        segment(308, 1, 2, "NO NAME", "{XL}"),
        None,
    ]
    audios = [
        dict(aid="POD0000000025", path=pod, source="podcast", duration=2.0, segments=podcast),
        dict(segments=[segment("AUD1_S1", 0.5, 1, "A TEST", "{TEST}")], path=audiobook, aid="AUD0000000001"),
        None,
        dict(segments=None, path=pod, aid="POD1"),
        dict(segments=[segment("YOU1_S1", 0.5, 1, "NO AUDIO", "{XL}")], path="audio/youtube/x.opus", aid="YOU1"),
    ]
    write(src / "GigaSpeech.json", json.dumps({"dataset": "GigaSpeech", "language": "EN", "audios": audios}))
    return src


GARBAGE = ("SIL", "MUSIC", "NOISE", "OTHER")
POD = "gigaspeech_POD0000000025-POD0000000025_S0000"


def test_gigaspeech_marks_garbage_subsets_and_speakers(make, giga):
    data = make("gigaspeech", giga, "XL")
    assert data.lines("text") == [
        "gigaspeech_Ann-POD0000000025_S0000105 weekly",
        f"{POD}103 four o'clock said williams",
        f"{POD}104 really yes",
    ]
    assert data.lines("segments") == [
        "gigaspeech_Ann-POD0000000025_S0000105 gigaspeech_POD0000000025 1.350 1.600",
        f"{POD}103 gigaspeech_POD0000000025 0.310 1.030",
        f"{POD}104 gigaspeech_POD0000000025 1.100 1.350",
    ]
    assert data.lines("wav.scp") == [f"gigaspeech_POD0000000025 {giga}/audio/podcast/P0001/POD0000000025.opus"]
    assert data.table("utt2spk")[f"{POD}103"] == "gigaspeech_POD0000000025"
    assert data.dropped == {
        **{f"POD0000000025_S000020{n}": "garbage" for n in range(4)},
        "POD0000000025_S0000300": "beyond_end",
        "POD0000000025_S0000301": "bad_times",
        "POD0000000025_S0000302": "empty_text",
        "POD0000000025_S0000303": "missing_field",
        **{f"POD0000000025_S000030{n}": "wrong_type" for n in (4, 5, 6, 7)},
        **{"308": "wrong_type", "POD0000000025": "wrong_type"},
        **{f"GigaSpeech.json:audios[{n}]": "missing_field" for n in (3, 4)},
        "YOU1_S1": "missing_wav",
    }


def test_gigaspeech_other_parts_hold_only_their_own(make, giga):
    assert [len(make("gigaspeech", giga, part).lines("text")) for part in ("L", "XS", "test")] == [2, 1, 1]
    with pytest.raises(ValueError, match="no utterance of .* is left"):
        make("gigaspeech", giga, "M")


def test_gigaspeech_punctuation_is_written_for_formatted_text(giga):
    source = Source(giga, "L", giga, giga)
    texts = [utterance.text for utterance in load("gigaspeech").read(source)]
    assert texts == ["FOUR O'CLOCK, SAID WILLIAMS.", "REALLY? YES!"]


def test_broken_json_leaves_the_previous_directory(make, giga):
    before = make("gigaspeech", giga, "XL").lines("text")
    whole = (giga / "GigaSpeech.json").read_text()
    (giga / "GigaSpeech.json").write_text(whole[:-50])
    with pytest.raises(ValueError, match="GigaSpeech.json is not whole JSON"):
        make("gigaspeech", giga, "XL")
    out = giga.parent / "data" / "gigaspeech_XL"
    assert (out / "text").read_text().splitlines() == before
    assert [path.name for path in out.parent.iterdir()] == ["gigaspeech_XL"]


def test_wenetspeech_subsets_contain_each_other_and_have_no_speakers(make, sound, write, tmp_path):
    src = tmp_path / "WenetSpeech"
    paths = {
        "Y0000000000_--5llN02F84": "audio/train/youtube/B00000/Y0000000000_--5llN02F84.opus",
        "D1": "audio/dev/third_party/B00000/D1.opus",
        "TEST_NET_Y1": "audio/test_net/B00000/TEST_NET_Y1.opus",
    }

    def segment(aid, number, subsets, text):
        times = dict(begin_time=0.25 + number / 2, end_time=0.75 + number / 2, confidence=0.95)
        return dict(sid=f"{aid}_S0000{number}", subsets=subsets, text=text, **times)

    said = {
        "Y0000000000_--5llN02F84": [
            (["L", "M", "S"], "怎么样"),
            (["L"], "用 iPhone 吧"),
            (["W"], "弱标注"),
            (["L"], "太晚"),
        ],
        "D1": [(["DEV"], "开发集")],
        "TEST_NET_Y1": [(["TEST_NET"], "测试集")],
    }
    audios = []
    for aid, path in paths.items():
        sound(src / path, 2)
        pieces = [segment(aid, number, *piece) for number, piece in enumerate(said[aid])]
        audios.append(dict(aid=aid, duration=2.0, path=path, tags=["drama"], segments=pieces))
    audios[0]["segments"][3]["end_time"] = 2.5
    write(src / "WenetSpeech.json", json.dumps(dict(audios=audios), ensure_ascii=False))
    data = make("wenetspeech", src, "L")
    name = "wenetspeech_Y0000000000___5llN02F84_S0000"
    assert [line.replace(" ", "") for line in data.lines("text")] == [f"{name}0怎么样", f"{name}1用iphone吧"]
    assert data.lines("segments")[1] == f"{name}1 wenetspeech_Y0000000000_--5llN02F84 0.750 1.250"
    assert data.lines("spk2utt") == [f"{name}0 {name}0", f"{name}1 {name}1"]
    assert data.dropped == {"Y0000000000_--5llN02F84_S00003": "beyond_end"}
    texts = {part: make("wenetspeech", src, part).lines("text") for part in ("M", "S", "W", "dev", "test_net")}
    assert [len(lines) for lines in texts.values()] == [1] * 5
    assert texts["W"][0].endswith("弱标注") and texts["test_net"][0].endswith("测试集")
