"""NSE against numpy's singular values, by hand, and at its edges."""

import math

import numpy as np
import pytest
import torch

from espnet_llmasr.metrics.spectral_entropy import nse

SHAPES = [(2, 2), (7, 40), (40, 7), (60, 60), (250, 320)]
SPECTRA = {
    "even": lambda d: np.ones(d),
    "falling": lambda d: np.geomspace(1, 1e-3, d),
    "at the limit of squaring": lambda d: np.r_[1, np.full(d - 1, 3.2e-5)],
    "below it": lambda d: np.r_[1, np.full(d - 1, 3e-6)],
    "tiny": lambda d: np.geomspace(1, 1e-12, d),
    "rank 1": lambda d: np.r_[1, np.zeros(d - 1)],
}


def with_spectrum(shape, singular_values, seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((n, min(shape))))[0] for n in shape)
    return (left * singular_values) @ right.T


def equation_7(frames):
    """Eq. 6 and 7 letter by letter, from numpy's SVD."""
    singular_values = np.linalg.svd(np.asarray(frames), compute_uv=False)
    shares = singular_values / singular_values.sum()
    return -sum(share * math.log(share) for share in shares if share > 0) / math.log(min(frames.shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_equation_7_with_numpy_svd(shape, spectrum):
    frames = with_spectrum(shape, SPECTRA[spectrum](min(shape)))
    assert nse(frames).item() == pytest.approx(equation_7(frames), abs=1e-8)


def test_equation_7_by_hand():
    """Singular values 3 and 1: shares 3/4 and 1/4 hold 0.811278 bits, of at most 1."""
    assert nse(torch.tensor([[0.0, 3.0, 0.0], [-1.0, 0.0, 0.0]])).item() == pytest.approx(0.811278124459)
    assert nse(torch.eye(5)).item() == pytest.approx(1, abs=1e-14)
    assert nse(torch.ones(6, 4)).item() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_invariant_to_scale_rotation_and_order(shape):
    frames = with_spectrum(shape, np.geomspace(1, 0.01, min(shape)))
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((shape[1], shape[1])))[0]
    value = nse(frames).item()
    for same in (-1e-3 * frames, 1e200 * frames, 1e-200 * frames, frames @ rotation, frames[::-1].copy()):
        assert nse(same).item() == pytest.approx(value, abs=1e-10)


def test_float64_without_gradient_from_any_input():
    frames = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    value = nse(frames.half().requires_grad_())
    assert value.dtype == torch.float64 and value.dim() == 0 and not value.requires_grad
    assert value == nse(frames.half().numpy())
    assert nse(np.arange(12).reshape(3, 4)).item() == pytest.approx(equation_7(np.arange(12.0).reshape(3, 4)))


@pytest.mark.parametrize("frames", [torch.randn(1, 8), torch.randn(8, 1), torch.zeros(5, 8), torch.zeros(1, 1)])
def test_one_frame_and_silence_are_defined(frames):
    assert nse(frames) == 0 and nse(frames).dtype == torch.float64


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_divergence_is_loud(bad):
    frames = torch.randn(6, 4)
    frames[2, 3] = bad
    with pytest.raises(ValueError, match="diverged"):
        nse(frames)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,), (2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(frames, width\)"):
        nse(torch.zeros(shape))
