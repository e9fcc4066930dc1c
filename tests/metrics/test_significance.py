import math

import numpy as np
import pytest
import scipy.stats

from espnet_llmasr.metrics.significance import compare, needed_utterances


def systems(size, rng, worse=0.0, loops=0.01):
    """Errors of two systems that fail on the same utterances and loop on others, B with more errors; heavy tails."""
    lengths, hard = np.ceil(rng.lognormal(2.2, 0.9, size)).astype(int), rng.beta(0.15, 2.85, size)
    a, b = (rng.binomial(lengths, hard) + 4 * lengths * (rng.random(size) < loops) for _ in "AB")
    return a, b + rng.binomial(lengths, worse), lengths


def test_rates_wins_and_difference_by_hand():
    result = compare(np.array([0, 2, 1, 0]), np.array([1, 1, 4, 0]), np.array([5, 5, 10, 10]))
    assert (result.rate_a, result.rate_b) == (0.1, 0.2)
    assert result.difference == pytest.approx(0.1) and result.relative == pytest.approx(0.5)
    assert (result.utterances, result.wins_a, result.wins_b, result.ties) == (4, 2, 1, 1)


def test_p_by_hand():
    """8 of 100 differ by one error: 8 are drawn on average, and |D* - D| >= |D| where it is none, or 16 and more."""
    result = compare(np.zeros(100, int), np.array([1] * 8 + [0] * 92), np.full(100, 10), resamples=20000)
    draws = scipy.stats.binom(100, 0.08)
    assert result.p == pytest.approx(draws.pmf(0) + draws.sf(15), abs=0.002)


def test_chance_of_being_better_by_hand():
    """Of 10 utterances one is better by 3, one worse by 1: (x, y) draws of them, x > y / 3, and half of x = y / 3."""
    draws = scipy.stats.multinomial(10, [0.1, 0.1, 0.8])
    pairs = [(x, y) for x in range(11) for y in range(11 - x)]
    expected = sum(draws.pmf([x, y, 10 - x - y]) * (np.sign(3 * x - y) + 1) / 2 for x, y in pairs)
    result = compare(np.array([0, 1] + [0] * 8), np.array([3] + [0] * 9), np.full(10, 10))
    assert result.a_is_better == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("differing, p", [(2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_few_utterances_show_nothing(differing, p):
    """However clear they are: equal systems may be parted in the same direction by chance, with 2 / 2^k."""
    result = compare(np.zeros(differing, int), np.full(differing, 3), np.full(differing, 10))
    assert result.p == p and (result.interval[0] > 0) == (p < 0.05)
    assert (result.relative_interval[0] > 0) == (p < 0.05)


def test_interval_of_a_large_set_is_the_normal_one():
    a, b, n = systems(3000, np.random.default_rng(0), worse=0.01, loops=0)
    result, influence = compare(a, b, n), b - a - n * (b - a).sum() / n.sum()
    half = 1.96 * math.sqrt((influence**2).sum()) / n.sum()
    assert result.interval[1] - result.difference == pytest.approx(half, rel=0.06)
    assert result.difference - result.interval[0] == pytest.approx(half, rel=0.06)
    share = influence + n * (b - a).sum() / n.sum()  # of the ratio: the denominator is B's errors
    half = 1.96 * math.sqrt(((share - b * result.relative) ** 2).sum()) / b.sum()
    assert result.relative_interval[1] - result.relative == pytest.approx(half, rel=0.06)


def test_exchanging_the_systems_changes_the_sign():
    a, b, n = systems(300, np.random.default_rng(1), worse=0.01)
    one, other = compare(a, b, n), compare(b, a, n)
    assert one.difference == -other.difference and one.p == pytest.approx(other.p, abs=0.05)
    assert (one.wins_a, one.needed) == (other.wins_b, other.needed)


def test_p_and_interval_agree():
    """0 lies outside the interval exactly when p < 0.05."""
    seen = set()
    for seed in range(60):
        result = compare(*systems(100, np.random.default_rng(seed), worse=0.015, loops=0), resamples=999)
        low, high = result.interval
        seen.add(result.p < 0.05)
        assert (result.p < 0.05) == (low > 0 or high < 0)
    assert seen == {True, False}


@pytest.mark.parametrize(
    "size, loops, at_5, at_50", [(100, 0.01, (0, 0.045), (0.3, 1)), (200, 0, (0.017, 0.083), (0.42, 0.58))]
)
def test_equal_systems_are_seldom_called_different(size, loops, at_5, at_50):
    """Of 400 pairs with loops 1 to 2 % are found (percentiles would give 10 %), without loops 5 % but for chance."""
    rng = np.random.default_rng(7)
    ps = np.array([compare(*systems(size, rng, loops=loops), resamples=500).p for _ in range(400)])
    assert at_5[0] <= np.mean(ps < 0.05) <= at_5[1] and at_50[0] <= np.mean(ps < 0.5) <= at_50[1]


def test_needed_by_hand():
    """Equal lengths, d = 3, -1, 3, -1: mean 1, variance 16 / 3; (1.96 + 0.8416)^2 * 16 / 3 = 41.9."""
    assert needed_utterances(np.array([3, -1, 3, -1]), np.full(4, 10)) == 42
    assert needed_utterances(np.array([0, 1, 1]), np.full(3, 10)) == 12  # 8 of 12 differ on average
    assert needed_utterances(np.array([1, -1]), np.full(2, 10)) == math.inf


def test_p_is_never_zero():
    result = compare(np.zeros(50, int), np.arange(50) % 3 + 1, np.full(50, 10))
    assert result.p == 1 / 2001 and result.a_is_better == 1


def test_equal_hypotheses_leave_room_for_what_was_not_seen():
    errors, lengths = np.arange(300) % 3, np.full(300, 10)
    result = compare(errors, errors, lengths)
    assert (result.p, result.difference, result.a_is_better, result.needed) == (1, 0, 0.5, math.inf)
    assert result.interval == (pytest.approx(-0.00126, rel=0.01), pytest.approx(0.00126, rel=0.01))
    none = compare(errors * 0, errors * 0, lengths)
    assert none.interval == result.interval and math.isnan(none.relative) and math.isnan(none.relative_interval[0])


@pytest.mark.parametrize(
    "a, b, lengths", [([], [], []), ([1], [0], [5]), ([1, 0], [0, 0], [5, 0]), ([1, 2], [2, 2], [0, 0])]
)
def test_nothing_can_be_said(a, b, lengths):
    result = compare(*(np.array(x, int) for x in (a, b, lengths)))
    assert math.isnan(result.difference) and math.isnan(result.interval[0]) and result.p == 1
    assert result.needed == math.inf


def test_utterances_without_tokens_are_left_out_and_the_order_is_free():
    a, b, n = systems(100, np.random.default_rng(4))
    order = np.random.default_rng(5).permutation(130)
    padded = [np.concatenate([x, np.zeros(30, int)])[order] for x in (a, b, n)]
    assert compare(*padded) == compare(a, b, n) != compare(a, b, n, seed=1)


def test_what_is_no_count():
    with pytest.raises(ValueError, match="must be counts"):
        compare(np.array([1, math.nan]), np.array([1, 1]), np.array([5, 5]))
