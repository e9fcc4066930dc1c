import subprocess
import sys

import pytest

from espnet_llmasr.text.phonemes import Phonemizer


@pytest.fixture(scope="module")
def phonemize():
    return Phonemizer("zh_en_yue")


def jyutping(phonemize, text):
    """Units joined to syllables again: y_ng y_an4 -> ngan4."""
    joined = " ".join(phonemize(text, "yue")) + " "
    for digit in "123456":
        joined = joined.replace(digit + " ", digit + "|")
    return " ".join(part.replace("y_", "").replace(" ", "") for part in joined.split("|")).strip()


READINGS = """
冇 mou5 | 嘅 ge3 | 諗 nam2 | 谂 nam2 | 㗎 gaa3 | 嗰啲 go2 di1 | 𨋢 lip1 | 𠝹 gaai3 | 𡃁 leng1 | 唔 m4 | 五 ng5
我哋 ngo5 dei6 | 佢喺邊度 keoi5 hai2 bin1 dou6 | 點解 dim2 gaai2 | 音樂 jam1 ngok6 | 快樂 faai3 lok6 | 國 gwok3
家長 gaa1 zoeng2 | 長城 coeng4 sing4 | 重要 zung6 jiu3 | 重複 cung4 fuk1 | 瓩 cin1 ngaa5 | 唔該借借 m4 goi1 ze3 ze3
銀行行長 ngan4 hong4 hong4 zoeng2
"""
SCRIPTS = """
銀行行長 银行行长 | 你係邊個 你系边个 | 幾點開會 几点开会 | 一樣嘅價錢 一样嘅价钱 | 睇醫生 睇医生 | 離開學校 离开学校
聽日到達 听日到达 | 因為贏咗 因为赢咗 | 乾淨 干净 | 幹部 干部 | 裏面有三隻狗 里面有三只狗 | 放鬆 放松 | 頭髮 头发 | 工廠種類 工厂种类
"""


def cases(table):
    return [case.split(maxsplit=1) for line in table.strip().splitlines() for case in line.split(" | ")]


@pytest.mark.parametrize("text, reading", cases(READINGS))
def test_readings(phonemize, text, reading):
    assert jyutping(phonemize, text) == reading


@pytest.mark.parametrize("traditional, simplified", cases(SCRIPTS))
def test_simplified_script_reads_like_traditional_script(phonemize, traditional, simplified):
    assert jyutping(phonemize, simplified) == jyutping(phonemize, traditional)
    assert "<unk>" not in phonemize(simplified, "yue")


def test_latin_words_are_english_and_units_are_onset_and_rime(phonemize):
    assert phonemize("搭lift，OK！", "yue") == "y_d y_aap3 L IH F T OW K EY".split()
    assert phonemize("安", "yue") == ["y_on1"], "no onset, one unit"


@pytest.mark.parametrize("lang", ["", "zh", "en", "zh-en", "zh-sichuan"])
def test_any_other_language_is_read_as_mandarin(phonemize, lang):
    assert phonemize("银行 ok", lang) == Phonemizer()("银行 ok", lang) == ["in2", "h", "ang2", "OW", "K", "EY"]


def test_a_cantonese_line_needs_an_inventory_with_cantonese():
    with pytest.raises(ValueError, match="'zh_en' has no phones for language 'yue': choose zh_en_yue or shared_ipa"):
        Phonemizer()("hello", "yue")
    with pytest.raises(ValueError, match="no phones for language 'de'.*zh-<dialect>"):
        Phonemizer("zh_en_yue")("hallo", "de")
    with pytest.raises(ValueError, match="no phones for language 'zh-yue'.* yue;"):
        Phonemizer("zh_en_yue")("银行", "zh-yue")


def test_a_table_is_loaded_at_the_first_line_that_needs_it():
    code = (
        "from espnet_llmasr.text import han, phonemes; read, names = han.read_gz, []\n"
        "han.read_gz = lambda name: names.append(name[:3]) or read(name)\n"
        "p = phonemes.Phonemizer('zh_en_yue'); assert not names; p('你好'); print(names); p('你好', 'yue'); print(names)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["['zh_', 'zh_']", "['zh_', 'zh_', 'yue', 'yue']"]


def test_traditional_script_is_read_as_tojyutping_reads_it(phonemize):
    tojyutping = pytest.importorskip("ToJyutping")
    for text in ("佢話聽日唔返工因為要去睇醫生", "我哋一齊去食飯飲茶傾偈", "香港運動會喺下個月開始", "呢度啲嘢好貴㗎"):
        expected = " ".join(reading for _, reading in tojyutping.get_jyutping_list(text))
        assert jyutping(phonemize, text) == expected
