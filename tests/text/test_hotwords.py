"""Hotwords: which entries of a list occur in labels, the longest ones, and lists with faults."""

import sys

import pytest

from espnet_llmasr.text.ctc_labels import CTCLabelizer
from espnet_llmasr.text.hotwords import Hotwords, Match, longest, read_hotwords
from espnet_llmasr.text.inventories import read_tokens


@pytest.fixture(scope="module")
def labelize():
    return CTCLabelizer(read_tokens("zh_en"))


def found(hotwords, labels):
    return [(match.words, labels.ids[match.start : match.end]) for match in hotwords.find(labels.ids)]


def test_entries_are_found_by_their_phones(labelize):
    hotwords = Hotwords(["Boston", "南京", "garden"], labelize)
    line = labelize("我 在 南京 boston")
    assert found(hotwords, line) == [(("南京",), labelize("南京").ids), (("Boston",), labelize("boston").ids)]
    assert hotwords.find([]) == hotwords.find(labelize("summer").ids) == []


def test_the_longest_match_covers_shorter_ones_within_it(labelize):
    hotwords = Hotwords(["garden", "garden city", "city lights"], labelize)
    assert [words for words, _ in found(hotwords, labelize("garden city"))] == [("garden city",)]
    overlapping = found(hotwords, labelize("the garden city lights"))
    assert [words for words, _ in overlapping] == [("garden city",), ("city lights",)]  # neither covers the other
    assert longest([Match(("b",), 2, 4), Match(("a",), 0, 4), Match(("c",), 3, 5), Match(("a",), 0, 3)]) == [
        Match(("a",), 0, 4),
        Match(("c",), 3, 5),
    ]


def test_entries_that_sound_the_same_are_found_together(labelize):
    hotwords = Hotwords(["Meyer", "Reed Meyer", "Reid Meyer", "Meyer"], labelize)
    assert len(hotwords) == 2
    assert found(hotwords, labelize("reed meyer"))[0][0] == ("Reed Meyer", "Reid Meyer")


def test_short_and_unreadable_entries_are_left_out_and_counted(labelize, caplog):
    hotwords = Hotwords(["tea", "Boston", "Москва"], labelize)
    assert len(hotwords) == 1 and "2 hotwords are left out" in caplog.text and "'tea'" in caplog.text
    with pytest.raises(ValueError, match="no hotword has at least 3 phones"):
        Hotwords(["tea"], labelize)


def test_without_the_package(labelize, monkeypatch):
    monkeypatch.setitem(sys.modules, "ahocorasick", None)
    with pytest.raises(ValueError, match="pip install pyahocorasick"):
        Hotwords(["Boston"], labelize)


def test_a_list_has_one_entry_a_line(tmp_path):
    path = tmp_path / "hotwords.txt"
    path.write_text("\ufeffNew  York\n\n南京\r\nNew York\n", encoding="utf-8")
    assert read_hotwords(path) == ["New York", "南京"]
    path.write_text(" \n")
    with pytest.raises(ValueError, match="hotwords.txt has no hotwords: write one a line"):
        read_hotwords(path)
    with pytest.raises(ValueError, match="does not exist"):
        read_hotwords(tmp_path / "other")
