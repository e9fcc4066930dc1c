"""GigaSpeech and WenetSpeech: pieces of long opus files by one big JSON."""

import json

import pytest


@pytest.fixture
def giga(sound, write, tmp_path):
    src = tmp_path / "gigaspeech"
    pod, audiobook = "audio/podcast/P0001/POD25.opus", "audio/audiobook/P0002/AUD1.opus"
    sound(src / pod, 2)
    sound(src / audiobook, 1)

    def segment(sid, begin, end, text, subsets="XL", speaker="N/A"):
        labels = [f"{{{subset}}}" for subset in subsets.split()]
        return dict(sid=sid, speaker=speaker, begin_time=begin, end_time=end, text_tn=text, subsets=labels)

    podcast = [
        segment("POD25_S103", 0.31, 1.03, "FOUR O'CLOCK <COMMA> SAID WILLIAMS <PERIOD>", "XL L"),
        segment("POD25_S104", 1.1, 1.35, "REALLY <QUESTIONMARK> YES <EXCLAMATIONPOINT>", "XL L XS"),
        segment("POD25_S105", 1.35, 1.6, "WEEKLY", speaker="Ann"),
        *(segment(f"POD25_S20{n}", 1, 1.5, f"<{tag}>") for n, tag in enumerate(("SIL", "MUSIC", "NOISE", "OTHER"))),
        segment("POD25_S300", 1.5, 2.5, "BEYOND THE END"),
        segment("POD25_S301", 1, 1, "NO LENGTH"),
        segment("POD25_S302", 1.5, 2, "<PERIOD>"),
        dict(sid="POD25_S303", begin_time=1, end_time=2, subsets=["{XL}"]),
        segment("POD25_S304", 1, 2, None),
        segment("POD25_S305", None, 2, "NO BEGIN"),
        segment("POD25_S306", "x", 2, "NO NUMBER"),
        dict(segment("POD25_S307", 1, 2, "NO LIST"), subsets=None),
        segment(308, 1, 2, "NO NAME"),
        None,
    ]
    audios = [
        dict(aid="POD25", path=pod, source="podcast", duration=2.0, segments=podcast),
        dict(segments=[segment("AUD1_S1", 0.5, 1, "A TEST", "TEST")], path=audiobook, aid="AUD1"),
        None,
        dict(segments=None, path=pod, aid="POD1"),
        dict(segments=[segment("YOU1_S1", 0.5, 1, "NO AUDIO")], path="audio/youtube/x.opus", aid="YOU1"),
    ]
    write(src / "GigaSpeech.json", json.dumps({"dataset": "GigaSpeech", "language": "EN", "audios": audios}))
    return src


def test_gigaspeech_marks_garbage_subsets_and_speakers(make, giga):
    data = make("gigaspeech", giga, "XL")
    pod, ann = "gigaspeech_POD25-POD25_S", "gigaspeech_Ann-POD25_S105"
    assert data.lines("text") == [f"{ann} weekly", f"{pod}103 four o'clock said williams", f"{pod}104 really yes"]
    times = ("1.350 1.600", "0.310 1.030", "1.100 1.350")
    assert list(data.table("segments").values()) == [f"gigaspeech_POD25 {piece}" for piece in times]
    assert data.lines("wav.scp") == [f"gigaspeech_POD25 {giga}/audio/podcast/P0001/POD25.opus"]
    assert data.table("utt2spk")[f"{pod}103"] == "gigaspeech_POD25"
    data.check_dropped(
        garbage="POD25_S200 POD25_S201 POD25_S202 POD25_S203",
        beyond_end="POD25_S300",
        bad_times="POD25_S301",
        empty_text="POD25_S302",
        missing_field="POD25_S303 GigaSpeech.json:audios[3] GigaSpeech.json:audios[4]",
        wrong_type="POD25_S304 POD25_S305 POD25_S306 POD25_S307 308 POD25",
        missing_wav="YOU1_S1",
    )


def test_gigaspeech_other_parts_hold_only_their_own(make, giga):
    assert [len(make("gigaspeech", giga, part).lines("text")) for part in ("L", "XS", "test")] == [2, 1, 1]
    with pytest.raises(ValueError, match="no utterance of .* is left"):
        make("gigaspeech", giga, "M")


def test_gigaspeech_punctuation_is_written_for_formatted_text(as_read, giga):
    assert list(as_read("gigaspeech", giga, "L").values()) == ["FOUR O'CLOCK, SAID WILLIAMS.", "REALLY? YES!"]


def test_wenetspeech_subsets_contain_each_other_and_have_no_speakers(make, sound, write, tmp_path):
    src = tmp_path / "WenetSpeech"

    def segment(aid, number, subsets, text):
        times = dict(begin_time=0.25 + number / 2, end_time=0.75 + number / 2, confidence=0.95)
        return dict(sid=f"{aid}_S0000{number}", subsets=subsets.split(), text=text, **times)

    train = [("L M S", "怎么样"), ("L", "用 iPhone 吧"), ("W", "弱标注"), ("L", "太晚")]
    audios = []
    for folder, aid, said in (
        ("train/youtube", "Y0000000000_--5llN02F84", train),
        ("dev/third_party", "D1", [("DEV", "开发集")]),
        ("test_net", "TEST_NET_Y1", [("TEST_NET", "测试集")]),
    ):
        path = f"audio/{folder}/B00000/{aid}.opus"
        sound(src / path, 2)
        pieces = [segment(aid, number, *piece) for number, piece in enumerate(said)]
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
