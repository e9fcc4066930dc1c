"""Transcripts as labels of the head's own tokens."""

import logging
import sys

import pytest

from espnet_llmasr.text.ctc_labels import CTCLabelizer, find_labelizer
from espnet_llmasr.text.inventories import read_tokens
from espnet_llmasr.text.phonemes import Characters, Phonemizer

CHARACTERS = ["<blank>", "<unk>", "<space>", *"abcdeghiklnorst天气好"]


@pytest.fixture(scope="module")
def label():
    return CTCLabelizer(read_tokens("zh_en"))


def named(label, text, lang=""):
    tokens = {number: token for token, number in label.ids.items()}
    return [tokens[number] for number in label(text, lang).ids]


@pytest.mark.parametrize("inventory", ["zh_en", "zh_en_yue", "shared_ipa"])
def test_the_inventory_is_found_by_its_tokens(inventory):
    labelizer = find_labelizer(read_tokens(inventory))
    assert isinstance(labelizer, Phonemizer) and labelizer.inventory == inventory


def test_characters_are_found_by_their_tokens():
    assert isinstance(find_labelizer(CHARACTERS), Characters)


@pytest.mark.parametrize("tokens", [["<blank>", "<unk>", "AH", "K"], read_tokens("zh_en")[:-1], ["a", "b"], []])
def test_tokens_of_no_known_labels(tokens):
    with pytest.raises(ValueError, match=rf"the CTC head has {len(tokens)} tokens, which are neither .*stage 2"):
        find_labelizer(tokens)


def test_phones_of_words(label):
    assert named(label, "天气 good") == ["t", "ian1", "q", "i4", "G", "UH", "D"]
    assert label("天气 good").words == [("天", 0, 2), ("气", 2, 4), ("good", 4, 7)]
    assert named(label, "我有 2 个 GPU", "zh") == named(label, "我有两个 GPU", "zh")
    assert label("") == ([], 0, [])
    assert label("Good, 天气！").ids == label("good 天气").ids  # punctuation is silent


def test_what_has_no_token_is_counted_and_left_out(label):
    ids, unknown, words = label("good привет")
    assert ids == label("good").ids and unknown == 6 and words == []


@pytest.mark.parametrize("text", ["cat \ufffd\ufffd\ufffd", "cat <b0x>"])
def test_what_no_data_preparation_would_take_is_labelled_as_it_is(label, text):
    """A model can write anything: lost letters, or tags of no known markup."""
    assert named(label, text, "en")[:3] == named(label, "cat", "en")


def test_the_language_reads_the_characters():
    label = CTCLabelizer(read_tokens("zh_en_yue"))
    assert named(label, "我哋", "yue") == ["y_ng", "y_o5", "y_d", "y_ei6"]
    assert named(label, "我", "zh") == ["uo3"] and named(label, "我") == ["uo3"]


def test_characters_with_blanks_between_words():
    label = CTCLabelizer(CHARACTERS)
    ids, unknown, words = label("天气 is good")
    assert "".join(CHARACTERS[number].replace("<space>", " ") for number in ids) == "天气is good" and unknown == 0
    assert [(word, "".join(CHARACTERS[i] for i in ids[begin:end])) for word, begin, end in words] == [
        ("天", "天"), ("气", "气"), ("is", "is"), ("good", "good")
    ]  # fmt: skip


@pytest.fixture
def bare(monkeypatch, caplog):
    """A labelizer where only what the project requires is installed."""
    for module in ("tn", "opencc"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("espnet_llmasr.text.ctc_labels.find_spec", lambda name: None)
    monkeypatch.setattr("espnet_llmasr.text.transcript.simplified", lambda text: pytest.fail("OpenCC is used"))
    caplog.set_level(logging.WARNING)
    return CTCLabelizer(read_tokens("zh_en"))


def test_digits_without_the_package_that_reads_them(bare, caplog):
    """They are unknown labels, one each, with one warning; a decoding does not end for them."""
    good = bare("good").ids
    assert len(good) == 3 and not caplog.records
    for text in ("good 25", "good \uff12\uff15", "good 2 5%"):
        assert bare(text) == (good, 2, [])
    assert ["pip install WeTextProcessing" in record.message for record in caplog.records] == [True]


def test_mandarin_without_the_package_that_simplifies_it(bare, label, caplog):
    """The phones of `label` are those without a language, for which nothing is simplified."""
    assert bare("good", "zh") == label("good") and not caplog.records
    for lang in ("zh", "zh-en", ""):
        assert bare("天气 good", lang) == label("天气 good")
        assert bare("天氣", lang).ids == label("天气").ids  # the table of readings has it, too
    assert ["pip install OpenCC" in record.message for record in caplog.records] == [True]
