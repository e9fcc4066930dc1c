import pytest

from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route

pytest.importorskip("whisper_normalizer", reason="pip install whisper-normalizer")


@pytest.fixture(scope="module")
def route():
    return make_route("whisper")


@pytest.mark.parametrize(
    "line, tokens",
    [
        ("It's fine, don't stop!", "it is fine do not stop"),
        ("Mr. Brown can't, Dr. Who won't", "mister brown can not doctor who will not"),
        ("colour and travelled", "color and traveled"),
        ("um, [laughs] yes (noise) uh", "yes"),
        ("$2.50", "dollar2point50"),
        ("two dollars and fifty cents", "dollar2point50"),
        ("$20 million", "dollar20000000"),
        ("£7, ¢9 or €8", "pound7point09 or euro8"),
        ("1,000 2nd 1960s", "1000 2nd 1960s"),
        ("it cost $ or %", "it cost or"),
        ("wait…", "wait"),
        ("I was... thinking . . . yes", "i was thinking yes"),
        ("…and then . .", "and then"),
        ("no…no ‥ a..b ⋯", "no no a b"),
        ("5…6 and 3.5…", "5 6 and 3point5"),
        ("$… -… %…", ""),
        ("50%… of $2.50…", "50percent of dollar2point50"),
        ("U.S.A… he said…“yes”", "u s a he said yes"),
        ("AT&T e-mail", "at t e mail"),
    ],
)
def test_english_lines(route, line, tokens):
    assert score_tokens(route.normalize(line, "en")) == tokens.split()


@pytest.mark.parametrize(
    "line, tokens",
    [
        ("今天(笑)用Python写了3个demo！", "今 天 用 python 写 了 3 个 demo"),
        ("呃，[音乐]那儿25.5％", "呃 那 儿 25 5"),
        ("don’t走", "don t 走"),
        ("㎏ ½ ①豈", "kg 1 2 1 豈"),
        ("colour好mr", "colour 好 mr"),
    ],
)
def test_lines_with_han_characters(route, line, tokens):
    assert score_tokens(route.normalize(line, "zh")) == tokens.split()


def test_a_word_of_the_normaliser_is_one_token(route):
    """Else the rate would not be that of the Whisper paper: 2 dollars 50 against 3 dollars 50 is one error of one."""
    plain = pytest.importorskip("whisper_normalizer.english").EnglishTextNormalizer()
    for line in (
        "$2.50 -3.5% £1,000.75",
        "I owe one point five million euros, minus two",
        "it's 10:30, 192.168.1.1 or .5",
    ):
        assert len(score_tokens(route.normalize(line, "en"))) == len(plain(line).split()) > 2
