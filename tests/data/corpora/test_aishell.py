"""AISHELL-1, AISHELL-2 and AISHELL-2021-Eval."""

import pytest

AISHELL1 = """BAC009S0002W0122 而 对 楼市 成交
BAC009S0002W0123 做 ｂ 超 在 ｃｂａ
BAC009S0002W0125 没有 录音
BAC009S0764W0121 甚至 出现 交易
"""


@pytest.fixture
def aishell1(sound, write, tmp_path):
    """wav/train/S0002 with three wavs, of which the last has no text; wav/dev/S0764 with one."""
    root = tmp_path / "data_aishell"
    write(root / "transcript" / "aishell_transcript_v0.8.txt", AISHELL1)
    for number, seconds in ((122, 0.5), (123, 1.25), (124, 0.3)):
        sound(root / "wav" / "train" / "S0002" / f"BAC009S0002W0{number}.wav", seconds)
    sound(root / "wav" / "dev" / "S0764" / "BAC009S0764W0121.wav")
    return root


def test_aishell1_joins_words_and_drops_what_has_no_counterpart(make, aishell1):
    data = make("aishell1", aishell1, "train")
    assert data.lines("text") == [
        "aishell1_S0002-BAC009S0002W0122 而对楼市成交",
        "aishell1_S0002-BAC009S0002W0123 做b超在cba",
    ]
    assert data.lines("text_pron") == ["aishell1_S0002-BAC009S0002W0123 做 B 超在 CBA"]  # letter by letter
    assert data.lines("utt2dur")[1] == "aishell1_S0002-BAC009S0002W0123 1.250"
    assert data.lines("spk2utt") == ["aishell1_S0002 aishell1_S0002-BAC009S0002W0122 aishell1_S0002-BAC009S0002W0123"]
    assert data.dropped == {"BAC009S0002W0124": "no_text", "BAC009S0002W0125": "missing_wav"}


def test_aishell1_part_has_only_its_speakers(make, aishell1):
    data = make("aishell1", aishell1.parent, "dev")
    assert data.lines("text") == ["aishell1_S0764-BAC009S0764W0121 甚至出现交易"] and not data.dropped


TRANS = {  # id: (as published, as written, language)
    "IC0001W0001": ("厨房用品", "厨房用品", "zh"),
    "IC0001W0002": ("听Yesterday Once More", "听yesterday once more", "zh-en"),
    "IC0001W0003": ("我感觉就是在不断'拉抽屉'", "我感觉就是在不断拉抽屉", "zh"),
    "IC0001W0004": ("附近的Ａ Ｔ Ｍ机", "附近的a t m机", "zh"),
    "IC0001W0005": ("It's", "it's", "en"),
    "IC0803W0380": ("坏的", "", ""),
    "ID0002W0001": ("没有录音", "", ""),
}


@pytest.fixture
def aishell2(sound, write):
    """aishell2(folder): trans.txt, in another order than wav.scp, and wav/, as in each folder of AISHELL-2."""

    def make_folder(folder):
        write(folder / "trans.txt", "".join(f"{key}\t{TRANS[key][0]}\n" for key in sorted(TRANS, reverse=True)))
        paths = {key: f"wav/{key[1:6]}/{key}.wav" for key in (*TRANS, "IC0009W0009")}
        write(folder / "wav.scp", "".join(f"{key}\t{path}\n" for key, path in paths.items()))
        for key in list(TRANS)[:-1]:
            sound(folder / paths[key], 0.4)

    return make_folder


@pytest.mark.parametrize(
    "part, folder",
    [
        ("train", "iOS/data"),
        ("train", "AISHELL-2/iOS/data"),
        ("dev_ios", "AISHELL-DEV-TEST-SET/iOS/dev"),
        ("test_android", "AISHELL-DEV-TEST-SET/Android/test"),
        ("test_mic", "AISHELL-DEV-TEST-SET/Mic/test"),
        ("dev_ios", "iOS/dev"),
        ("test_ios", "AISHELL-2/iOS/test"),
    ],
)
def test_aishell2_layouts_and_texts(make, as_read, aishell2, tmp_path, part, folder):
    aishell2(tmp_path / folder)
    assert as_read("aishell2", tmp_path, part)["IC0001W0003"] == "我感觉就是在不断拉抽屉"
    data = make("aishell2", tmp_path, part)
    kept = {f"aishell2_C0001-{key}": row for key, row in TRANS.items() if key.startswith("IC0001")}
    assert data.table("text") == {key: text for key, (_, text, _) in kept.items()}
    assert data.table("utt2lang") == {key: lang for key, (_, _, lang) in kept.items()}
    assert data.dropped == {"IC0803W0380": "known_bad", "ID0002W0001": "missing_wav", "IC0009W0009": "no_text"}


def test_aishell_2021_eval_reads_a_folder_and_a_transcript(make, sound, write, tmp_path):
    sound(tmp_path / "C" / "wav" / "car" / "c-1.wav")
    sound(tmp_path / "C" / "wav" / "c-2.wav")
    write(tmp_path / "C" / "trans.txt", "c-1\t打开 空调\nc-3\t没有\n")
    write(tmp_path / "C" / "other.lst", "c-2.wav 关 窗\n")
    data = make("aishell_2021_eval", tmp_path, "C")
    assert data.lines("text") == ["aishell_2021_eval_c_1 打开空调"]
    assert data.dropped == {"c-2": "no_text", "c-3": "missing_wav"}
    data = make("aishell_2021_eval", tmp_path, "C", "--set", "transcript=other.lst")
    assert data.lines("text") == ["aishell_2021_eval_c_2 关窗"]
