import gzip
import random

import pytest

from espnet_llmasr.text import han
from espnet_llmasr.text.han import HanReader


@pytest.fixture(scope="module", params=["zh", "yue"])
def reader(request):
    return HanReader(request.param)


def test_longest_phrase_first(monkeypatch, tmp_path):
    tables = {
        "characters": "s1\t1\t音\ns2\t2\t乐\ns3\t3\t会\ns4\t4\t计\n",
        "phrases": "音乐\ts1\n音乐会\ts2\n会计\ts3\n计\ts4\n",
    }
    for name, rows in tables.items():
        with gzip.open(tmp_path / f"zh_{name}.tsv.gz", "wt", encoding="utf-8") as file:
            file.write(rows)
    monkeypatch.setattr(han, "TABLES", tmp_path)
    reader = HanReader("zh")
    assert reader.lengths == {"音乐": (3, 2), "会计": (2,), "计": (1,)}
    assert reader("音乐会计") == ["2", "4"]
    assert reader("会计音乐") == ["3", "1"]


def plain_search(reader, text):
    """Phones by trying every length at every place."""
    start, phones = 0, []
    while start < len(text):
        ends = [end for end in range(len(text), start + 1, -1) if text[start:end] in reader.phrases]
        end = ends[0] if ends else start + 1
        phones += reader.phrases[text[start:end]] if ends else reader.characters.get(text[start], ("<unk>",))
        start = end
    return reader._with_sandhi(phones)


def test_equals_a_plain_search_over_all_phrases(reader):
    rng, phrases = random.Random(0), sorted(reader.phrases)
    texts = ["".join(rng.choice(phrases)[: rng.randint(1, 4)] for _ in range(5)) for _ in range(200)]
    for text in [*texts, "银行行长的音乐会计划重新开始了一会儿就睡着觉得很长", "㗎", "\U0003fffd好", ""]:
        assert reader(text) == plain_search(reader, text)


def test_every_syllable_has_phones(reader):
    assert all(reader.syllables.values()) and all(reader.phrases.values()) and all(reader.characters.values())
