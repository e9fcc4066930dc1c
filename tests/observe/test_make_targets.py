"""Shares of phones by hand."""

import pytest

from espnet_llmasr.observe.make_targets import phone_shares, phones_of


def test_shares_sum_to_one_and_unknown_is_left_out():
    shares, tokens = phone_shares({"a": ["b", "a1", "b", "b"], "u": ["<unk>", "S"], "empty": ["<unk>"]})
    assert tokens == ["S", "a1", "b"]
    assert shares.tolist() == [[0, 0.25, 0.75], [1, 0, 0], [0, 0, 0]]


def test_phones_come_from_the_text_and_its_language():
    found = phones_of({"a": "你好", "b": "cat", "c": "我哋"}, {"c": "yue"}, "zh_en_yue")
    assert found == {"a": ["n", "i3", "h", "ao3"], "b": ["K", "AE", "T"], "c": ["y_ng", "y_o5", "y_d", "y_ei6"]}
    with pytest.raises(ValueError, match="no phones for language 'fr'"):
        phones_of({"a": "oui"}, {"a": "fr"}, "zh_en")
