import hashlib
import socket
import subprocess
import sys

import pytest
from espnet_llmasr.text import english
from espnet_llmasr.text.mandarin import TABLES, read_gz
from espnet_llmasr.text.phonemes import Characters, Phonemizer, make_units, min_frames

HETERONYMS = """
银行行长 in2 h ang2 h ang2 zh ang3 | 行走 x ing2 z ou3 | 成长 ch eng2 zh ang3 | 长城 ch ang2 ch eng2
重要 zh ong4 iao4 | 重复 ch ong2 f u4 | 重庆 ch ong2 q ing4 | 音乐 in1 ve4 | 快乐 k uai4 l e4 | 觉得 j ve2 d e5
睡觉 sh uei4 j iao4 | 还是 h ai2 sh i4 | 还书 h uan2 sh u1 | 都是 d ou1 sh i4 | 首都 sh ou3 d u1 | 会计 k uai4 j i4
出差 ch u1 ch ai1 | 差别 ch a1 b ie2 | 参加 c an1 j ia1 | 人参 r en2 sh en1 | 参差 c en1 c i1 | 了解 l iao3 j ie3
为了 uei4 l e5 | 认为 r en4 uei2 | 调查 d iao4 ch a2 | 调整 t iao2 zh eng3 | 便宜 p ian2 i5 | 方便 f ang1 b ian4
得到 d e2 d ao4 | 跑得快 p ao3 d e5 k uai4 | 目的 m u4 d i4 | 的确 d i2 q ve4 | 着急 zh ao2 j i2 | 看着 k an4 zh e5
爱好 ai4 h ao4 | 暖和 n uan3 h uo5 | 假期 j ia4 q i1 | 角色 j ve2 s e4 | 模样 m u2 iang4 | 模型 m o2 x ing2
灾难 z ai1 n an4 | 难受 n an2 sh ou4 | 应该 ing1 g ai1 | 反应 f an3 ing4 | 中奖 zh ong4 j iang3 | 种植 zh ong4 zh i2
女儿 n v3 er2 | 校对 j iao4 d uei4 | 投降 t ou2 x iang2 | 头发 t ou2 f a5 | 发现 f a1 x ian4 | 长大 zh ang3 d a4
这条路很长 zh e4 t iao2 l u4 h en3 ch ang2 | 倒车 d ao4 ch e1 | 数学 sh u4 x ve2 | 教室 j iao4 sh i4 | 教书 j iao1 sh u1
"""
CASES = [case.split(maxsplit=1) for line in HETERONYMS.strip().splitlines() for case in line.split("|")]


@pytest.fixture(scope="module")
def phonemize():
    return Phonemizer()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def read(phonemize, text):
    return " ".join(phonemize(text))


def test_inventory(phonemize):
    tokens = phonemize.tokens
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert len(tokens) == len(set(tokens)) == 235
    assert tokens[2:23] == "b p m f d t n l g k h j q x zh ch sh r z c s".split()
    finals, arpabet = tokens[23:196], tokens[196:]
    assert all(final[-1] in "12345" and final[:-1].islower() for final in finals)
    assert len({final[:-1] for final in finals}) == 36
    assert len(arpabet) == 39 and all(phone.isupper() and phone.isalpha() for phone in arpabet)


def test_tables_are_frozen():
    """A change of the tables makes trained models useless: make it on purpose, with local/build_tables.py."""
    digest = hashlib.sha256((TABLES / "zh_en.txt").read_bytes())
    for name in ("zh_characters.tsv.gz", "zh_phrases.tsv.gz"):
        digest.update("\n".join("\t".join(row) for row in read_gz(name)).encode("utf-8"))
    assert digest.hexdigest() == "ddc9d772bb0b8b134533e3e6039670bc906dfd842ed90186be54db3f9575c152"


def test_tables_are_small_and_every_phone_is_in_the_inventory(phonemize):
    assert sum(path.stat().st_size for path in TABLES.iterdir()) < 1_500_000
    inventory = set(phonemize.tokens)
    assert {phone for phones in phonemize.mandarin.syllables.values() for phone in phones} < inventory
    assert {phone for phones in phonemize.english.cmudict.values() for phone in phones} < inventory
    assert all(phonemize.mandarin.syllables.values()), "no syllable without a phone"


@pytest.mark.parametrize("text, phones", CASES)
def test_heteronyms(phonemize, text, phones):
    assert read(phonemize, text) == phones.strip()


def test_there_are_many_heteronyms():
    assert len(CASES) >= 50


@pytest.mark.parametrize(
    "text, phones",
    [
        ("嗯", "en2"),
        ("呣", "m"),
        ("噷", "h en5"),
        ("诶", "ei1"),
        ("绿女", "l v4 n v3"),
        ("优问威", "iou1 uen4 uei1"),
        ("\uf900", "q i3"),
        ("用Python写了demo，然后 push", "iong4 P AY TH AA N x ie3 l e5 D EH M OW r an2 h ou4 P UH SH"),
        ("今天 meeting 取消", "j in1 t ian1 M IY T IH NG q v3 x iao1"),
        ("㗎", "<unk>"),
        ("冇㗎好", "m ao3 <unk> h ao3"),
        ("ひ", "<unk>"),
        ("5G", "<unk> JH IY"),
        ("２０", "<unk> <unk>"),
        ("", ""),
        ("。，!?", ""),
    ],
)
def test_mandarin_and_mixed(phonemize, text, phones):
    assert read(phonemize, text) == phones


@pytest.mark.parametrize(
    "text, phones",
    [
        ("hello", "HH AH L OW"),
        ("don’t", "D OW N T"),
        ("café", "K AH F EY"),
        ("KTV", "K EY T IY V IY"),
        ("ktv", "K EY T IY V IY"),
        ("GPUs", "JH IY P IY Y UW Z"),
        ("NASA", "N AE S AH"),
        ("IT部门", "AY T IY b u4 m en2"),
        ("it is", "IH T IH Z"),
        ("OH NO", "OW N OW"),
        ("U.S.", "Y UW EH S"),
        ("ChatBot", "CH AE T B AO T"),
        ("A股 B站", "EY g u3 B IY zh an4"),
        ("this is a cat", "DH IH S IH Z AH K AE T"),
        ("a b c", "EY B IY S IY"),
        ("ＡＢＣ", "EY B IY S IY"),
    ],
)
def test_english_words_acronyms_and_letters(phonemize, text, phones):
    assert read(phonemize, text) == phones


def test_a_corpus_in_capitals_is_read_as_words(phonemize):
    assert phonemize("HE WENT US IT") == phonemize("he went us it")


def test_unknown_words_go_through_the_network_once_and_offline(no_network, monkeypatch):
    phonemize, calls = Phonemizer(), []
    assert phonemize.english._g2p is None and phonemize("hello") and phonemize.english._g2p is None
    first = phonemize("flimzorp")
    assert 5 <= len(first) <= 10 and set(first) <= set(phonemize.tokens[196:])
    monkeypatch.setattr(phonemize.english._g2p, "predict", lambda word: calls.append(word) or ["B"])
    assert phonemize("flimzorp") == first and calls == []
    assert phonemize("flimzorp's") == [*first, "S"] and calls == []


def test_g2p_leaves_nltk_as_it_was():
    import nltk

    find, download = nltk.data.find, nltk.download
    english.load_g2p()
    assert (nltk.data.find, nltk.download) == (find, download)


def test_importing_and_reading_known_words_loads_nothing_heavy():
    code = (
        "import sys; from espnet_llmasr.text.phonemes import Phonemizer; Phonemizer()('你好 hello');"
        "print(sorted({'nltk', 'g2p_en', 'pypinyin', 'torch', 'numpy', 'espnet', 'espnet2'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_unknown_inventory_or_unit():
    with pytest.raises(ValueError, match="'ipa'.*zh_en"):
        Phonemizer("ipa")
    with pytest.raises(ValueError, match="'word'.*phone or char"):
        make_units("word")


def test_characters():
    units = make_units("char", ["好 it Is", "我，们"])
    assert units.tokens == ["<blank>", "<unk>", "<space>", "i", "s", "t", "们", "好", "我"]
    assert units("我 it, is 坏") == ["我", "i", "t", "<space>", "i", "s", "<unk>"]
    assert Characters(units.tokens)("好") == ["好"]


@pytest.mark.parametrize("tokens", [["a", "b"], ["<blank>", "<unk>", "a", "a"], ["<blank>", "<unk>", "zh"]])
def test_a_list_that_is_not_of_characters_is_refused(tokens):
    with pytest.raises(ValueError, match="character"):
        Characters(tokens)


def test_make_units_phone_is_the_full_inventory():
    assert make_units("phone", ["好"]).tokens == Phonemizer().tokens


@pytest.mark.parametrize("labels, frames", [("", 0), ("a", 1), ("a b", 2), ("a a", 3), ("a a a b b a", 9)])
def test_min_frames(labels, frames):
    assert min_frames(labels.split()) == frames
