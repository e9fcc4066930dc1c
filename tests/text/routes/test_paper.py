import random
import string

import pytest

from espnet_llmasr.text import wetext
from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route, paper

pynini = pytest.importorskip("pynini", reason="pip install WeTextProcessing")
accep = pynini.accep

ROUTE = make_route("paper")
HAN = [chr(code) for first, end in ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00)) for code in range(first, end)]
HAN += ["〇", *map(chr, range(0x20000, 0x32400, 251))]
WORDS = "i don't o'clock dogs' 'tis per hour paper cup upper house well-known café it’s “hm” (so) yes, no. said. mr. a"

ODD = """$|€|#|%|₩ £ ¥|$abc|5$|a$b|#tag|C#|5%%|%5|$$$|1$2|３|Ⅳ|½|5½|①|㎏|5㎏|5°C|™|→ x|😀 hi|e\u0301|ß|ﬁ|a\u0001b|
\u007f|\u2028|a\u00a0b|[|]|[]|[a|a]|\\|\\\\|a\\|\\[|\\]|[[x]]|[1]|[EOS]|[BOS]|<|>|<unk>|<1>|{|}|w { v: "a" }|
char { value: "x" }|"|""|'|''|\\"|a"b|"a|a: "b"|value: "|_|a_b|^|x^2|~5|**|+5|+86 138|==|a=b|1=1|@|a@b|@user|
/|a/b|1/0|1/2/3|and/or|--|- 5|--5|1-|1--2|1-2-3-4-5|...|.5|5.|5..|1.2.3|1.2.3.4.5|1,2,3|1,,2|12,34|
1,000,000.50|00000|007|0|-0|1e10|0x1f|12345678901234567890|1:2:3|25:61|10:30:|1st2nd|22th|2nd.|1s2s|90s|'90s|
5''|5'6"|mp3|a1b2c3|v2.0|3D|4x4|24/7|911|1-800-GO|555-1234|https://a.b/c?d=e&f=g|www.x|x.com.|a@b.c|..a|a..b|
e.g.|i.e.,|u.s.|mr..|No.|no. no.|Vol. 2|per|per m|a per|newspaper h|I.|ii.|你5a|a5你|你.5|零5|第5第|5:30:00pm|
早上5:30|2024-01-01|2024.1.1|13/32|1-2月|5-6个|1.5亿|5w|5km/h|km/h|10元/斤|中国5:3|中国 5 - 3|5×3|5x3|5+3=8|a+b=c|5>=3|
-5℃|±5|5~6|约5|人均5%|尾号1234|110|13800138000|010-12345678|127.0.0.1|京A·12345|A4纸|iPhone15Pro|B2B2C|2B|10后80后|
M.V.PM.V.P|儿5|5儿|儿儿儿|啊5啊|零〇|廿五|㐀㐁|𠀀𠮷|豈|々|かな|한글|русский|ไทย|αβγ|5µm|λ x|\ud83d|女儿子|花儿朵朵|兒子|a儿b|三百啊|京ABCDEF|一二三|
半点""".replace("\n", "").split("|")


@pytest.mark.parametrize(
    "lang, line, expected",
    [
        ("zh", "今天25.5度，共有300人啊", "今天二十五点五度,共有三百人"),
        ("zh", "嗯，那个啊，这个呃", "嗯,那个,这个"),
        ("zh", "小孩儿在花儿那玩儿，女儿", "小孩在花那玩,女儿"),
        ("zh", "嘅噉諗係", "慨啖谂系"),
        ("zh", "用Python写", "用python写"),
        ("zh", "奥迪A6L加了5L油", "奥迪a六l加了五升油"),
        ("zh", "B2B花了usd100，try 5次", "B to B花了一百美元,try 五次"),
        ("en", "The Sun rose per hour", "the sun rose PER hour"),
        ("en", "in the U.S. Army of World War II", "in the US army of World War two"),
        ("en", "uh the Ph.D. ran 5 ft. at 5 P.M. today", "uh the PHD ran five feet. at five PM today"),
        ("en", "in the 1990s", "in the one thousand nine hundred and ninety seconds"),
    ],
)
def test_what_it_makes_of_a_line(lang, line, expected):
    assert ROUTE.normalize(line, lang) == expected


def test_neither_case_nor_width_of_a_side_decides():
    wide = {code - 0xFEE0: chr(code) for code in range(0xFF01, 0xFF5F)}
    for lang, line in [
        ("en", "Mr. and Mrs. Smith, Dr. Who and Col. Mustard (Ph.D.) of the U.S. Army"),
        ("en", "World War I, World War II; on TV the Sun sat at 5 P.M. in Oct. 1990 with 5 kg of ZIP"),
        ("zh", "奥迪A6L重5KG，B2B的M.V.P花了USD 100和5L"),
    ]:
        tokens = {tuple(score_tokens(ROUTE.normalize(side, lang))) for side in (line, line.upper(), line.lower())}
        assert tokens == {tuple(score_tokens(ROUTE.normalize(line.translate(wide), lang)))}


def test_forms_need_no_grammar_of_our_own(monkeypatch):
    """It would be built into the user's cache, and scoring writes nothing there."""
    monkeypatch.setattr(wetext, "mandarin", None)
    for line in ("版本2.10.21和1 234 567人", "5·12地震3²共$5万", "打+86 13800138000转801", "α≥5*3"):
        assert not any(map(str.isdecimal, ROUTE.normalize(line, "zh")))


def without_short_cuts(line, lang):
    return score_tokens(paper.normalize(line, lang, short_cuts=False))


def test_odd_lines_neither_break_nor_depend_on_the_short_cut(odd_lines):
    assert len(ODD) > 200
    for line in [*ODD, *odd_lines]:
        for lang in ("zh", "en"):
            tokens = score_tokens(ROUTE.normalize(line, lang))
            assert len(line) > wetext.MAX_CHARS or tokens == without_short_cuts(line, lang), (line, lang)


def test_random_plain_lines():
    rng = random.Random(0)
    plain, _ = paper.plain_mandarin()
    marks = "，。 ,.?!;:'\"《》、…ab don't $%&*+=[]\\"
    for _ in range(800):
        line = "".join(rng.choice(HAN) if rng.random() < 0.9 else rng.choice(marks) for _ in range(rng.randint(1, 8)))
        assert score_tokens(ROUTE.normalize(line, "zh")) == without_short_cuts(line, "zh"), line
    for _ in range(200):
        line = " ".join(rng.choices(WORDS.split(), k=rng.randint(1, 5)))
        assert score_tokens(ROUTE.normalize(line, "en")) == without_short_cuts(line, "en"), line


def one_of(characters):
    """Acceptor of one of the characters."""
    return pynini.string_map([pynini.escape(character) for character in characters]).optimize()


KINDS = "cardinal ordinal date decimal fraction time measure money telephone electronic serial whitelist rang math"
KINDS = {*KINDS.split(), "sport", "w", "p", "char"}


def only(lines, kinds, grammar):
    """True if the tagger finds nothing but tokens of these kinds in any of the lines."""
    other = pynini.union(*(pynini.escape(f"{kind} {{ ") for kind in KINDS - kinds))
    found = lines.optimize() @ grammar.tagger @ (grammar.VSIGMA + other + grammar.VSIGMA)
    return found.connect().start() == pynini.NO_STATE_ID


def test_proof_that_no_rule_but_characters_takes_a_plain_mandarin_line():
    """Of all strings of these characters, however long; and then what becomes of each character alone."""
    grammar = wetext.load_fsts("zh_tn")
    plain, replaced = paper.plain_mandarin()
    marks = map(chr, [*range(32, 0x180), *range(0x2000, 0x3100)])
    characters = [c for c in [*HAN, *marks] if plain.fullmatch(c)]
    assert len(HAN) - 30 < len(characters) < len(HAN) + 130 and not set("儿兒0<=>≥×A") & set(characters)
    every = one_of(characters)
    assert only(every.closure(), {"char"}, grammar)
    assert not only(one_of([*characters, "儿"]).closure(), {"char"}, grammar)
    written = (one_of(characters) @ grammar.tagger @ grammar.verbalizer).optimize()
    for character, result, _ in written.paths().items():
        character = character.replace("\\[", "[").replace("\\]", "]").replace("\\\\", "\\")
        assert score_tokens(f"a{result}b") == score_tokens(f"a{character}b".translate(replaced)), character


def test_proof_that_no_rule_but_words_and_marks_takes_a_plain_english_line():
    grammar = wetext.load_fsts("en_tn")
    letters = [c for c in map(chr, range(0x180)) if paper.PLAIN_ENGLISH(c) and c.isalpha()]
    assert set(string.ascii_lowercase + "éßÿž") < set(letters) and not set(string.ascii_uppercase) & set(letters)
    others = [c for c in map(chr, [*range(32, 0x180), *range(0x2000, 0x2100)]) if not c.isalpha()]
    marks = list(filter(paper.PLAIN_ENGLISH, others))
    assert "".join(marks) == " !\"'(),-:;?–—“”…"
    assert not any(map(paper.PLAIN_ENGLISH, ["a.b", "a..", "a?.", ".a", "a .", "5", "a PERb", "Per b"]))
    word = one_of(letters).plus + (accep(".") + accep(" ")).ques
    lines = pynini.union(word, one_of(marks), "PER ").closure() + (one_of(letters) + accep(".")).ques
    per = grammar.VSIGMA + accep("per ") + grammar.VSIGMA
    assert only(pynini.difference(lines.optimize(), per.optimize()), {"w", "p"}, grammar)
    assert not only(lines, {"w", "p"}, grammar)  # "per hour" -> "per h our"
