"""Linear centred kernel alignment of two representations of the same frames (Eq. 10 and 12 of arXiv 2604.08003).

1 means equal up to rotation and isotropic scale. `linear_cka` compares the frames of one utterance, `utterance_cka` the
mean frames of many utterances. Shapes: L frames, B utterances, D1 and D2 widths. All arithmetic is in float64.
"""

from typing import Iterable, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

Frames = Union[Tensor, np.ndarray]
CONSTANT = 1e-12  # a representation that varies less than this, relative to its size, counts as constant


def linear_cka(a: Frames, b: Frames) -> Tensor:
    """CKA of (L, D1) and (L, D2), a float64 scalar in [0, 1], by the cheaper of the two equal forms.

    A constant representation (a single frame always is one) has no geometry: 0 against one that varies, 1 against
    another constant one. Raises ValueError for differing numbers of frames, and for NaN or infinite values.
    """
    a, b = _float64(a, b)
    (length, width_a), width_b = a.shape, b.shape[1]
    gram_cost = length * (width_a + width_b)
    feature_cost = width_a**2 + width_b**2 + width_a * width_b
    return gram_cka(a, b) if gram_cost <= feature_cost else feature_cka(a, b)


def layer_cka(layers: Sequence[Frames], references: Sequence[Frames]) -> Tensor:
    """Eq. 12 of every layer of one utterance, (layers,). Raises ValueError for another number of layers or frames."""
    if len(layers) != len(references):
        raise ValueError(
            f"CKA of {len(layers)} layers to {len(references)}, another depth: compare encoders of one architecture"
        )
    return torch.stack([linear_cka(*pair).cpu() for pair in zip(layers, references)])


def gram_cka(a: Frames, b: Frames) -> Tensor:
    """Eq. 12: inner product of the centred (L x L) Gram matrices over their norms."""
    a, b = (_centred(x) for x in _float64(a, b))
    gram_a, gram_b = a @ a.T, b @ b.T
    return _ratio((gram_a * gram_b).sum(), gram_a.norm(), gram_b.norm())


def feature_cka(a: Frames, b: Frames) -> Tensor:
    """The form of Eq. 10: squared norm of the (D1 x D2) cross-covariance over the norms of both covariances."""
    a, b = (_centred(x) for x in _float64(a, b))
    return _ratio((a.T @ b).square().sum(), (a.T @ a).norm(), (b.T @ b).norm())


def utterance_cka(a: Iterable[Frames], b: Iterable[Frames]) -> Tensor:
    """Eq. 10: CKA over the mean frames of B utterances, from their valid frames (L, D1) and (L', D2).

    The means make up for differing lengths, so a layer's frames can be compared with text embeddings. Centred over
    the utterances, which the paper's formula takes for granted. Raises ValueError for differing numbers of utterances.
    """
    a, b = ([torch.as_tensor(x).detach().double().mean(dim=0) for x in side] for side in (a, b))
    if len(a) != len(b) or not a:
        raise ValueError(f"CKA needs the same utterances twice, got {len(a)} and {len(b)}")
    return linear_cka(torch.stack(a), torch.stack(b))


def _float64(a: Frames, b: Frames) -> Tuple[Tensor, Tensor]:
    """Both in float64. Raises ValueError unless they are matrices with as many frames, at least one."""
    a, b = (torch.as_tensor(x).detach().double() for x in (a, b))
    if a.dim() != 2 or b.dim() != 2 or len(a) != len(b) or not len(a):
        raise ValueError(
            f"CKA needs two (frames, width) representations of the same frames, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}: cut the padding and pool to one frame rate first"
        )
    return a, b


def _centred(x: Tensor) -> Tensor:
    """C x with C = I - J / L of Eq. 12; exact zeros where what is left is only rounding."""
    centred = x - x.mean(dim=0)
    return torch.zeros_like(x) if centred.norm() <= CONSTANT * x.norm() else centred


def _ratio(product: Tensor, norm_a: Tensor, norm_b: Tensor) -> Tensor:
    """product / (norm_a * norm_b), defined for constant inputs, refusing NaN and infinity."""
    if not (torch.isfinite(product) and torch.isfinite(norm_a) and torch.isfinite(norm_b)):
        raise ValueError("CKA of a representation with NaN or infinite values: the encoder has diverged, check its log")
    if norm_a == 0 or norm_b == 0:
        return torch.ones_like(product) if norm_a == norm_b else torch.zeros_like(product)
    return product / (norm_a * norm_b)
