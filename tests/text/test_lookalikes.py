import pytest

from espnet_llmasr.text.lookalikes import unify
from espnet_llmasr.text.normalize import normalize, score_tokens
from espnet_llmasr.text.routes import ROUTES, make_route, tokens_of
from espnet_llmasr.text.transcript import Transcript

LOOKALIKES = """
中⽂⾥⾯ | 中文里面
⼀个⼈⼝⼤ | 一个人口大
⺠⻢⻋⻩⻰ | 民马车黄龙
⻅⻔⻓⻛⻚ | 见门长风页
金年﨑 | 金年﨑
豈更車 | 岂更车
二○二一年 | 二零二一年
二〇〇八年 | 二零零八年
两千◯八年 | 两千零八年
二 ○ ○ 一 年 | 二零零一年
一九九○年 | 一九九零年
二O二二年 | 二零二二年
二o二二年 | 二零二二年
二О二二年 | 二零二二年
第三○一医院 | 第三零一医院
"""
TAIWAN = """
睡著了 | 睡着了
跟著我看著他 | 跟着我看着他
著急著火 | 着急着火
睡 著 了 | 睡着了
執著於附著 | 执着于附着
著名的原著 | 著名的原著
顯著的著作 | 显著的著作
專著與論著 | 专著与论著
著 名 学 者 | 著名学者
他著有三本名著 | 他著有三本名著
"""
LATIN = """
the ﬁrst ﬂoor | the first floor
eﬃcient oﬀer baﬄe | efficient offer baffle
𝐡𝐞𝐥𝐥𝐨 𝑤𝑜𝑟𝑙𝑑 | hello world
Ⓐ ⓑ team | a b team
ĳsland ſo | ijsland so
Моscow paуpal | moscow paypal
Αpple ΗELLO | apple hello
ʰello ᴴi | hello hi
donꞌt don՚t don᾿t | don't don't don't
"""
INVISIBLE = ("\u200b", "\u200d", "\u200e", "\u200f", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069")
INVISIBLE += ("\u00ad", "\ufeff", "\ufe0f", "\ufe00", "\U000e0101", "\u034f", "\u061c", "\u180e", "\u3164")


def cases(table):
    return [tuple(line.split(" | ")) for line in table.splitlines() if line]


@pytest.mark.parametrize("line, same", cases(LOOKALIKES + TAIWAN))
def test_training_text_in_mandarin(line, same):
    for style in ("plain", "formatted"):
        assert Transcript(style)(line, "zh")[0] == same


@pytest.mark.parametrize("line, same", cases(LATIN))
def test_training_text_in_english(line, same):
    assert Transcript()(line, "en")[0] == same
    assert Transcript("formatted")(line, "en")[0].lower() == same


@pytest.mark.parametrize("line, same", cases(LOOKALIKES + TAIWAN + LATIN))
def test_both_sides_of_every_route(line, same):
    pytest.importorskip("tn", reason="pip install WeTextProcessing")
    pytest.importorskip("whisper_normalizer", reason="pip install whisper-normalizer")
    same = same if same.isascii() else unify(line)  # not all routes simplify
    for route in map(make_route, ROUTES):
        for pair in ((line, same), (same, line)):
            reference, hypothesis, _ = tokens_of(route, *pair)
            assert reference == hypothesis != [], route.name


@pytest.mark.parametrize("sign", INVISIBLE, ids=lambda sign: f"U+{ord(sign):04X}")
@pytest.mark.parametrize("line", ["今天很好", "don't stop", "用Python写"])
def test_what_nobody_sees_is_no_token(sign, line):
    marked = sign + sign.join(line) + sign
    assert score_tokens(marked) == score_tokens(line) and normalize(marked) == normalize(line)
    for style in ("plain", "formatted"):
        assert Transcript(style)(marked, "zh") == Transcript(style)(line, "zh")


@pytest.mark.parametrize("line", ["москва", "привет Tom", "αβγ-rays", "○○公司", "①②", "x² ㎏ ½", "今天○", "Ⅳ"])
def test_other_signs_stay(line):
    assert unify(line) == line
