"""PAI and CSAI: how much of the phones, and of the meaning beyond them, is linear in an encoder's output.

Eq. 8 and 9 of arXiv 2604.08003 (Appendix B.3). B utterances, L valid frames, D encoder width, V phones, E width of the
text embeddings, k PCA components. All arithmetic is in float64, all information in bits. docs/encoder_analysis.md lists
what the paper leaves open, the choices made here, and their influence on the results.
"""

import math
from dataclasses import dataclass
from typing import List, Tuple, Union

import numpy as np
import torch
from torch import Tensor

Array = Union[Tensor, np.ndarray]
POOLINGS = ("mean_std", "mean")
SINGULAR = 1e-12  # a pivot of the covariance below this, relative to the largest, is only rounding


@dataclass(frozen=True)
class EstimatorConfig:
    """The choices that the paper leaves open.

    Args:
        num_components: k, the size of u, P and C after PCA. The bias grows with k * k / B.
        ridge: lambda, added to the diagonal of the joint covariance, whose diagonal is 1 before.
        pooling: "mean_std" as in the paper, or "mean".

    Raises ValueError for a value that is not allowed.
    """

    num_components: int = 16
    ridge: float = 1e-2
    pooling: str = "mean_std"

    def __post_init__(self):
        if self.num_components < 1:
            raise ValueError(f"num_components is {self.num_components}, allowed is 1 or more (16 is the default)")
        if not 0 <= self.ridge < math.inf:
            raise ValueError(f"ridge is {self.ridge}, allowed is 0 or more (0.01 is the default)")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is '{self.pooling}', allowed is {' or '.join(POOLINGS)}")

    @classmethod
    def for_utterances(cls, count: int) -> "EstimatorConfig":
        """One component for every five utterances, 16 at most: the bias grows with k * k / B."""
        return cls(num_components=max(min(cls.num_components, count // 5), 1))


def pool(frames: Array, pooling: str = "mean_std") -> Tensor:
    """One vector for an utterance, from its valid frames (L, D): (2D,) means and standard deviations, or (D,) means.

    The standard deviation is the biased one (divisor L), so that one frame has 0 and not NaN. Computed in float64, but
    returned in float32 for float32 (or half) frames, so that `project` knows the size of their rounding errors.
    Raises ValueError for another pooling, for no frame, and for NaN or infinite values.
    """
    EstimatorConfig(pooling=pooling)
    x, dtype = _matrix(frames, "frames"), torch.promote_types(_floating(frames).dtype, torch.float32)
    mean = x.mean(dim=0)
    return (mean if pooling == "mean" else torch.cat([mean, (x - mean).square().mean(dim=0).sqrt()])).to(dtype)


def project(x: Array, num_components: int, name: str = "x") -> Tensor:
    """PCA of (B, D) and standardisation: (B, k) scores with mean 0 and variance 1 (divisor B - 1), uncorrelated.

    The score of largest size in each component is positive, so signs repeat. A component whose variance is only
    rounding of x (in the dtype of x) is 0 throughout: standardising it would blow up noise.
    Raises ValueError if k is above min(B - 1, D), and for NaN or infinite values; `name` is for the messages.
    """
    rounding = 8 * torch.finfo(_floating(x).dtype).eps
    x = _matrix(x, name)
    most = min(len(x) - 1, x.shape[1])
    if not 1 <= num_components <= most:
        raise ValueError(
            f"{name} of shape {tuple(x.shape)} has no {num_components} principal components, allowed is 1 to {most}: "
            "take more utterances or a smaller num_components"
        )
    left, spread = _left_singular(x - x.mean(dim=0))
    left, spread = left[:, :num_components], spread[:num_components]
    sign = left.gather(0, left.abs().argmax(dim=0, keepdim=True)).sign()
    return left * sign * (spread > rounding * x.norm()) * math.sqrt(len(x) - 1)


def projected(u: Array, phonetic: Array, semantic: Array, config: EstimatorConfig) -> List[Tensor]:
    """u, P and C, each (B, k); PCA does not look at the order of utterances, so a permutation needs it only once.

    Arguments and errors as of `encoder_metrics.set_metrics`, but for a singular covariance.
    """
    count, k = len(u), config.num_components
    if not count == len(phonetic) == len(semantic):
        raise ValueError(
            f"PAI and CSAI need the same utterances three times, got {count} encoder outputs, {len(phonetic)} bags of "
            f"phones and {len(semantic)} text embeddings"
        )
    if count <= 3 * k:
        raise ValueError(
            f"{count} utterances are too few for num_components {k}, which needs {3 * k + 1} (3 k + 1): take more "
            f"utterances, or num_components {max((count - 1) // 3, 1)} or less"
        )
    names = ("encoder outputs u", "bags of phones", "text embeddings")
    return [project(x, k, name) for x, name in zip((u, phonetic, semantic), names)]


def pai(u: Tensor, phonetic: Tensor, semantic: Tensor, ridge: float) -> float:
    """Phonetically accessible information I(u; P) in bits (Eq. 8); u, P, C (B, k) with mean 0, as `projected` gives."""
    k = u.shape[1]
    return _shared_bits(_covariance(u, phonetic, semantic, ridge)[: 2 * k, : 2 * k])


def csai(u: Tensor, phonetic: Tensor, semantic: Tensor, ridge: float) -> float:
    """Conditional semantically accessible information I(u; C | P) in bits (Eq. 9); arguments as of `pai`."""
    k = u.shape[1]
    covariance = _covariance(u, phonetic, semantic, ridge)
    keep = torch.cat([torch.arange(k), torch.arange(2 * k, 3 * k)]).to(u.device)
    across = covariance[keep, k : 2 * k]
    explained = across @ torch.linalg.solve(covariance[k : 2 * k, k : 2 * k], across.T)
    return _shared_bits(covariance[keep][:, keep] - explained)


def _covariance(u: Tensor, phonetic: Tensor, semantic: Tensor, ridge: float) -> Tensor:
    """The regularised joint covariance (3k, 3k) that both metrics share."""
    q = torch.cat([u, phonetic, semantic], dim=1)
    return q.T @ q / (len(q) - 1) + ridge * torch.eye(q.shape[1], dtype=q.dtype, device=q.device)


def _shared_bits(covariance: Tensor) -> float:
    """Gaussian mutual information of the two halves of (2k, 2k), Eq. 19; clipped at 0, where only rounding is below."""
    k = len(covariance) // 2
    whole, first, second = (_log_det(x) for x in (covariance, covariance[:k, :k], covariance[k:, k:]))
    return max((first + second - whole) / (2 * math.log(2)), 0.0)


def _log_det(covariance: Tensor) -> float:
    """log det of a positive definite matrix by Cholesky."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    pivots = factor.diagonal().square()
    if failed or pivots.min() <= SINGULAR * pivots.max():
        raise ValueError(
            "the joint covariance is singular (a constant component, or one that another predicts exactly): take a "
            "larger ridge (0.01 is the default) or fewer components"
        )
    return pivots.log().sum().item()


def _left_singular(x: Tensor) -> Tuple[Tensor, Tensor]:
    """Left singular vectors (B, min(B, D)) and singular values; a wide matrix is made square first, which is faster."""
    square = torch.linalg.qr(x.T, mode="r").R.T if x.shape[1] > len(x) else x
    return torch.linalg.svd(square, full_matrices=False)[:2]


def _floating(x: Array) -> Tensor:
    x = torch.as_tensor(x).detach()
    return x if x.is_floating_point() else x.double()


def _matrix(x: Array, name: str) -> Tensor:
    """(rows, width) in float64, at least one row, all finite."""
    x = _floating(x).double()
    if x.dim() != 2 or not x.numel():
        raise ValueError(f"{name}: expected a (rows, width) matrix with at least one row, got {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name}: NaN or infinite values; if they come from an encoder it has diverged, see its log")
    return x
