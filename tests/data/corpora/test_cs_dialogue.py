import pytest

TEXT = {  # id: (as published, as written, language)
    "ZH-CN_U0001_S0_4": ("<MIX> 嗯，我是 Luna ，嗯，你现在。", "嗯我是luna嗯你现在", "zh-en"),
    "ZH-CN_U0001_S0_5": ("<FIL/>我觉得<SPK/>还好<NON/>吧<NPS/>", "我觉得还好吧", "zh"),
    "ZH-CN_U0001_S0_7": ("I think ** that's right", "i think that's right", "en"),
    "ZH-CN_U0001_S0_6": ("<FIL/> <SPK/> **", "", ""),
    "ZH-CN_U0002_S0_1": ("没有录音", "", ""),
}
SPEAKER = "WAVE/C0/ZH-CN_U0001_S0"


@pytest.fixture
def index(write, tmp_path):
    folder = tmp_path / "CS-Dialogue" / "data" / "index" / "short_wav" / "test"
    write(folder / "text", "".join(f"{key}\t{text}\n" for key, (text, *_) in TEXT.items()))
    paths = {key: f"short_wav/WAVE/C0/{key.rpartition('_')[0]}/{key}.wav" for key in TEXT}
    write(folder / "wav.scp", "".join(f"{key}\t{path}\n" for key, path in paths.items()))
    return tmp_path / "CS-Dialogue"


@pytest.mark.parametrize("unpacked_at", ["data/short_wav", "data/short_wav/short_wav"])
def test_tags_go_and_each_line_has_its_language(make, sound, index, unpacked_at):
    for number in range(4, 8):
        sound(index / unpacked_at / SPEAKER / f"ZH-CN_U0001_S0_{number}.wav", 0.4)
    data = make("cs_dialogue", index, "test")
    kept = {f"cs_dialogue_ZH_CN_U0001_S0-{key}": row for key, row in list(TEXT.items())[:3]}
    assert data.table("text") == {key: text for key, (_, text, _) in kept.items()}
    assert data.table("utt2lang") == {key: lang for key, (_, _, lang) in kept.items()}
    assert data.dropped == {"ZH-CN_U0001_S0_6": "only_tags", "ZH-CN_U0002_S0_1": "missing_wav"}
