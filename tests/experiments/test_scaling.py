"""Scaling laws that were planted are found again; intervals, warnings and savings against hand-made expectations."""

import math
import re

import numpy as np
import pytest

from espnet_llmasr.experiments.scaling import Fit, Law, fit_scaling, group_budgets, resample, savings

C = 1e14 * 2.0 ** np.arange(5)
LAWS = [(3, 0.5, 1), (3, 0.1, 0.5), (10, 1.5, 0.01), (2, 0.3, 0), (5, 0.05, 3), (1, 4, 1), (1, 0.8, 20), (80, 1, 3)]


def planted(compute, a, b, c):
    return a * (compute / 1e14) ** -b + c


def noisy(seeds, spread, law=(3, 0.5, 1), compute=C, seed=0):
    """Each budget `seeds` times, with errors that spread log-normally."""
    compute = np.repeat(compute, seeds)
    return compute, planted(compute, *law) * np.exp(spread * np.random.default_rng(seed).standard_normal(len(compute)))


@pytest.mark.parametrize("a, b, c", LAWS)
@pytest.mark.parametrize("unit", [1, 1e-3, 1e9])
def test_a_planted_law_is_found(a, b, c, unit):
    """The numbers of the law at 1e14 FLOPs, whatever the unit of compute."""
    law = fit_scaling(C * unit, planted(C, a, b, c), resamples=2).law
    assert law.a * (law.scale / (1e14 * unit)) ** law.b == pytest.approx(a, rel=1e-6)
    assert law.b == pytest.approx(b, rel=1e-6) and law.c == pytest.approx(c, rel=1e-6, abs=1e-12)
    assert law.scale == pytest.approx(4e14 * unit)


def test_no_law_fits_better():
    """Random changes of a, b and c all miss the noisy log errors by more."""
    compute, errors = noisy(3, 0.1)
    law = fit_scaling(compute, errors, resamples=2).law

    def miss(a, b, c):
        return np.sum(np.log(errors / Law(a, b, c, law.scale).predict(compute)) ** 2)

    best, rng = miss(law.a, law.b, law.c), np.random.default_rng(1)
    for size in (1e-4, 1e-2, 0.3):
        changes = np.exp(size * rng.standard_normal((300, 3)))
        assert min(miss(*row) for row in changes * (law.a, law.b, law.c)) >= best


def test_relative_misses_count_the_same():
    """A run 10 % above at the worst budget pulls the law there as much as one at the best budget."""
    moved = []
    for place in (0, -1):
        errors = planted(C, 3, 0.5, 0)
        errors[place] *= 1.1
        moved.append(fit_scaling(C, errors, resamples=2).law.predict(C[place]) / planted(C[place], 3, 0.5, 0) - 1)
    assert all(0.02 < move < 0.1 for move in moved)


def test_law_by_hand():
    law = Law(3.0, 0.5, 1.0, 1e14)
    assert law.predict(4e14) == pytest.approx(2.5) and law.inverse(2.5) == pytest.approx(4e14)
    assert law.inverse(1.0) == law.inverse(0.5) == math.inf
    both = Law(*(np.array([[x], [2 * x]]) for x in (3.0, 0.5, 1.0)), 1e14)
    assert both.predict(np.array([1e14, 4e14])) == pytest.approx(np.array([[4, 2.5], [8, 3.5]]))


def test_budgets_are_grouped_by_gaps():
    assert group_budgets(np.array([2.0, 1.0, 4.0, 1.05, 1.09, 2.1])).tolist() == [1, 0, 2, 0, 0, 1]


def means_of(deviations, resamples=20000):
    """Five budgets of three runs with these deviations -> how far resampled means are from the means, and the kind."""
    budgets, fitted = np.repeat(np.arange(5), 3), np.linspace(2, 1, 15)
    drawn, kind = resample(fitted, fitted + np.ravel(deviations), budgets, resamples, seed=0)
    return (drawn - fitted).reshape(resamples, 5, 3).mean(axis=2) - np.mean(deviations, axis=1), kind


def test_spread_is_shared_by_budgets_and_its_means_are_t():
    """Variance 0.01 with 10 degrees of freedom: the mean of three runs has a t interval of 2.228 sqrt(0.01 / 3)."""
    deviations = np.array([-0.1, 0, 0.1]) * np.array([1, 1, 1, 1, 1])[:, None] + np.arange(5)[:, None] / 10
    moves, kind = means_of(deviations)
    assert kind == "seeds" and np.abs(moves.mean(axis=0)).max() < 0.002
    assert np.quantile(moves, 0.975, axis=0) == pytest.approx([2.228 * 0.1 / math.sqrt(3)] * 5, rel=0.06)


def test_budgets_keep_a_spread_that_differs():
    deviations = np.array([-0.1, 0, 0.1]) * np.array([1, 0.9, 1.1, 1, 0.001])[:, None]
    moves, kind = means_of(deviations)
    assert kind == "seeds within budgets" and moves[:, 4].std() < 0.01 * moves[:, 0].std()
    assert np.median(np.abs(moves[:, 0])) == pytest.approx(
        0.8165 * 0.1 / math.sqrt(3), rel=0.3
    )  # t(2): half below .8165


def test_single_runs_are_resampled_by_their_distances():
    compute, errors = noisy(1, 0.05, compute=1e14 * 2.0 ** np.arange(8))
    fit = fit_scaling(np.append(compute, compute[0]), np.append(errors, errors[0]), resamples=200)
    assert fit.resampling == "residuals" and any("too few budgets have several" in line for line in fit.warnings)
    low, high = fit.interval("b")
    assert low < fit.law.b < high


def test_intervals_hold_the_truth():
    """The share of 30 data sets is 0.95 but for chance (one in a thousand is below 24); see benchmarks/scaling.py."""
    held = []
    for seed in range(30):
        fit = fit_scaling(*noisy(5, 0.05, seed=seed), resamples=60, seed=seed)
        (b_low, b_high), (c_low, c_high), (low, high) = fit.interval("b"), fit.interval("c"), fit.band(C[-1:])[:, 0]
        held.append([b_low <= 0.5 <= b_high, c_low <= 1 <= c_high, low <= planted(C[-1], 3, 0.5, 1) <= high])
    assert np.all(np.sum(held, axis=0) >= 24)


def test_the_same_seed_gives_the_same_intervals():
    fits = [fit_scaling(*noisy(3, 0.05), resamples=30, seed=seed).interval("b") for seed in (1, 1, 2)]
    assert fits[0] == fits[1] != fits[2]


@pytest.mark.parametrize(
    "law, spread, compute, words",
    [
        ((3, 0.5, 1), 0.02, C, []),
        ((3, 0.5, 0), 0.0, C, ["c is at its bound 0"]),
        ((3, 0.5, 0.1), 0.05, C, ["c .* 0"]),
        ((3, 0.5, 1), 0.02, 1e14 * 1.2 ** np.arange(5), ["span a factor of 2.1 only"]),
        ((0, 0.5, 5), 0.05, C, ["may not fall with compute", "the exponent is not identified"]),
        ((3, -0.2, 1), 0.05, C, ["may not fall with compute", "the exponent is not identified", "miss the law"]),
    ],
)
def test_what_the_data_cannot_identify_is_said(law, spread, compute, words):
    fit = fit_scaling(*noisy(5, spread, law, compute, seed=3), resamples=100)
    assert words or not fit.warnings
    for word in words:
        assert any(re.search(word, line) for line in fit.warnings), fit.warnings


def test_a_bend_that_is_no_such_law_is_noticed():
    """A jump between budgets, and little spread in them."""
    compute, errors = noisy(5, 0.01)
    errors[compute > 3e14] *= 0.5
    assert any(
        "miss the law by more than the seeds explain" in line for line in fit_scaling(compute, errors, 20).warnings
    )


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_budgets(count):
    with pytest.raises(ValueError, match=f"{count} different budgets cannot identify .* train at 4 or more"):
        fit_scaling(np.repeat(C[:count], 5), np.linspace(1, 2, 5 * count))


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_numbers_without_a_logarithm(wrong):
    for place in (0, 1):
        arguments = [C.copy(), planted(C, 3, 0.5, 1)]
        arguments[place][2] = wrong
        with pytest.raises(ValueError, match="finite and above 0"):
            fit_scaling(*arguments)


# ---- savings -------------------------------------------------------------------------------------------------------


def test_savings_by_hand():
    """The same law at half the compute: 50 % at each budget of the other, but the first: that would be below 1e14."""
    slow, quick = (fit_scaling(C, planted(C * factor, 3, 0.5, 1), resamples=5) for factor in (1, 2))
    found = savings(quick, slow)
    assert [saving.compute for saving in found] == pytest.approx(list(C[1:]))
    assert [saving.share for saving in found] == pytest.approx([0.5] * 4)
    assert [saving.error for saving in found] == pytest.approx(list(planted(C[1:], 3, 0.5, 1)))
    assert [saving.share for saving in savings(slow, quick)] == pytest.approx([2.0] * 4)


def test_no_saving_outside_of_the_measured_range():
    good, bad = fit_scaling(C, planted(C, 1, 0.5, 0.2), 5), fit_scaling(C, planted(C, 9, 0.2, 4), 5)
    assert savings(good, bad) == savings(bad, good) == []


def fixed(a, low_a, high_a):
    """A power law a (C / 4e14)^-1 over C, with two resamples of a."""
    spread = [np.array([[low_a], [high_a]]), np.ones((2, 1)), np.zeros((2, 1))]
    return Fit(Law(a, 1.0, 0.0, 4e14), Law(*spread, 4e14), C, a * 4e14 / C, np.arange(5), "", ())


def test_the_interval_of_a_saving_and_its_open_ends():
    """The share is the ratio of both a; its ends are those of the resamples, unless they lie beyond 1e14 to 1.6e15."""
    found = savings(fixed(1.0, 0.8, 1.2), fixed(2.0, 2.0, 2.0))
    assert [saving.share for saving in found] == pytest.approx([0.5] * 4)
    assert found[-1].interval == pytest.approx((0.4, 0.6)) and found[-1].is_open == (False, False)
    assert found[0].interval == pytest.approx((0.5, 0.6)) and found[0].is_open == (True, False)
    unknown = savings(fixed(1.0, 0.8, 20.0), fixed(2.0, 2.0, 2.0))
    assert unknown[-1].interval == pytest.approx((0.4, 1.0)) and unknown[-1].is_open == (False, True)


def test_the_spread_of_seeds_is_itself_drawn():
    """Squares of t-like draws: sum of squared deviations over f - 2, where a plain bootstrap has it over f or less."""
    y = np.log(noisy(5, 0.1)[1])
    budgets = np.repeat(np.arange(5), 5)
    centres = np.array([y[budgets == n].mean() for n in range(5)])[budgets]
    drawn, kind = resample(np.zeros(25), y, budgets, 20_000, seed=0)
    assert kind == "seeds"
    assert np.mean((drawn - centres) ** 2) == pytest.approx(np.sum((y - centres) ** 2) / (20 - 2), rel=0.02)
