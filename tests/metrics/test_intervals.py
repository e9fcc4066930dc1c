import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from espnet_llmasr.metrics.intervals import bootstrap_interval, resampled_sums, wilson_interval


@pytest.mark.parametrize("hits, percent", [(1, [0.001, 0.038]), (2, [0.004, 0.050])])
def test_wilson_interval_of_the_papers_english_sets(hits, percent):
    assert [round(100 * x, 3) for x in wilson_interval(hits, 14721)] == percent


def test_wilson_interval_solves_its_equation():
    """Both ends p satisfy |hits / n - p| = z sqrt(p (1 - p) / n)."""
    for hits, total in ((0, 10), (3, 10), (50, 100), (10, 10)):
        for p in wilson_interval(hits, total, z=1.96):
            assert abs(hits / total - p) == pytest.approx(1.96 * (p * (1 - p) / total) ** 0.5, abs=1e-7)


def test_wilson_interval_edges():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 hits of 2"):
        wilson_interval(3, 2)


def simulated(size, seed):
    """Errors and lengths with bad utterances and a heavy tail."""
    rng = np.random.default_rng(seed)
    lengths = np.ceil(rng.lognormal(2.2, 0.9, size)).astype(int)
    return rng.binomial(lengths, rng.beta(0.3, 3, size)), lengths


@pytest.mark.parametrize("size, tolerance", [(30, 0.05), (100, 0.02), (300, 0.02)])
def test_bootstrap_is_scipys_bca(size, tolerance):
    """Up to the noise of either's own resamples, and the jackknife that scipy takes instead of the influence."""
    errors, lengths = simulated(size, size)

    def rate(errors, lengths, axis=-1):
        return errors.sum(axis=axis) / lengths.sum(axis=axis)

    theirs = scipy.stats.bootstrap(
        (errors, lengths), rate, paired=True, n_resamples=20000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap_interval(errors, lengths, resamples=20000)
    assert ours == pytest.approx(tuple(theirs), abs=tolerance * (theirs.high - theirs.low))


def test_resampled_sums_are_multinomial_and_shared_by_rows():
    rows = np.array([[0, 1, 5, 1], [0, 2, 10, 2]])
    sums = resampled_sums(rows, 20000)
    assert sums.shape == (2, 20000) and (sums[1] == 2 * sums[0]).all()
    assert set(np.unique(sums[0])) == {5.0 * b + a for b in range(5) for a in range(5 - b)}
    assert sums[0].mean() == pytest.approx(rows[0].sum(), rel=0.02)  # mean: the sum; variance: U times that of a draw
    assert sums[0].var() == pytest.approx(4 * rows[0].var(), rel=0.04)
    assert np.mean(sums[0] == 20) == pytest.approx(0.25**4, abs=0.002)


def test_seed_and_order():
    errors, lengths = simulated(200, 5)
    order = np.random.default_rng(0).permutation(200)
    assert bootstrap_interval(errors, lengths) == bootstrap_interval(errors[order], lengths[order])
    assert bootstrap_interval(errors, lengths) != bootstrap_interval(errors, lengths, seed=1)


def test_no_error_is_not_certainty():
    """The upper end is that of 3.84 single errors; one error more never lowers it."""
    lengths = np.full(300, 10)
    low, high = bootstrap_interval(np.zeros(300, int), lengths)
    assert low == 0 and high == pytest.approx(wilson_interval(0, 300)[1] / 10) == pytest.approx(3.8415 / 3038, rel=1e-3)
    highs = [bootstrap_interval(np.arange(300) < wrong, lengths)[1] for wrong in range(8)]
    assert highs == sorted(highs)
    assert bootstrap_interval(np.full(300, 10), lengths)[0] == pytest.approx(wilson_interval(300, 300)[0])


@pytest.mark.parametrize("errors, lengths", [([], []), ([3, 1], [0, 0]), ([1], [5]), ([0, 1, 0], [0, 5, 0])])
def test_nothing_can_be_said(errors, lengths):
    """No token, or only one utterance with tokens."""
    assert all(map(math.isnan, bootstrap_interval(np.array(errors, int), np.array(lengths, int))))


def test_utterances_without_tokens_change_nothing():
    errors, lengths = simulated(50, 3)
    padded = [np.concatenate([x, np.zeros(50, int)]) for x in (errors, lengths)]
    assert bootstrap_interval(errors, lengths) == bootstrap_interval(*padded)


def test_insertions_on_empty_references_may_have_no_upper_end():
    low, high = bootstrap_interval(np.array([3, 1]), np.array([0, 5]))
    assert low <= 0.2 and math.isinf(high)


@pytest.mark.parametrize("errors", [[1.0, math.nan], [1.0, math.inf], [1, -1]])
def test_what_is_no_count(errors):
    with pytest.raises(ValueError, match="must be counts"):
        bootstrap_interval(np.array(errors), np.array([5, 5]))


def test_coverage():
    """Of 150 sets of 300 utterances (true rate 0.3 / 3.3), about 95 % of the intervals hold it."""
    held = [low <= 1 / 11 <= high for low, high in (bootstrap_interval(*simulated(300, 100 + s)) for s in range(150))]
    assert 0.9 <= np.mean(held) <= 0.99


def test_memory():
    """The weights of many distinct utterances are never held at once."""
    rows = np.stack([np.arange(200_000), np.ones(200_000)])
    tracemalloc.start()
    assert resampled_sums(rows, 50)[1].tolist() == [200_000] * 50
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # 50 * 200,000 weights of both types would be 160 MB
