import random

import pytest

from espnet_llmasr.text import wetext
from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route, sure

pynini = pytest.importorskip("pynini", reason="pip install WeTextProcessing")

ROUTE = make_route("sure")
HAN = [chr(code) for first, end in ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00)) for code in range(first, end)]
NUMERALS = "零洞一幺壹二两贰三叁四肆五伍六陆七柒拐八捌九玖十"


@pytest.mark.parametrize(
    "line, expected",
    [
        ("共有三百二十人啊", "共有320人"),
        ("二零二四年三月五日，上午九点半", "2024/03/05,9:30a.m."),
        ("百分百是几千万", "100 percent 是几千万"),
        ("一个人一起去四川十二五公里", "一个人一起去四川十二五公里"),
        ("每小时三十公里，二十五点五度", "30km/h,25.5°"),
        ("呃，他乘高三零一", "他乘g301"),
        ("2024年有5个啊", "2024年有5个"),
        ("三 and 三十 B2B", "三 and 30 b2b"),
        ("It's the U.S. Army", "it's the u.s. army"),
    ],
)
def test_what_it_makes_of_a_line(line, expected):
    for lang in ("zh", "en"):
        assert score_tokens(ROUTE.normalize(line, lang)) == score_tokens(expected)
    assert score_tokens(ROUTE.normalize(line.upper(), "zh")) == score_tokens(expected)


@pytest.mark.parametrize(
    "spoken, written, tokens",
    [
        ("百分之三十", "30%", "30 percent"),
        ("负五点二", "-5.2", "负 5 2"),
        ("是负一百", "是-100", "是 负 100"),
        ("正五点二", "+5.2", "正 5 2"),
        ("三十美元", "$30", "dollar 30"),
        ("三十元", "¥30", "yuan 30"),
        ("五十英镑", "￡50", "pound 50"),
        ("十到二十", "10-20", "10 20"),
        ("一比三", "1:3", "1 3"),
    ],
)
def test_signs_of_numbers_are_tokens(spoken, written, tokens):
    """Else "-5" and "5", "30%" and "30" would be the same to the scores."""
    assert score_tokens(ROUTE.normalize(written, "zh")) == tokens.split()
    assert score_tokens(ROUTE.normalize(spoken, "zh")) == tokens.split()


def without_short_cuts(line):
    return score_tokens(sure.normalize(line, "zh", short_cuts=False))


def test_odd_lines(odd_lines):
    for line in odd_lines:
        tokens = score_tokens(ROUTE.normalize(line, "zh"))
        assert len(line) > wetext.MAX_CHARS or tokens == without_short_cuts(line), line


def test_random_lines_read_in_pieces_and_whole():
    run, has_numeral, _ = sure.pieces()
    rng = random.Random(0)
    units = "百千万亿点分之半年月日号元块毛角度公里米人个岁点钟每小时到负正的第几多百分之乘加比呃啊京高"
    others = "我们今天北京说很话他也去看电影可是没有时间学习x ,.a5%"
    for _ in range(1000):
        alphabet = rng.choices([NUMERALS, units, others], weights=[4, 3, 2], k=rng.randint(1, 14))
        line = "".join(map(rng.choice, alphabet))
        assert score_tokens(ROUTE.normalize(line, "zh")) == without_short_cuts(line), line
    assert all(map(has_numeral, NUMERALS)) and not has_numeral("千万亿点半")
    assert [run.fullmatch(character) is not None for character in "一年人a. 我话"] == [True] * 6 + [False] * 2


def in_lines(characters):
    return pynini.string_map([pynini.escape(character) for character in characters]).optimize()


def test_proof_that_a_line_may_fall_apart_at_characters_of_no_rule():
    """However long: one such character among others never becomes part of a token that is more than itself."""
    grammar = wetext.load_fsts("zh_itn")
    run, _, fillers = sure.pieces()
    inert = [character for character in HAN if not run.fullmatch(character)]
    others = [c for c in [*HAN, *map(chr, range(32, 127)), *"，。、°"] if run.fullmatch(c)]
    assert len(inert) > 27_000 and len(others) > 400
    line = in_lines(others).closure() + in_lines(inert) + in_lines(others).closure()
    alone = grammar.VSIGMA + pynini.escape('char { value: "') + in_lines(inert) + pynini.escape('" }') + grammar.VSIGMA
    outputs = pynini.project(line.optimize() @ grammar.tagger, "output").rmepsilon()
    assert pynini.difference(outputs, pynini.determinize(alone.optimize().rmepsilon()).optimize()).num_states() == 0


def test_proof_that_nothing_changes_without_a_numeral():
    grammar = wetext.load_fsts("zh_itn")
    _, has_numeral, _ = sure.pieces()
    free = in_lines(c for c in [*HAN, *map(chr, range(32, 127)), *"，。、°"] if not has_numeral(c)).closure()
    for kind in "cardinal date fraction trainnumber math measure money time".split():
        found = free.optimize() @ grammar.tagger @ (grammar.VSIGMA + pynini.escape(f"{kind} {{ ") + grammar.VSIGMA)
        assert found.connect().start() == pynini.NO_STATE_ID, kind
    # the other two, licence plates and the list of words that hold numerals, write what they read
    kept = [row for row in wetext.rows("itn", "chinese/data/default/whitelist.tsv") if not has_numeral(row[0])]
    assert kept == [["几千万", "几千万"]]
