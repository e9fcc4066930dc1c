import pytest

from espnet_llmasr.text import inventories
from espnet_llmasr.text.han import SANDHI
from espnet_llmasr.text.inventories import IPA, read_tokens
from espnet_llmasr.text.phonemes import Phonemizer


@pytest.fixture(scope="module")
def phonemize():
    return Phonemizer("shared_ipa")


@pytest.fixture(scope="module")
def units():
    return Phonemizer("zh_en_yue")


@pytest.mark.parametrize("inventory, size", [("zh_en", 235), ("zh_en_yue", 547), ("shared_ipa", 158)])
def test_tokens_are_unique_and_begin_with_the_special_ones(inventory, size):
    tokens = read_tokens(inventory)
    assert tokens[:2] == ["<blank>", "<unk>"] and len(tokens) == len(set(tokens)) == size
    assert inventory != "zh_en_yue" or tokens[:235] == read_tokens("zh_en")


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
三 / zh / s a˥ n | 三 / yue / s a˥ m | 麻 / zh / m a˧˥ | 打 / yue / t a˧˥
用 ok / zh-en / j o˥˩ ŋ o ʊ kʰ e ɪ | 㐀ひ / zh / t͡ɕʰ j o˥ ʊ <unk>
"""


@pytest.mark.parametrize(
    "text, lang, phones", [case.split(" / ") for line in IN_IPA.strip().splitlines() for case in line.split(" | ")]
)
def test_shared_ipa(phonemize, text, lang, phones):
    assert phonemize(text, lang) == phones.split()


def test_a_phone_without_a_row_is_named(tmp_path, monkeypatch):
    for name in ("zh", "yue", "en"):
        (tmp_path / f"ipa_{name}.tsv").write_text("# unit, symbols\n1\t˥\na*\ta*\n" * (name == "zh"), encoding="utf-8")
    monkeypatch.setattr(inventories, "TABLES", tmp_path)
    assert IPA()(["a1"]) == ("a˥",)
    with pytest.raises(ValueError, match="no row for the phone 'AA'"):
        IPA()(["AA"])
