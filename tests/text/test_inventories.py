import pytest

from espnet_llmasr.text import inventories
from espnet_llmasr.text.han import SANDHI
from espnet_llmasr.text.inventories import IPA, read_tokens
from espnet_llmasr.text.phonemes import Phonemizer

TONES = "˥˧˨˩˦"


@pytest.fixture(scope="module")
def phonemize():
    return Phonemizer("shared_ipa")


@pytest.fixture(scope="module")
def units():
    return Phonemizer("zh_en_yue")


def test_zh_en():
    tokens = Phonemizer().tokens
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert len(tokens) == len(set(tokens)) == 235
    assert tokens[2:23] == "b p m f d t n l g k h j q x zh ch sh r z c s".split()
    finals, arpabet = tokens[23:196], tokens[196:]
    assert all(final[-1] in "12345" and final[:-1].islower() for final in finals)
    assert len({final[:-1] for final in finals}) == 36
    assert len(arpabet) == 39 and all(phone.isupper() and phone.isalpha() for phone in arpabet)


def test_zh_en_yue_is_zh_en_and_then_cantonese():
    tokens = read_tokens("zh_en_yue")
    cantonese = tokens[235:]
    assert tokens[:235] == read_tokens("zh_en") and len(tokens) == len(set(tokens)) == 547
    assert [unit for unit in cantonese if not unit[-1].isdigit()] == cantonese[:19], "19 onsets"
    assert all(unit.startswith("y_") for unit in cantonese) and all(unit[-1] in "123456" for unit in cantonese[19:])
    assert len({unit[:-1] for unit in cantonese[19:]}) == 59, "rimes"


def test_shared_ipa_has_a_modest_size_and_bare_and_toned_vowels():
    tokens = read_tokens("shared_ipa")
    assert tokens[:2] == ["<blank>", "<unk>"] and len(tokens) == len(set(tokens)) and 80 <= len(tokens) <= 180
    vowels = {token.rstrip(TONES) for token in tokens if token[-1] in TONES}
    assert vowels == set("a ɐ e ɛ ə ɤ i ɨ o ɔ u y œ ɵ m̩ ŋ̍".split())
    assert not any("*" in token or "ː" in token for token in tokens)


@pytest.mark.parametrize("inventory", ["zh_en_yue", "shared_ipa"])
def test_every_reading_is_in_the_inventory(inventory):
    phonemize = Phonemizer(inventory)
    known = set(phonemize.tokens)
    for lang in ("zh", "yue"):
        assert {phone for phones in phonemize.han(lang).syllables.values() for phone in phones} - SANDHI.keys() < known
    english = {phone for phones in phonemize.english.cmudict.values() for phone in phonemize._spell(phones)}
    assert english < known


@pytest.mark.parametrize("lang", ["zh", "yue"])
def test_two_syllables_never_share_one_ipa_spelling(phonemize, units, lang):
    spelled, plain = phonemize.han(lang).syllables, units.han(lang).syllables
    assert len(set(spelled.values())) == len(set(plain.values()))


IN_IPA = """
知道 / zh / ʈ͡ʂ ɨ˥ t a˥˩ ʊ | 字 / zh / t͡s ɨ˥˩ | 西 / zh / ɕ i˥ | 我们的 / zh / w ɔ˨˩˦ m ə n t ɤ | 儿 / zh / ə˧˥ ɹ
女 / zh / n y˨˩˦ | 广 / zh / k w a˨˩˦ ŋ | 廣 / yue / k w ɔ˧˥ ŋ | 五 / yue / ŋ̍˩˧ | 唔 / yue / m̩˨˩ | 十 / yue / s ɐ˨ p̚
中國 / yue / t͡s o˥ ŋ k w ɔ˧ k̚ | hello / en / h ə l o ʊ | girl / en / ɡ ə ɹ l | church / en / t͡ʃ ə ɹ t͡ʃ
用 ok / zh-en / j o˥˩ ŋ o ʊ kʰ e ɪ | 㐀ひ / zh / t͡ɕʰ j o˥ ʊ <unk>
"""


@pytest.mark.parametrize(
    "text, lang, phones", [case.split(" / ") for line in IN_IPA.strip().splitlines() for case in line.split(" | ")]
)
def test_shared_ipa(phonemize, text, lang, phones):
    assert phonemize(text, lang) == phones.split()


def test_equal_contours_are_equal_symbols(phonemize):
    assert phonemize("三", "zh")[:2] == phonemize("三", "yue")[:2] == ["s", "a˥"]
    assert phonemize("麻", "zh")[1] == phonemize("打", "yue")[1] == "a˧˥"


def test_a_phone_without_a_row_is_named(tmp_path, monkeypatch):
    for name in ("zh", "yue", "en"):
        (tmp_path / f"ipa_{name}.tsv").write_text("# unit, symbols\n1\t˥\na*\ta*\n" * (name == "zh"), encoding="utf-8")
    monkeypatch.setattr(inventories, "TABLES", tmp_path)
    assert IPA()(["a1"]) == ("a˥",)
    with pytest.raises(ValueError, match="no row for the phone 'AA'"):
        IPA()(["AA"])
