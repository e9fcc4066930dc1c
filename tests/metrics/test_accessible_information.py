"""PAI and CSAI against Gaussian information in closed form, scikit-learn's PCA, and planted dependence."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.decomposition import PCA

from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool, project
from espnet_llmasr.metrics.encoder_metrics import permutation_baseline, set_metrics

PLAIN = EstimatorConfig(num_components=4, ridge=0.0)


def exact(covariance, count=50, seed=0):
    """`count` rows whose empirical covariance (divisor count - 1) is the given one, in three equal blocks."""
    noise = np.random.default_rng(seed).standard_normal((count, len(covariance)))
    white = np.linalg.qr(noise - noise.mean(axis=0))[0] * math.sqrt(count - 1)
    return np.split(white @ np.linalg.cholesky(covariance).T + 3.0, 3, axis=1)


def bits(covariance, one, other):
    """Gaussian mutual information of two sets of coordinates, Eq. 19, with numpy's determinants."""
    parts = (np.linalg.slogdet(covariance[np.ix_(at, at)])[1] for at in (one, other, [*one, *other]))
    first, second, both = parts
    return (first + second - both) / (2 * math.log(2))


def expected_bias(count, k, given=0):
    """Mean of the information between two independent Gaussian vectors of size k, in bits, from `count` samples.

    Wilks' lambda is a product of independent Beta variables, whose logarithms have these means (ridge 0). Taking out
    `given` other coordinates costs as many samples.
    """
    degrees = count - 1 - given
    order = np.arange(k)
    return (digamma((degrees - order) / 2) - digamma((degrees - k - order) / 2)).sum() / (2 * math.log(2))


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.01, 0.5])
def test_equation_8_with_ridge_from_canonical_correlations(ridge):
    """Blocks are white after PCA, so that PAI is -1/2 sum log2(1 - (rho / (1 + lambda))^2)."""
    rho = np.array([0.95, 0.6, 0.3, 0.0])
    covariance = np.eye(12)
    covariance[:4, 4:8] = covariance[4:8, :4] = np.diag(rho)
    found = set_metrics(*exact(covariance), replace(PLAIN, ridge=ridge))
    assert found["pai"] == pytest.approx(-0.5 * np.log2(1 - (rho / (1 + ridge)) ** 2).sum(), abs=1e-8)
    assert found["csai"] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.01, 0.3])
def test_equations_8_and_9_with_sklearn_pca_and_one_regularised_covariance(ridge):
    rng = np.random.default_rng(2)
    shared = rng.standard_normal((90, 3))
    wide = [shared @ rng.standard_normal((3, width)) + rng.standard_normal((90, width)) for width in (200, 12, 40)]
    white = [PCA(5, whiten=True, svd_solver="full").fit_transform(x) for x in wide]
    covariance = np.cov(np.concatenate(white, axis=1), rowvar=False) + ridge * np.eye(15)
    u, phones, meaning = (list(range(at, at + 5)) for at in (0, 5, 10))
    found = set_metrics(*wide, EstimatorConfig(5, ridge))
    assert found["pai"] == pytest.approx(bits(covariance, u, phones), abs=1e-8)
    chain = bits(covariance, u, phones + meaning) - bits(covariance, u, phones)
    assert found["csai"] == pytest.approx(chain, abs=1e-8)


@pytest.mark.parametrize("shape", [(30, 8), (30, 30), (30, 200)])
def test_project_is_sklearn_pca_up_to_sign(shape):
    x = np.random.default_rng(0).standard_normal(shape) * np.geomspace(5, 0.1, shape[1]) + 7
    expected = PCA(6, whiten=True, svd_solver="full").fit_transform(x)
    found = project(x, 6)
    assert found.dtype == torch.float64
    assert np.allclose(np.abs(found.numpy()), np.abs(expected), atol=1e-8)
    assert np.allclose(np.cov(found.numpy(), rowvar=False), np.eye(6), atol=1e-8)
    assert torch.equal(project(-x, 6), found)  # signs are settled
    assert (found.gather(0, found.abs().argmax(dim=0, keepdim=True)) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_component_without_variance_stays_zero(dtype):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, generator=rng).double() @ torch.randn(2, 9, generator=rng).double() + 100
    noise = torch.randn(40, 9, generator=rng)
    scores = project(x.to(dtype), 5)
    assert torch.allclose(scores[:, :2].std(dim=0), torch.ones(2, dtype=torch.float64), atol=1e-6)
    assert (scores[:, 2:] == 0).all()
    assert (project(torch.full((40, 9), 0.1, dtype=dtype), 3) == 0).all()
    found = set_metrics(x.to(dtype), noise, torch.full((40, 9), 0.1), EstimatorConfig(5))
    assert math.isfinite(found["pai"]) and found["csai"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="singular.*ridge"):
        set_metrics(x.to(dtype), noise, noise.flip(0), EstimatorConfig(5, ridge=0))


def test_pool_by_hand():
    frames = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert pool(frames).tolist() == [2, 5, 1, 0]
    assert pool(frames, "mean").tolist() == [2, 5]
    assert pool(frames[:1].numpy()).tolist() == [1, 5, 0, 0]


def chain_data(count=2000, leak=0.0, seed=3):
    """Meaning and encoder both follow the phones; with `leak` the encoder also knows the rest of the meaning."""
    rng = np.random.default_rng(seed)
    phones, own, noise = (rng.standard_normal((count, 4)) for _ in range(3))
    meaning = phones @ rng.standard_normal((4, 4)) + own
    return phones @ rng.standard_normal((4, 4)) + noise + leak * own, phones, meaning


def test_meaning_that_comes_through_the_phones_is_not_counted_as_semantic():
    data = chain_data()
    found, bias = set_metrics(*data, PLAIN), permutation_baseline(*data, PLAIN)
    through_meaning = set_metrics(data[0], data[2], data[1], PLAIN)
    assert found["pai"] > 2 and through_meaning["pai"] > 0.5  # u and C do depend on each other
    assert abs(found["csai"] - bias["csai"]) < 4 * bias["csai_std"] and bias["csai"] < 0.01
    assert set_metrics(*chain_data(leak=1.0), PLAIN)["csai"] > 1


def test_ridge_lets_shared_information_into_csai():
    """u = P = C: given P nothing is left, but a ridge acts as separate noise; README, "What a ridge does"."""
    x = np.random.default_rng(0).standard_normal((50, 4))
    for ridge in (1e-6, 1e-2):
        per_component = -0.5 * math.log2(1 - 1 / (2 + ridge) ** 2)
        found = set_metrics(x, x, x, replace(PLAIN, ridge=ridge))
        assert found["csai"] == pytest.approx(4 * per_component, abs=1e-8)
    with pytest.raises(ValueError, match="singular"):
        set_metrics(x, x, x, PLAIN)


@pytest.mark.parametrize("count, k", [(60, 4), (300, 8)])
def test_bias_of_independent_noise_is_the_one_in_closed_form(count, k):
    rng, config = np.random.default_rng(5), EstimatorConfig(k, ridge=0.0)
    draws = [[rng.standard_normal((count, width)) for width in (40, 12, 20)] for _ in range(60)]
    found = np.array([list(set_metrics(*draw, config).values()) for draw in draws])
    expected = [expected_bias(count, k), expected_bias(count, k, given=k)]
    assert (np.abs(found.mean(axis=0) - expected) < 4 * found.std(axis=0) / math.sqrt(len(draws))).all()
    bias = permutation_baseline(*draws[0], config, num_permutations=60, seed=1)
    for name, theory in zip(("pai", "csai"), expected):
        assert abs(bias[name] - theory) < 4 * bias[f"{name}_std"] / math.sqrt(60)
    assert k * k / (2 * count * math.log(2)) == pytest.approx(expected[0], rel=0.2)  # the rule of thumb of README


def test_permutations_repeat():
    data = chain_data(count=300)
    bias = permutation_baseline(*data, PLAIN, num_permutations=100, seed=7)
    assert bias == permutation_baseline(*data, PLAIN, num_permutations=100, seed=7)
    assert bias != permutation_baseline(*data, PLAIN, num_permutations=100, seed=8)
    assert permutation_baseline(*data, PLAIN, num_permutations=1)["pai_std"] == 0


def test_float32_with_a_gradient_gives_the_same():
    u, phones, meaning = chain_data(count=100)
    single = set_metrics(torch.from_numpy(u).float().requires_grad_(), phones, meaning, EstimatorConfig(3))
    assert single == pytest.approx(set_metrics(u, phones, meaning, EstimatorConfig(3)), abs=1e-4)


NOISE = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(u=NOISE[:19]), "19 encoder outputs, 20 bags of phones and 20 text embeddings"),
        (dict(config=EstimatorConfig(7)), "20 utterances .* for num_components 7, which needs 22.*num_components 6"),
        (dict(phonetic=NOISE[:, :4]), r"bags of phones of shape \(20, 4\) has no 5 .*allowed is 1 to 4"),
        (dict(semantic=NOISE * math.nan), "text embeddings: NaN"),
        (dict(u=NOISE / 0), "encoder outputs u: NaN or infinite.*diverged"),
        (dict(u=NOISE[:, 0]), r"encoder outputs u: expected a \(rows, width\)"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        set_metrics(**{**dict(u=NOISE, phonetic=NOISE, semantic=NOISE, config=EstimatorConfig(5)), **change})


def test_wrong_estimators_are_refused():
    for wrong in (dict(num_components=0), dict(ridge=-1), dict(ridge=math.nan), dict(pooling="max")):
        with pytest.raises(ValueError, match="allowed is"):
            EstimatorConfig(**wrong)
    for wrong in (lambda: pool(NOISE, "max"), lambda: permutation_baseline(NOISE, NOISE, NOISE, EstimatorConfig(5), 0)):
        with pytest.raises(ValueError, match="allowed is"):
            wrong()
    for empty in (torch.zeros(0, 4), NOISE * math.inf):
        with pytest.raises(ValueError, match="frames: "):
            pool(empty)


def test_components_follow_from_the_number_of_utterances():
    sizes = {3: 1, 5: 1, 40: 8, 79: 15, 80: 16, 10**6: 16}
    assert {count: EstimatorConfig.for_utterances(count).num_components for count in sizes} == sizes
