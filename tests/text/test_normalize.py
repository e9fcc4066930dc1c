import pytest
from espnet_llmasr.text.normalize import is_han, normalize, score_tokens, to_half_width


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("今天天气很好。", list("今天天气很好")),
        ("HELLO, World!", ["hello", "world"]),
        ("用Python写了demo，然后 push", ["用", "python", "写", "了", "demo", "然", "后", "push"]),
        ("don’t ‘stop’ rock 'n' roll", ["don't", "stop", "rock", "n", "roll"]),
        ("他'她 it''s", ["他", "她", "it", "s"]),
        ("ＡＢＣ　１２", ["abc", "12"]),
        ("㗎𨋢〇\uf900𰀀", ["㗎", "𨋢", "〇", "\uf900", "𰀀"]),
        ("snake_case co-op 25.5", ["snake", "case", "co", "op", "25", "5"]),
        ("cafe\u0301 caf\u00e9", ["café", "café"]),
        ("a\u200bb \ufeffc", ["ab", "c"]),
        ("……！", []),
        ("", []),
        ("啊", ["啊"]),
    ],
)
def test_score_tokens(text, tokens):
    assert score_tokens(text) == tokens


def test_is_han_covers_the_extensions_and_nothing_else():
    assert all(map(is_han, "中㐀䶿一鿿\uf900\ufaff〇𠀀𱍐"))
    assert not any(map(is_han, ["a", "あ", "한", "。", "1", "", "中文"]))


def test_normalize_is_idempotent_and_keeps_the_tokens():
    for text in ("我 们 用 ＡＢＣ Python，好！", "It’s  A test…中文 x", "３.５", ""):
        assert normalize(normalize(text)) == normalize(text)
        assert score_tokens(normalize(text)) == score_tokens(text)
    assert normalize("我 们 用 ＡＢＣ Python，好！") == "我们用abc python好"


def test_half_width_keeps_units_and_superscripts():
    assert to_half_width("ｘ²㎏，`") == "x²㎏,'"
