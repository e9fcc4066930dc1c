import pytest

ALICE, BOB = "a1" * 64, "a1" * 8 + "ff" * 56
OLD = "client_id path sentence up_votes down_votes age gender accents variant locale segment".split()
NEW = "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender locale segment".split()


def tsv(columns, *rows):
    """The table; each row gives client_id, path and sentence, and leaves the rest empty."""
    cells = [dict(zip(("client_id", "path", "sentence"), row)) for row in rows]
    return (
        "\n".join("\t".join(c) for c in [columns, *([row.get(name, "") for name in columns] for row in cells)]) + "\n"
    )


@pytest.mark.parametrize("columns", [OLD, NEW])
def test_english_with_quotes_in_both_headers(make, sound, write, tmp_path, columns):
    folder = tmp_path / "cv-corpus-15.0-2023-09-08" / "en"
    for number, rate in ((1, 32000), (2, 48000), (3, 48000)):
        sound(folder / "clips" / f"common_voice_en_{number}.mp3", 0.4, rate)
    rows = [
        (ALICE, "common_voice_en_1.mp3", "\"It's unbalanced, he said."),
        ("b2" * 64, "common_voice_en_2.mp3", 'Then """quoted"" twice".'),
        (ALICE, "common_voice_en_4.mp3", "No clip."),
        (ALICE, "common_voice_en_3.mp3", ""),
    ]
    write(folder / "train.tsv", tsv(columns, *rows) + "short\tline\n")
    data = make("commonvoice", tmp_path, "en-train")
    assert data.lines("text") == [
        "commonvoice_a1a1a1a1a1a1a1a1-common_voice_en_1 it's unbalanced he said",
        "commonvoice_b2b2b2b2b2b2b2b2-common_voice_en_2 then quoted twice",
    ]
    assert data.lines("spk2utt")[0] == ("commonvoice_a1a1a1a1a1a1a1a1 commonvoice_a1a1a1a1a1a1a1a1-common_voice_en_1")
    assert set(data.table("utt2lang").values()) == {"en"}
    assert data.table("wav.scp")["commonvoice_b2b2b2b2b2b2b2b2-common_voice_en_2"].endswith("_2.mp3")
    data.check_dropped(empty_text="common_voice_en_3", missing_wav="common_voice_en_4", broken_line="train.tsv:6")


def test_mandarin_is_zh_and_its_parts_stay_apart(make, sounds, write, tmp_path):
    folder = tmp_path / "zh-CN"
    sounds(folder / "clips", "common_voice_zh-CN_7.mp3 common_voice_zh-CN_8.mp3", 0.4, 32000)
    write(folder / "other.tsv", tsv(OLD, (ALICE, "common_voice_zh-CN_7.mp3", "他用Python，写了“代码”。")))
    write(folder / "test.tsv", tsv(OLD, (ALICE, "common_voice_zh-CN_8", "没有了")))
    data = make("commonvoice", tmp_path, "zh-CN-other")
    key = "commonvoice_a1a1a1a1a1a1a1a1-common_voice_zh-CN_7"
    assert data.lines("text") == [f"{key} 他用python写了代码"] and data.lines("utt2lang") == [f"{key} zh"]
    assert make("commonvoice", tmp_path, "zh-CN-test").stats["utts"] == 1
