"""YODAS-Granary, People's Speech and ASCEND: parquet with the audio inside."""

import pytest


def granary(name, text, suffix="flac", seconds=0.5):
    return dict(utt_id=name, audio=(suffix, seconds), duration=seconds, lang="en", text=text)


@pytest.fixture
def yodas(parquet, tmp_path):
    data = tmp_path / "granary" / "data"
    parquet(data / "en000/asr_only/0.parquet", granary("a-1", "Hello, World."), granary("a-2", "It's me!", "wav", 0.25))
    parquet(data / "en000/asr_only/1.parquet", granary("a-3", None), granary("a-4", "No sound.", "flac", 0))
    parquet(data / "en001/asr_only/0.parquet", granary("b-1", "Second shard?"))
    parquet(data / "en100/asr_only/0.parquet", granary("c-1", "Automatic captions"))
    parquet(data / "en000/ast/0.parquet", granary("a-1", "Hello, World."))
    parquet(data / "de000/asr_only/0.parquet", granary("d-1", "Nicht englisch"))
    return data.parent


MANUAL = ["yodas_granary_a_1 hello world", "yodas_granary_a_2 it's me", "yodas_granary_b_1 second shard"]
AUTOMATIC = ["yodas_granary_c_1 automatic captions"]
DROPPED = {"a-3": "empty_text", "a-4": "empty_wav"}


@pytest.mark.parametrize(
    "part,lines,dropped",
    (("en", MANUAL + AUTOMATIC, DROPPED), ("en-manual", MANUAL, DROPPED), ("en-automatic", AUTOMATIC, {})),
)
def test_yodas_granary_takes_english_asr_only_once(make, yodas, part, lines, dropped):
    data = make("yodas_granary", yodas, part)
    assert data.lines("text") == lines
    assert data.dropped == dropped
    assert all(key == speaker for key, speaker in data.table("utt2spk").items())
    assert not data.table("segments")


@pytest.mark.parametrize("total", (2, 5))  # fewer than the files, and more
def test_yodas_granary_in_shards_is_the_whole(check_shards, yodas, total):
    check_shards("yodas_granary", yodas / "data", "en", total)


def test_yodas_granary_with_a_limit_has_whole_tars(make, yodas):
    assert make("yodas_granary", yodas, "en", "--limit", "1").lines("text") == MANUAL[:1]


def test_peoples_speech_ids_with_blanks_and_paths_and_milliseconds(make, parquet, tmp_path):
    def row(name, text, seconds=0.5):
        return dict(id=name, audio=("flac", seconds), duration_ms=int(seconds * 1000), text=text)

    src = tmp_path / "peoples_speech"
    rows = row("My Talk/part 1.mp3_0.flac", "we're here"), row("x_SLASH_y_DOT_mp3_1.flac", "and there", 0.25)
    parquet(src / "dirty_sa" / "train-00000-of-00002.parquet", *rows)
    parquet(src / "dirty_sa" / "train-00001-of-00002.parquet", row("z", ""), row("w", "no sound", 0))
    parquet(src / "dirty" / "train-00000-of-00001.parquet", row("My Talk/part 1.mp3_0.flac", "another part"))
    parquet(src / "test" / "test-00000-of-00001.parquet", row("t", "a test"))
    data = make("peoples_speech", src, "dirty_sa")
    assert data.lines("text") == [
        "peoples_speech_My_Talk_part_1.mp3_0.flac we're here",
        "peoples_speech_x_SLASH_y_DOT_mp3_1.flac and there",
    ]
    assert list(data.table("utt2dur").values()) == ["0.500", "0.250"]
    assert data.dropped == {"z": "empty_text", "w": "empty_wav"}
    assert make("peoples_speech", src, "test").lines("text") == ["peoples_speech_t a test"]


def test_ascend_languages_whole_number_speakers_and_tags(make, parquet, tmp_path):
    def row(name, text, language, speaker, seconds=0.5):
        text = dict(transcription=text, language=language, session_id=1, topic="technology")
        return dict(id=name, audio=("wav", seconds), duration=seconds, original_speaker_id=speaker, **text)

    parquet(
        tmp_path / "ASCEND" / "main" / "test-00000-of-00001.parquet",
        row("00003", "我 觉得 很 nice 啊", "mixed", 0),
        row("00004", "[UNK] okay then", "en", 7, 0.25),
        row("00005", "那个问题", "zh", 7),
        row("00006", "[UNK] [UNK]", "zh", 7),
        row("00007", "bonjour", "fr", 7),
        row("00008", "没有 声音", "zh", 7, 0),
        row("00009", "", "zh", 0),
    )
    data = make("ascend", tmp_path / "ASCEND", "test")
    assert data.lines("utt2lang") == ["ascend_0-00003 zh-en", "ascend_7-00004 en", "ascend_7-00005 zh"]
    assert data.lines("utt2spk") == ["ascend_0-00003 ascend_0", "ascend_7-00004 ascend_7", "ascend_7-00005 ascend_7"]
    assert data.table("text")["ascend_7-00004"] == "okay then"
    assert data.table("text")["ascend_0-00003"].replace(" ", "") == "我觉得很nice啊"
    data.check_dropped(only_tags="00006", unknown_language="00007", empty_wav="00008", empty_text="00009")
