import pickle
import random

import pytest

from espnet_llmasr.text import english, phonemes
from espnet_llmasr.text.normalize import to_half_width
from espnet_llmasr.text.phonemes import Characters, Phonemizer, make_labelizer, min_frames
from espnet_llmasr.text.spelling import SpellingNetwork


@pytest.fixture(scope="module")
def phonemize():
    return Phonemizer()


@pytest.fixture
def predicted(monkeypatch):
    """The words that the spelling network predicts."""
    words, predict = [], SpellingNetwork.predict
    monkeypatch.setattr(SpellingNetwork, "predict", lambda self, word: words.append(word) or predict(self, word))
    return words


MANDARIN_AND_MIXED = """
嗯 = en2 | 呣 = m | 噷 = h en5 | 诶 = ei1 | 绿女 = l v4 n v3 | 优问威 = iou1 uen4 uei1 | \uf900 = q i3 | ひ = <unk>
㗎 = <unk> | 冇㗎好 = m ao3 <unk> h ao3 | 5G = <unk> JH IY | ２０ = <unk> <unk> | 。，!? =
用Python写了demo，然后 push = iong4 P AY TH AA N x ie3 l e5 D EH M OW r an2 h ou4 P UH SH
今天 meeting 取消 = j in1 t ian1 M IY T IH NG q v3 x iao1
"""
ENGLISH = """
hello = HH AH L OW | don’t = D OW N T | café = K AH F EY | Æsop Cæsar = IY S AA P S IY Z ER | Łódź = L AA D Z
we live = W IY L IH V | COVID EBITDA's = K OW V IH D IY B IH T D AH Z | WiFi = W AY F AY | it is = IH T IH Z
KTV = K EY T IY V IY | ktv = K EY T IY V IY | GPUs = JH IY P IY Y UW Z | NASA = N AE S AH | U.S. = Y UW EH S
IT部门 = AY T IY b u4 m en2 | OH NO = OW N OW | ChatBot = CH AE T B AO T | A股 B站 = EY g u3 B IY zh an4
this is a cat = DH IH S IH Z AH K AE T | a b c = EY B IY S IY | ＡＢＣ = EY B IY S IY
"""


def cases(table):
    return [case.split(" =") for line in table.strip().splitlines() for case in line.split(" | ")]


@pytest.mark.parametrize("text, phones", [("", ""), *cases(MANDARIN_AND_MIXED), *cases(ENGLISH)])
def test_lines(phonemize, text, phones):
    assert phonemize(text) == phones.split()


def test_a_corpus_in_capitals_is_read_as_words(phonemize):
    assert phonemize("HE WENT US IT") == phonemize("he went us it")
    assert phonemize("IT and US") == "AY T IY AH N D Y UW EH S".split()
    assert phonemize("US IT") == phonemize("us it"), "also when the capitals are known as acronyms"


def test_unknown_words_go_through_the_network_once(predicted):
    phonemize = Phonemizer()
    assert phonemize("hello") and predicted == []
    first = phonemize("flimzorp")
    assert 5 <= len(first) <= 10 and set(first) <= set(phonemize.tokens[196:])
    assert phonemize("flimzorp") == first
    assert phonemize("flimzorp's") == [*first, "S"]
    assert predicted == ["flimzorp"]


def line(rng, pieces):
    blank = rng.choice([" ", "", "  ", ", ", "。"])
    return blank.join(rng.choice(pieces) for _ in range(rng.randint(1, 6)))


def test_the_fast_path_gives_the_same_as_the_slow_path(phonemize, monkeypatch):
    """Lines of words, Han characters, capitals, apostrophes, marks and scripts; a mark forces the slow path."""
    slow = []
    monkeypatch.setattr(phonemes, "to_half_width", lambda text: slow.append(text) or to_half_width(text))
    rng = random.Random(0)
    words = [*rng.sample(sorted(phonemize.english.cmudict), 300), *["a"] * 40, *"b i a i'm 'a' 'cause a.m. it".split()]
    han = [*rng.sample(sorted(phonemize.han("zh").phrases), 300), "嗯", "㗎", "\uf900", "〇"]
    other = "A I U.S. IT GPUs ChatGPT don’t DON'T café ＡＢＣ 5G ひ _ ' '' \u3000 \u200b \x1c `tis OK THE".split(" ")
    lines = [line(rng, pieces) for pieces in (words, han, [*words[:50], *words[-50:], *han[:50], *other]) * 2000]
    for text in [*lines, *lines]:  # the second time every word is known
        assert phonemize(text) == phonemize(f"!{text}"), text
    assert len(slow) < 4 * len(lines) - 2000, "the fast path is taken"
    assert len(slow) >= 2 * len(lines), "the slow path is taken"


@pytest.mark.parametrize("words, guesses, look_ups, predictions", [(9, 9, 7, 3), (3, 9, 16, 3), (3, 2, 16, 6)])
def test_the_memory_of_words_and_guesses_is_bounded(words, guesses, look_ups, predictions, monkeypatch, predicted):
    """A line of eight words (two equal, three unknown) is read twice; words that were dropped are looked up again."""
    looked_up, look_up = [], english.English.__call__
    monkeypatch.setattr(english.English, "__call__", lambda self, word: looked_up.append(word) or look_up(self, word))
    monkeypatch.setattr(phonemes, "WORDS_KEPT", words)
    monkeypatch.setattr(english, "GUESSES_KEPT", guesses)
    phonemize = Phonemizer()
    first = phonemize("the cat blorfed snarfle and the zibbets went")
    assert phonemize("the cat blorfed snarfle and the zibbets went") == first
    assert (len(looked_up), len(predicted)) == (look_ups, predictions)


def test_another_process_gets_the_name_and_not_the_tables(phonemize):
    assert len(pickle.dumps(phonemize)) < 200
    assert pickle.loads(pickle.dumps(phonemize))("你好") == phonemize("你好")


def test_unknown_inventory_or_unit():
    with pytest.raises(ValueError, match="'ipa'.*zh_en"):
        Phonemizer("ipa")
    with pytest.raises(ValueError, match="'word'.*phone or char"):
        make_labelizer("word")
    with pytest.raises(ValueError, match="'ipa'.*shared_ipa"):
        make_labelizer("phone", inventory="ipa")


def test_characters():
    labelize = make_labelizer("char", ["好 it Is", "我，们"])
    assert labelize.tokens == ["<blank>", "<unk>", "<space>", "i", "s", "t", "们", "好", "我"]
    assert labelize("我 it, is 坏", "yue") == labelize("我 it, is 坏") == ["我", "i", "t", "<space>", "i", "s", "<unk>"]
    assert Characters(labelize.tokens)("好") == ["好"]


@pytest.mark.parametrize("tokens", [["a", "b"], ["<blank>", "<unk>", "a", "a"], ["<blank>", "<unk>", "zh"]])
def test_a_list_that_is_not_of_characters_is_refused(tokens):
    with pytest.raises(ValueError, match="character"):
        Characters(tokens)


def test_phones_are_the_full_inventory():
    assert make_labelizer("phone", ["好"]).tokens == Phonemizer().tokens
    assert make_labelizer("phone", inventory="zh_en_yue").tokens == Phonemizer("zh_en_yue").tokens


@pytest.mark.parametrize("labels, frames", [("", 0), ("a", 1), ("a b", 2), ("a a", 3), ("a a a b b a", 9)])
def test_min_frames(labels, frames):
    assert min_frames(labels.split()) == frames
