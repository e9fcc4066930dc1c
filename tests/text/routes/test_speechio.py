"""Expected values are made by hand from the rules of the leaderboard's README and scripts, not by our code."""

import pytest

from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route, speechio

pytest.importorskip("whisper_normalizer", reason="pip install whisper-normalizer")
pytest.importorskip("tn", reason="pip install WeTextProcessing")


@pytest.fixture(scope="module")
def route():
    return make_route("speechio")


def together(route, text, lang="zh"):
    return ("" if lang == "zh" else " ").join(score_tokens(route.normalize(text, lang)))


CARDINALS = """
0 零 | 2 二 | 10 十 | 12 十二 | 20 二十 | 22 二十二 | 110 一百一十 | 200 两百 | 1010 一千零一十 | 2200 两千两百
10200 一万零二百 | 22000 两万两千 | 120000 十二万 | 220000 二十二万 | 100010 十万零一十 | 10100000 一千零一十万
100001000 一亿零一千 | 1000010000 十亿零一万 | 2000000000000 两兆 | 05 零五 | 012 零一十二
0.50 零点五零 | 00.5 零点五 | 10.02 十点零二
"""
NUMBERS = """
2个 二个 | 98年05月 九八年零五月 | 1998年10月1日 一九九八年十月一日 | 1000人 一零零零人 | 1000个 一千个
1000克1000千克 一零零零克一千千克 | 2000多个 两千多个 | 3000元 三千元 | 12万5 十二万五 | 3.5万元 三点五万元
13800138000 一三八零零一三八零零零 | 010-88886666 零一零八八八八六六六六 | 3/4 四分之三 | 12.5% 百分之十二点五
100％ 百分之一百 | 8:30 八:三十 | 123 一百二十三 | 1234 一二三四 | -5 -五 | B2B和P2P B2B和P2P
A2和2B A二和二B | ٣个 三个
"""


def cases(table):
    return [case.split() for line in table.strip().splitlines() for case in line.split(" | ")]


@pytest.mark.parametrize("number, words", [*cases(CARDINALS), ("00", ""), ("1" * 49, "一" * 49)])
def test_cardinals(number, words):
    assert speechio.cardinal(number) == words


@pytest.mark.parametrize(
    "line, written",
    [
        *cases(NUMBERS),
        ("2400年", "两千四百年"),  # the year 2400 is none there, and 年 is a measure
        ("1,000", "一,"),  # the leaderboard loses a number of zeros
        ("A13和3个", "A一三和三个"),  # and looks for the first 3
        ("+86 13800138000号", "八六一三八零零一三八零零零号"),
    ],
)
def test_numbers(line, written):
    assert speechio.write_numbers(line.replace("％", "%")) == written


@pytest.mark.parametrize(
    "line, tokens",
    [
        ("呃，这个啊那个嗯", "这个那个嗯"),
        ("他女儿在那边儿", "他女儿在那边"),
        ("小孩儿和幼儿在花儿旁玩儿", "小孩和幼儿在花旁玩"),
        ("新生儿儿科儿", "新生儿儿科"),
        ("婴幼儿、鹿儿岛、吊儿郎当、一块儿", "婴幼儿鹿儿岛吊儿郎当一块"),
        ("养儿防老，儿行千里母担忧", "养儿防老儿行千里母担忧"),
        ("用ＰＹＴＨＯＮ写了2个demo，don’t", "用python写了二个demodont"),
        ("１２．５％", "百分之十二点五"),
        ("", ""),
    ],
)
def test_mandarin_lines(route, line, tokens):
    assert together(route, line) == tokens


def test_each_letter_of_a_mixed_line_is_a_token(route):
    assert score_tokens(route.normalize("看Demo！", "zh")) == ["看", "d", "e", "m", "o"]


@pytest.mark.parametrize(
    "line, words",
    [
        ("Uh, Mr. Smith and Mrs. Jones, oh, travelled", "mister smith and misses jones traveled"),
        ("in 1805 at 10:05 p.m.", "in eighteen o five at ten o five pm"),
        ("45.0 and 1.05 percent", "forty five point zero and one point zero five percent"),
        ("on may 5 and July 4, 1999", "on may fifth and july fourth nineteen ninety nine"),
        ("$5.05, $0.50 and $2.5 million", "five dollars five cents fifty cents and two point five million dollars"),
        ("£1.01, $1,000.00", "one pound one penny one thousand dollars"),
        ("12345 and 12,345", "one two three four five and twelve thousand three hundred and forty five"),
        ("3-5 and 555-1234", "three five and five hundred and fifty five twelve thirty four"),
        ("I’m “fine”, don't hum!", "i'm fine don't"),
        ("AT&T’s 20 km", "at and t's twenty kilometers"),
    ],
)
def test_english_lines(route, line, words):
    assert together(route, line, "en") == words


def test_the_lists_are_sorted():
    assert speechio.ER_WORDS == sorted(set(speechio.ER_WORDS))
    assert list(speechio.MEASURES) == sorted(set(speechio.MEASURES))
    assert len(speechio.ER_WORDS) == 35 and len(speechio.MEASURES) == 152 and len(speechio.INTERJECTIONS) == 20
