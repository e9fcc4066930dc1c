"""The spelling network against g2p_en's own `predict`, whose answers stand here."""

import pytest

from espnet_llmasr.text.spelling import SpellingNetwork


@pytest.fixture(scope="module")
def network():
    return SpellingNetwork()


@pytest.mark.parametrize(
    "word, phones",
    [
        ("flimzorp", "F L IH1 M Z ER0 P"),
        ("serendipitously", "S EH2 R AH0 N D EH1 P IH0 CH AH0 Z AH0 L"),
        ("anthropomorphize", "AE0 N TH R AA1 P ER0 AH0 M AY2 Z D"),
        ("huggingface", "HH AH1 G IH0 NG F EY2 S"),
        ("zhang", "SH AA1 NG"),
    ],
)
def test_it_guesses_what_g2p_en_guesses(network, word, phones):
    assert network.predict(word) == phones.split()


def test_an_endless_word_ends(network):
    assert len(network.predict("x" * 200)) <= 20
