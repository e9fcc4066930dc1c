"""The readers for unpublished layouts (MSR-86K) and for metadata without audio (WenetSpeech-Yue and -Chuan)."""

import gzip
import io
import json

import pytest

from espnet_llmasr.data.formats import crawled
from espnet_llmasr.data.formats.generic import wav_folder
from espnet_llmasr.data.formats.source import Source


def manifest(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_msr_86k_with_a_field_map_of_nested_names(make, sound, write, tmp_path):
    src = tmp_path / "msr"
    sound(src / "wavs" / "a.wav", 0.5)
    rows = [
        dict(utt="A/1", info=dict(path="wavs/a.wav", seconds="0.5"), sentence="it's here", spk=5),
        dict(utt="A/2", info=dict(path="wavs/b.wav", seconds=0.5), sentence="gone", spk=5),
        dict(utt="A/3", info=dict(path="wavs/a.wav", seconds="half"), sentence="bad", spk=5),
        dict(utt=None, info=dict(path="wavs/a.wav", seconds=1), sentence="nameless", spk=5),
        dict(utt="A/4", info=None, sentence="no audio", spk=5),
        dict(utt="A/5", info=dict(path="wavs/a.wav", seconds=0.5), sentence=None, spk=None),
    ]
    write(src / "en" / "train.jsonl", manifest(*rows) + "{broken\n")
    options = "id=utt audio=info.path text=sentence duration=info.seconds speaker=spk".split()
    data = make("msr_86k", src, "en", *(word for option in options for word in ("--set", option)))
    assert data.lines("text") == ["msr_86k_5-A_1 it's here"]
    assert data.lines("utt2spk") == ["msr_86k_5-A_1 msr_86k_5"]
    nameless = dict(missing_id="train.jsonl/4", broken_json="train.jsonl:7")
    data.check_dropped(missing_wav="A/2 A/4", bad_number="A/3", empty_text="A/5", **nameless)


def test_msr_86k_gzipped_without_speakers_and_durations(make, sound, tmp_path):
    sound(tmp_path / "msr" / "a.flac", 0.25)
    lines = manifest(dict(id="a", audio="a.flac", text="hello there")).encode()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "list.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "msr" / "linked").symlink_to(tmp_path / "elsewhere")
    data = make("msr_86k", tmp_path / "msr", "en")
    assert data.lines("text") == ["msr_86k_a hello there"]
    assert data.lines("utt2dur") == ["msr_86k_a 0.250"]


def test_an_unknown_field_is_one_line_with_the_fields_that_there_are(make, write, tmp_path):
    write(tmp_path / "msr" / "x.jsonl", manifest(dict(id="a", meta=dict(path="a.wav"), sentence="hello")))
    expected = "no field 'audio' for audio, its fields are id, meta.path, sentence: give --set audio=FIELD$"
    with pytest.raises(ValueError, match=expected):
        make("msr_86k", tmp_path / "msr", "en")
    with pytest.raises(ValueError, match="no field 'spk' .*, or --set speaker= to do without"):
        options = ("--set", "audio=meta.path", "--set", "text=sentence", "--set", "speaker=spk")
        make("msr_86k", tmp_path / "msr", "en", *options)


def yue(key, text, times="0.500_1.250", confidence=0.95, link="https://host/video/BV1xx/"):
    meta = dict(link=link, time_stamp=times, region="广东")
    return dict(key=key, duration=0.75, rover_result=text, confidence=confidence, meta_info=meta)


@pytest.fixture
def crawl(sound, write, tmp_path):
    src = tmp_path / "yue"
    for name, seconds in (("gd0001.opus", 2), ("BV1xx.wav", 2), ("BV1xx_p3.flac", 3), ("xg0009_500_1250.wav", 0.75)):
        sound(src / "audio" / name, seconds)
    page = "https://host/video/BV1xx?from=search&p=3"
    rows = [
        yue("gd0001_500_1250", "但係小姐你又唔睬佢"),
        yue("gd0002_500_1250", "嗰啲嘢", times="1.000_1.500"),
        yue("gd0003_500_1250", "第三頁", times="2.000_3.000", link=page),
        yue("xg0009_500_1250", "已經切好", link="https://host/x"),
        yue("gd0001_1500_9000", "太長", times="1.500_9.000"),
        yue("gd0001_0_500", "信心唔夠", times="0.000_0.500", confidence=0.7),
        yue("gd0001_0_600", "冇信心", times="0.000_0.600", confidence=None),
        yue("gd0001_0_650", "怪信心", times="0.000_0.650", confidence=[1]),
        yue("gd0009_0_500", "冇聲", link="https://host/video/BV9/"),
        yue("gd0001_0_700", "亂時間", times="0.000-0.700"),
        yue("gd0001_0_800", "冇時間", times=None),
    ]
    write(src / "metadata.jsonl", manifest(*rows))
    return src


def test_wenetspeech_yue_cuts_what_was_crawled(make, crawl):
    data = make("wenetspeech_yue", crawl, "train", "--set", "min_confidence=0.9")
    entries = {key.removeprefix("wenetspeech_yue_"): entry for key, entry in data.entries().items()}
    audio = crawl / "audio"
    assert entries["gd0001_500_1250"] == f"{audio}/gd0001.opus#t=0.500,1.250"
    assert entries["gd0002_500_1250"] == f"{audio}/BV1xx.wav#t=1.000,1.500"
    assert entries["gd0003_500_1250"] == f"{audio}/BV1xx_p3.flac#t=2.000,3.000"
    assert entries["xg0009_500_1250"].startswith(f"{audio}/xg0009_500_1250.wav")
    assert len(entries) == 4
    assert data.table("text")["wenetspeech_yue_gd0001_500_1250"] == "但係小姐你又唔睬佢"
    assert set(data.table("utt2lang").values()) == {"yue"}
    data.check_dropped(
        low_confidence="gd0001_0_500 gd0001_0_600",
        bad_number="gd0001_0_650 gd0001_0_700",
        missing_wav="gd0009_0_500",
        missing_times="gd0001_0_800",
        beyond_end="gd0001_1500_9000",
    )


def test_a_shard_looks_for_no_audio_but_its_own(make, crawl, monkeypatch):
    looked_for, first_audio = [], crawled.first_audio
    monkeypatch.setattr(crawled, "first_audio", lambda *args: looked_for.append(args[1]) or first_audio(*args))
    utts = [make("wenetspeech_yue", crawl, "train", "--shard", f"{number}/2").stats["utts"] for number in (1, 2)]
    keys = [name for name in looked_for if name.count("_") == 2]
    assert sum(utts) == 7 and len(keys) == len(set(keys)) == 9


def test_wenetspeech_chuan_of_cut_audio(make, sounds, write, tmp_path):
    src = tmp_path / "chuan"
    sounds(src / "audio", "u1.wav long.mp3")
    rows = [
        dict(utt="u1", filename="u1.wav", text="巴适得板", confidence=0.95),
        dict(utt="u2", filename="u2.wav", text="没得声音", confidence=0.95),
        dict(utt="u3", filename="u1.wav", text="不晓得", confidence=0.5),
        dict(utt="u4", filename="dir/long.mp3", text="晓得", confidence=0.95),
        dict(utt="u5", filename="long", text="要得", confidence=0.95),
    ]
    write(src / "wsc_metadata.jsonl", manifest(*rows))
    with pytest.raises(ValueError, match="for times, .*: give --set times=FIELD, or --set times= to do without"):
        make("wenetspeech_chuan", src, "train")
    data = make("wenetspeech_chuan", src, "train", "--set", "times=", "--set", "min_confidence=0.9")
    assert data.table("text") == {
        f"wenetspeech_chuan_{u}": said for u, said in (("u1", "巴适得板"), ("u4", "晓得"), ("u5", "要得"))
    }
    assert set(data.table("utt2lang").values()) == {"zh-sichuan"}
    data.check_dropped(missing_wav="u2", low_confidence="u3")


def test_wav_folder_with_tabs_blanks_suffixes_and_spare_audio(sounds, write, tmp_path):
    sounds(tmp_path / "wav", "a.wav S1/b.wav S2/c.flac")
    transcript = write(tmp_path / "trans.txt", "\ufeffa\t你 好\r\nb.wav 世界 啊\nd 没有\n")
    (tmp_path / "wav" / "S2").rename(tmp_path / "elsewhere")
    (tmp_path / "wav" / "S2").symlink_to(tmp_path / "elsewhere")
    source = Source(tmp_path, "A", tmp_path, tmp_path, log=io.StringIO())
    found = list(wav_folder(source, tmp_path / "wav", transcript, lang="zh"))
    assert [(utterance.id, utterance.text) for utterance in found] == [("a", "你 好"), ("b", "世界 啊"), ("d", "没有")]
    assert [utterance.audio for utterance in found] == [
        f"{tmp_path}/wav/{name}" for name in ("a.wav", "S1/b.wav", "d.wav")
    ]
    assert source.log.getvalue() == "c no_text\n"
    sounds(tmp_path / "wav", "S2/a.wav")
    with pytest.raises(ValueError, match="have the same name: rename all but one"):
        list(wav_folder(source, tmp_path / "wav", transcript))
