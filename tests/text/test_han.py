import random

import pytest

from espnet_llmasr.text.han import HanReader


@pytest.fixture(scope="module", params=["zh", "yue"])
def reader(request):
    return HanReader(request.param)


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
