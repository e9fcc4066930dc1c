"""CKA against the explicit Eq. 12, its invariances, and its two forms against each other."""

import math

import numpy as np
import pytest
import torch

from espnet_llmasr.metrics.cka import feature_cka, gram_cka, layer_cka, linear_cka, utterance_cka


def frames(length, width, seed=0):
    """Frames with a mean far from 0 and a few strong directions, as encoders give."""
    generator = torch.Generator().manual_seed(seed)
    strength = torch.logspace(1, -2, width, dtype=torch.float64)
    return torch.randn(length, width, generator=generator, dtype=torch.float64) * strength + 5.0


def related(length, width_a, width_b, seed=0):
    a = frames(length, width_a, seed)
    return a, a @ frames(width_a, width_b, seed + 1) + 100 * frames(length, width_b, seed + 2)


def equation_12(a, b):
    """The paper's Eq. 12 letter by letter, in numpy with the centring matrix."""
    length = len(a)
    centring = np.eye(length) - np.ones((length, length)) / length
    gram_a, gram_b = (centring @ x @ x.T @ centring for x in (np.asarray(a), np.asarray(b)))
    return (gram_a * gram_b).sum() / math.sqrt((gram_a * gram_a).sum() * (gram_b * gram_b).sum())


def rotation(width, seed=7):
    return torch.linalg.qr(frames(width, width, seed) - 5.0)[0]


SHAPES = [(5, 16, 16), (60, 8, 24), (40, 40, 40), (200, 12, 6), (250, 320, 160)]
LENGTHS = {3: (4, 9, 2, 7), 5: (3, 1, 8, 5)}


@pytest.mark.parametrize("shape", SHAPES)
def test_equation_12_with_the_centring_matrix_in_every_form(shape):
    a, b = related(*shape)
    assert 0.001 < equation_12(a, b) < 0.999
    for form in (linear_cka, gram_cka, feature_cka):
        assert form(a, b).item() == pytest.approx(equation_12(a, b), abs=1e-10)
    assert linear_cka(a, b) in (gram_cka(a, b), feature_cka(a, b))


def test_equation_10_by_hand():
    """Centred a = (-1, 0, 1), b = (-1, -1, 2): (a.b)^2 / (a.a b.b) = 9 / 12."""
    assert linear_cka(np.array([[1.0], [2], [3]]), np.array([[0.0], [0], [3]])).item() == pytest.approx(0.75)


@pytest.mark.parametrize("shape", SHAPES)
def test_invariant_to_rotation_scale_and_offset(shape):
    a, b = related(*shape)
    moved = linear_cka(3e4 * a @ rotation(a.shape[1]) - 17, -0.01 * b @ rotation(b.shape[1]) + 4)
    assert moved.item() == pytest.approx(linear_cka(a, b).item(), abs=1e-10)
    assert linear_cka(a, 2 * a @ rotation(a.shape[1])).item() == pytest.approx(1.0, abs=1e-10)


def test_symmetric_and_float64_from_any_input():
    a, b = related(30, 8, 8)
    assert linear_cka(a, b).item() == pytest.approx(linear_cka(b, a).item(), abs=1e-14)
    half = linear_cka(a.half().requires_grad_(), b.numpy().astype(np.float32))
    assert half.dtype == torch.float64 and not half.requires_grad


def test_every_layer():
    layers, others = zip(*(related(30, 8, width, seed=width) for width in (4, 12)))
    assert layer_cka(layers, others).tolist() == [linear_cka(*pair).item() for pair in zip(layers, others)]
    with pytest.raises(ValueError, match="CKA of 2 layers to 1, another depth"):
        layer_cka(layers, others[:1])


def test_equation_10_over_mean_frames():
    """Means of widths 3 and 5 from other numbers of frames, against Eq. 10 in numpy with centred columns."""
    sides = [[frames(length, width, seed=length).numpy() for length in lengths] for width, lengths in LENGTHS.items()]
    x, y = (np.stack([frame.mean(axis=0) for frame in side]) for side in sides)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    assert utterance_cka(*sides).item() == pytest.approx(expected, abs=1e-10)
    assert utterance_cka(iter(sides[0]), map(torch.from_numpy, sides[1])) == utterance_cka(*sides)
    with pytest.raises(ValueError, match="same utterances twice, got 4 and 3"):
        utterance_cka(sides[0], sides[1][:3])


@pytest.mark.parametrize("constant", [torch.full((20, 6), 0.1), torch.zeros(20, 6)])
def test_constant_representations_are_defined(constant):
    varying = frames(20, 4)
    for form in (linear_cka, gram_cka, feature_cka):
        assert form(constant, varying) == form(varying, constant) == 0
        assert form(constant, constant[:, :3] * 3) == 1
    assert linear_cka(frames(1, 4), frames(1, 4, seed=1)) == 1  # a single frame is constant


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_loud(bad):
    a, b = related(20, 4, 4)
    b[3, 2] = bad
    for form in (linear_cka, gram_cka, feature_cka):
        with pytest.raises(ValueError, match="diverged"):
            form(a, b)


@pytest.mark.parametrize("a, b", [((3, 4), (5, 4)), ((0, 4), (0, 4)), ((2, 3, 4), (2, 3, 4))])
def test_other_frames_are_refused(a, b):
    with pytest.raises(ValueError, match="same frames"):
        linear_cka(torch.zeros(a), torch.zeros(b))
