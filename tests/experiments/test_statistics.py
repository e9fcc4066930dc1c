"""Means over seeds and paired differences against scipy, enumeration and hand-made numbers."""

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats

from espnet_llmasr.experiments.statistics import holm, mean_interval, paired_difference, sign_flip_p

VALUES, BASELINE = [4.2, 3.9, 4.8, 4.4, 4.1], [4.0, 4.1, 4.3, 4.2, 3.7]


def test_mean_interval_by_hand():
    """1, 2, 3: deviation 1, t(0.975, 2) = 4.302653."""
    result = mean_interval([1, 2, 3])
    assert (result.n, result.mean, result.is_constant) == (3, 2, False)
    half = 4.302653 / math.sqrt(3)
    assert result.interval == pytest.approx((2 - half, 2 + half), rel=1e-6)


@pytest.mark.parametrize("values, n, constant", [([], 0, False), ([3.0], 1, False), ([0.0] * 5, 5, True)])
def test_no_interval_without_spread(values, n, constant):
    result = mean_interval(values)
    assert result.n == n and result.is_constant is constant and all(map(math.isnan, result.interval))


def test_paired_difference_is_scipys():
    result, test = paired_difference(VALUES, BASELINE), scipy.stats.ttest_rel(VALUES, BASELINE)
    assert result.p_t == pytest.approx(test.pvalue, rel=1e-9)
    assert result.mean.interval == pytest.approx(tuple(test.confidence_interval()), rel=1e-9)
    assert result.mean.mean == pytest.approx(0.22)


def test_sharing_seeds_makes_the_interval_of_a_difference_shorter():
    """The seeds differ far more than the strategies: only pairs show it."""
    baseline = [2.0, 9.0, 4.0, 7.0, 5.0]
    result = paired_difference([2.5, 9.4, 4.6, 7.5, 5.5], baseline)
    assert result.mean.interval[0] > 0.4 and result.mean.interval[1] < 0.6
    assert scipy.stats.ttest_ind([2.5, 9.4, 4.6, 7.5, 5.5], baseline).pvalue > 0.7


def test_equal_differences_claim_nothing():
    result = paired_difference([5.3, 4.2, 3.1], [4.2, 3.1, 2.0])  # 1.1 three times, but for rounding
    assert result.mean.is_constant and math.isnan(result.p_t) and result.p_sign_flip == 0.25
    same = paired_difference([0.1 + 0.2, 1.0], [0.3, 1.0])
    assert (same.p_t, same.p_sign_flip, same.mean.mean) == (1.0, 1.0, 0.0)


def enumerated(differences):
    sums = [
        sum(sign * size for sign, size in zip(signs, differences))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return np.mean([abs(value) >= abs(sum(differences)) - 1e-9 for value in sums])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [1, 2, 5, 7, 8])
def test_sign_flips_are_all_enumerated(n, seed):
    """With ties and zeros, of numbers that have no exact binary form."""
    differences = np.random.default_rng(seed).integers(-3, 5, n) / 10
    assert paired_difference(7.3 + differences, np.full(n, 7.3)).p_sign_flip == enumerated(differences)


@pytest.mark.parametrize("n, p", [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_the_smallest_p(n, p):
    assert sign_flip_p(np.arange(1, n + 1)) == p == sign_flip_p(-np.arange(1, n + 1))


def test_many_pairs_and_none():
    """Beyond 16 pairs signs are drawn at random, the same ones each time."""
    differences = np.random.default_rng(0).normal(0.5, 1, 36)
    p = sign_flip_p(differences)
    assert p == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, rel=0.3) and p == sign_flip_p(differences)
    assert math.isnan(sign_flip_p([]))


def test_holm_by_hand():
    """0.01 * 3, 0.03 * 2, and 0.04 * 1 not below the one before."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0] and holm([]) == []


def test_holm_does_not_count_what_is_not_known():
    adjusted = holm([0.02, math.nan, 0.03])
    assert adjusted[0] == pytest.approx(0.04) and math.isnan(adjusted[1]) and adjusted[2] == pytest.approx(0.04)
