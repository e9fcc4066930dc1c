import math
import time
import timeit

import numpy as np
import pytest

from espnet_llmasr.metrics import hallucination
from espnet_llmasr.metrics.hallucination import DEFINITIONS, DESCRIPTIONS, chars_per_minute, found_again, judge
from espnet_llmasr.text.normalize import score_tokens


def judged(reference, hypothesis):
    return judge(reference.split(), hypothesis.split())


@pytest.mark.parametrize(
    "reference, hypothesis, expected",
    [
        ("a b", "x y z", ()),
        ("a b", "x y z w", ("paper",)),
        ("a b", "x y z w v", ("paper", "length")),
        ("a b", "x a y b z", ("length",)),
        ("a b", "x y z a b", ("length",)),
        ("a", "x y", ("paper",)),
        ("a b c d", "a", ("length",)),
        ("a b c d", "x y", ()),
        ("a b", "", ("length",)),
        ("", "x", ("paper", "length")),
        ("", "", ()),
        ("a b", "a a a a a a", ("length", "loop")),
    ],
)
def test_hand_made_pairs(reference, hypothesis, expected):
    assert judged(reference, hypothesis) == expected


def test_unrelated_lines():
    """Exactly one and a half times is not longer; some words are shared by chance."""
    assert "paper" not in judge(["a"] * 4, list("stuvwx"))
    assert "paper" in judge(["a"] * 4, list("stuvwxy"))
    reference = "the train to the coast leaves at nine"
    assert "paper" in judged(reference, "in the beginning nobody believed that such a thing could ever be built here")
    assert judged(reference, "so the train to the coast well it really leaves each day at about nine") == ()
    assert "paper" in judge(list("这是我的书"), list("大家好欢迎收看今天的新闻节目"))


@pytest.mark.parametrize("length", [10, 20, 30, 70, 100])
def test_three_tenths_found_again_are_unrelated_and_one_more_is_not(length):
    reference, extra = ([str(number) for number in range(first, first + 2 * length)] for first in (0, 1000))
    reference = reference[:length]
    few = 3 * length // 10
    assert "paper" in judge(reference, reference[:few] + extra)
    assert "paper" not in judge(reference, reference[: few + 1] + extra)


def test_found_again_is_correct_less_deleted():
    """a and b deleted, cdefgh correct, yy inserted: four edits; without a deletion it would take eight."""
    assert found_again("abcdefgh", "cdefghyy") == 6 - 2
    assert found_again("ab", "xaybz") == 2


@pytest.mark.parametrize(
    "reference, hypothesis, expected",
    [
        ("五个", "好" * 6, True),
        ("五个", "好" * 5, False),
        ("五个", "谢谢大家" * 4, True),
        ("五个", "谢谢大家" * 3, False),
        ("哈哈哈哈", "哈" * 8, False),
        ("哈哈哈哈", "哈" * 9, True),
        ("打幺三八零零零零", "打幺三八零零零零零零零零", False),
        ("哈哈哈", "哈" * 8, True),
        ("that is funny", "that is " + "ha" * 8, True),
        ("that is funny", "that is " + "ha" * 7, False),
        ("that is " + "ha" * 3, "that is " + "ha" * 8, True),
        ("that is " + "ha" * 4, "that is " + "ha" * 8, False),
        ("one thousand billion", "1000000000000", False),
        ("ha ha ha ha ha ha", "ha" * 12, False),
        ("ha" * 12, "ha ha ha ha ha ha ha ha", False),
        ("thank you all very much indeed " * 4, "thank you all very much indeed " * 5, False),
        ("yes yes yes yes yes", "yes yes yes yes yes yes", False),
        ("a b c d e f", "a b c d e f", False),
    ],
)
def test_loops_of_characters_of_words_and_within_words(reference, hypothesis, expected):
    assert ("loop" in judge(score_tokens(reference), score_tokens(hypothesis))) is expected


def test_descriptions_state_the_thresholds():
    assert DEFINITIONS == tuple(DESCRIPTIONS)
    for name, numbers in {"paper": "1.5 30%", "length": "2 0.5", "loop": "24 4 6 16"}.items():
        assert all(number in DESCRIPTIONS[name].split() or number in DESCRIPTIONS[name] for number in numbers.split())


def test_characters_a_minute():
    assert chars_per_minute([20, 30], [0.5, 1.5]).rate == 1500 == hallucination.ALARM_CHARS_PER_MINUTE
    rate, (low, high) = chars_per_minute([0, 0], [1.0, 2.0])  # Wilson's of 0 in 2 utterances, one character each
    assert rate == low == 0 and high == pytest.approx(60 * 2 * 0.65762 / 3.0, rel=1e-4)
    assert all(map(math.isnan, chars_per_minute([7], [1.0]).interval))


def test_characters_a_minute_have_the_interval_of_a_bootstrap_over_utterances():
    """Against percentiles of draws made one by one, which lie near where nothing is skewed."""
    rng = np.random.default_rng(0)
    characters, seconds = rng.integers(5, 40, 300), rng.uniform(2.0, 4.0, 300)
    draws = rng.integers(300, size=(4000, 300))
    paces = 60 * characters[draws].sum(1) / seconds[draws].sum(1)
    assert chars_per_minute(characters, seconds).interval == pytest.approx(np.quantile(paces, [0.025, 0.975]), rel=0.01)


def test_ordinary_lines_take_microseconds():
    """The aim is 100,000 lines a second (benchmarks/hallucination.py); a tenth of it must hold on any machine."""
    reference = "he said that the committee had met in the morning and that nothing new had come of it".split()
    seconds = timeit.repeat(lambda: judge(reference, reference), number=500, repeat=5, timer=time.process_time)
    assert 500 / min(seconds) > 10000
