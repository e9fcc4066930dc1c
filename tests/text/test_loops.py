import random

import pytest

from espnet_llmasr.text.loops import MAX_UNIT, Loop, find_loop


def by_definition(sequence, min_repeats, min_length, max_unit):
    """All (start, unit) with as many whole repeats as follow; the longest, then the shortest unit, then the first."""
    loops = []
    for unit in range(1, max_unit + 1):
        for start in range(len(sequence) - unit + 1):
            repeats = 1
            while sequence[start + repeats * unit :][:unit] == sequence[start:][:unit]:
                repeats += 1
            if repeats >= min_repeats and repeats * unit >= min_length:
                loops.append((-repeats * unit, unit, start, repeats))
    if not loops:
        return None
    _, unit, start, repeats = min(loops)
    return Loop(start, unit, repeats)


@pytest.mark.parametrize("letters, longest", [("ab", 14), ("abc", 25), ("abcdefgh", 40)])
def test_equals_the_definition_on_random_sequences(letters, longest):
    rng = random.Random(0)
    found = 0
    for _ in range(1500):
        sequence = rng.choices(letters, k=rng.randrange(longest))
        sequence[rng.randrange(len(sequence) + 1) :] *= rng.choice([1, 1, 3, 4])
        limits = rng.choice([2, 3, 4]), rng.choice([1, 5, 8]), rng.choice([2, 4, MAX_UNIT])
        loop = by_definition(sequence, *limits)
        assert find_loop(sequence, *limits) == loop, (sequence, limits)
        found += loop is not None
    assert 200 < found < 1450


@pytest.mark.parametrize(
    "words, expected",
    [
        ("", None),
        ("yes yes yes yes", Loop(0, 1, 4)),
        ("so yes yes yes yes no", Loop(1, 1, 4)),
        ("a a a a b b b b b", Loop(4, 1, 5)),
        ("a a a a b b b b", Loop(0, 1, 4)),
    ],
)
def test_four_repeats(words, expected):
    assert find_loop(words.split(), min_repeats=4) == expected


def test_length_of_the_unit_and_of_the_loop():
    unit = list(range(MAX_UNIT))
    assert find_loop(unit * 4, min_repeats=4) == Loop(0, MAX_UNIT, 4)
    assert find_loop([*unit, -1] * 4, min_repeats=4) is None
    assert find_loop([*unit, -1] * 4, min_repeats=4, max_unit=MAX_UNIT + 1) == Loop(0, MAX_UNIT + 1, 4)
    assert find_loop("aaaaa", min_repeats=4, min_length=6) is None
    assert find_loop("aaaaaa", min_repeats=4, min_length=6).length == 6
    assert find_loop("hahahahaha", min_repeats=4) == Loop(0, 2, 5)
