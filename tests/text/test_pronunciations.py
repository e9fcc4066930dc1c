"""Phones of a language of the user's own, by a table of spellings in IPA."""

import pickle

import pytest

from espnet_llmasr.text.ctc_labels import CTCLabelizer, find_labelizer
from espnet_llmasr.text.inventories import read_tokens
from espnet_llmasr.text.phonemes import Phonemizer
from espnet_llmasr.text.pronunciations import Pronunciations

TABLE = """\
# spelling, IPA
hola\to l a
Hola\tx
el\te l
-ch-\tt͡ʃ
-c-\tk
-ce-\ts e
-h-
-n-\tn
-ñ-\tɲ
-o-\to
-o\tw
o-\tʊ
-e-\te
-ga-\tg a:
a priori\ta
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "es.tsv").write_text(TABLE, encoding="utf-8")
    return tmp_path / "es.tsv"


@pytest.mark.parametrize(
    "text, symbols",
    [
        ("¡Hola!", "o l a"),  # a row of its own; the first of two
        ("choco hoho", "t͡ʃ o k w o w"),  # the most letters; a row for the end of a word; silent letters
        ("ocho", "ʊ t͡ʃ w"),  # a row for the beginning
        ("cen", "s e n"),
        ("NIÑO nin\u0303o", "n <unk> ɲ w n <unk> ɲ w"),  # capitals, accents on their own, a letter without a row
        ("el'ocho", "e l ʊ t͡ʃ w"),  # parts of a word
        ("ga", "ɡ aː"),  # the keyboard's g and colon
        ("... ¿?", ""),
    ],
)
def test_words(table, text, symbols):
    assert Pronunciations(table)(text) == symbols.split()


@pytest.mark.parametrize(
    "text, symbols",
    [("ka k'a", "k a kʼ a"), ("ak’", "a k"), ("marc'h", "m a r x"), ("o'zgo oʻz", "ɵ z <unk> o ɵ z"), ("a'a", "a a")],
)
def test_letters_with_an_apostrophe(tmp_path, text, symbols):
    rows = {"k'": "kʼ", "k": "k", "c'h": "x", "o'": "ɵ", "o": "o", "a": "a", "m": "m", "r": "r", "z": "z"}
    (tmp_path / "xx.tsv").write_text("".join(f"-{letters}-\t{phone}\n" for letters, phone in rows.items()))
    assert Pronunciations(tmp_path / "xx.tsv")(text) == symbols.split()


def test_equal_letters_in_several_codes(tmp_path):
    (tmp_path / "bn.tsv").write_text("-\u09df-\tj\n-\ud55c-\th a n\n", encoding="utf-8")
    read = Pronunciations(tmp_path / "bn.tsv")
    assert read("\u09df") == read("\u09af\u09bc") == ["j"]
    assert read("\ud55c") == read("\u1112\u1161\u11ab") == ["h", "a", "n"]


def test_rows_of_several_words_are_kept_apart(table):
    read = Pronunciations(table)
    assert read.several_words == ["a priori"] and "t͡ʃ" in read.symbols


@pytest.mark.parametrize(
    "content, message",
    [
        ("hola o l a\n", "line 1 is 'hola o l a', expected a spelling, a tab, and IPA"),
        ("a\ta\nb\tb\tc\n", "line 2 is 'b\tb\tc', expected"),
        ("a\ta\n--\tb\n", "line 2"),
        ("-a- a\n", "line 1"),
        ("-a-\ta\nb\n", "line 2"),
        ("a\ta <unk>\n", "line 1"),
        ("a\ta  b\n", "line 1"),
        ("a\ta\u00a0b\n", "line 1"),
        ("# nothing\n", "has 0 different symbols, allowed are 1 to 500"),
        ("".join(f"w{number}\tw{number}\n" for number in range(501)), "has 501 different symbols"),
    ],
)
def test_bad_tables(tmp_path, content, message):
    (tmp_path / "es.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        Pronunciations(tmp_path / "es.tsv")


def test_an_inventory_of_four_languages(table):
    phonemize, shared = Phonemizer(str(table)), Phonemizer("shared_ipa")
    assert phonemize("choco", "es") == phonemize("choco") == "t͡ʃ o k w".split()
    for text, lang in (("你好 hello", "zh-en"), ("廣東", "yue"), ("choco", "en")):
        assert phonemize(text, lang) == shared(text, lang)
    old = read_tokens("shared_ipa")
    assert phonemize.tokens == [*old, *(symbol for symbol in phonemize.table.symbols if symbol not in old)]
    assert "ɲ" in phonemize.tokens[len(old) :] and "o" in old
    assert pickle.loads(pickle.dumps(phonemize))("choco", "es") == "t͡ʃ o k w".split()


def test_labels_of_a_head(table):
    tokens = Phonemizer(str(table)).tokens
    assert isinstance(find_labelizer(tokens, table), Phonemizer)
    label = CTCLabelizer(tokens, table)
    assert label("Choco 3", "es").unknown == label("Choco 3").unknown == 1  # no rules for the numbers of Spanish
    assert label("choco hola").words == [("choco", 0, 4), ("hola", 4, 7)]
    table.write_text(TABLE + "-q-\tq\n", encoding="utf-8")
    with pytest.raises(ValueError, match="other tokens than .*es.tsv gives: restore the table"):
        find_labelizer(tokens, table)
