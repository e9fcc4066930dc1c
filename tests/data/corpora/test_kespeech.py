import pytest

ROWS = {  # id: (text, speaker, subdialect)
    "1000021_a9b1": ("杂技剧团的王小丫", "1000021", "Mandarin"),
    "1000021_b2c3": ("今天<SPOKEN_NOISE>天气", "1000021", "Mandarin"),
    "1001_c4d5": ("俺们 那旮瘩", "1001", "Northeastern"),
    "1002_d6e7": ("你 说 啥 咧", "1002", "Ji-Lu"),
    "1002_e8f9": ("火星话", "1002", "Martian"),
    "1003_f0a1": ("没有录音", "1003", "Beijing"),
}


@pytest.fixture
def kespeech(sound, write, tmp_path):
    folder = tmp_path / "KeSpeech" / "Tasks" / "ASR" / "train_phase1"
    columns = {"text": 0, "utt2spk": 1, "utt2subdialect": 2}
    for table, column in columns.items():
        write(folder / table, "".join(f"{key} {row[column]}\n" for key, row in ROWS.items()))
    paths = {key: f"Audio/{row[1]}/phase1/{key}.wav" for key, row in ROWS.items()}
    write(folder / "wav.scp", "".join(f"{key} {path}\n" for key, path in paths.items()) + "9_x Audio/9_x.wav\n")
    for key in list(ROWS)[:-1]:
        sound(tmp_path / "KeSpeech" / paths[key], 0.4)
    return tmp_path / "KeSpeech"


def test_subdialects_become_languages_and_noise_lines_go(make, kespeech):
    data = make("kespeech", kespeech, "train_phase1")
    assert data.lines("text") == [
        "kespeech_1000021-1000021_a9b1 杂技剧团的王小丫",
        "kespeech_1001-1001_c4d5 俺们那旮瘩",
        "kespeech_1002-1002_d6e7 你说啥咧",
    ]
    assert [line.split()[1] for line in data.lines("utt2lang")] == ["zh", "zh-northeastern", "zh-ji-lu"]
    data.check_dropped(spoken_noise="1000021_b2c3", unknown_dialect="1002_e8f9", missing_wav="1003_f0a1", no_text="9_x")
    assert data.table("wav.scp")["kespeech_1001-1001_c4d5"] == str(kespeech / "Audio/1001/phase1/1001_c4d5.wav")


def test_tables_in_any_order_but_no_id_twice(make, kespeech):
    folder = kespeech / "Tasks" / "ASR" / "train_phase1"
    expected = make("kespeech", kespeech, "train_phase1").lines("text")
    (folder / "text").write_text("".join(reversed((folder / "text").read_text().splitlines(keepends=True))))
    assert make("kespeech", kespeech, "train_phase1").lines("text") == expected
    (folder / "utt2spk").write_text((folder / "utt2spk").read_text() + "9_x 9\n9_x 9\n")
    with pytest.raises(ValueError, match="utt2spk: id '9_x' occurs twice"):
        make("kespeech", kespeech, "train_phase1")


def test_parquet_copy_of_the_test_set(make, check_shards, parquet, tmp_path):
    rows = [("1004_aa", "中午好", "JiangHuai", 0.1), ("1004_bb", "<SPOKEN_NOISE>", "JiangHuai", 0.5)]
    rows += [("1005_cc", "晚上好", "Lan-Yin", 0.75)]
    named = [dict(ID=key, Text=text, Dialect=dialect, audio=("wav", seconds)) for key, text, dialect, seconds in rows]
    parquet(tmp_path / "ke" / "data" / "test-00000-of-00001.parquet", *named)
    data = make("kespeech", tmp_path / "ke", "test")
    assert data.lines("text") == ["kespeech_1004-1004_aa 中午好", "kespeech_1005-1005_cc 晚上好"]
    assert data.lines("utt2lang") == ["kespeech_1004-1004_aa zh-jiang-huai", "kespeech_1005-1005_cc zh-lan-yin"]
    assert data.lines("utt2dur")[1] == "kespeech_1005-1005_cc 0.750"
    assert data.dropped == {"1004_bb": "spoken_noise"}
    check_shards("kespeech", tmp_path / "ke", "test", 2)
