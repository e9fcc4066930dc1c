"""Normalised spectral entropy of an encoder's output (NSE, Eq. 6 and 7 of arXiv 2604.08003).

L valid frames, D encoder width. All arithmetic is in float64.
"""

import math
from typing import Union

import numpy as np
import torch
from torch import Tensor

SQUARING = 1e-9  # squaring keeps NSE within 1e-8 while the smallest squared singular value is above this, relatively


def nse(frames: Union[Tensor, np.ndarray]) -> Tensor:
    """NSE of the valid frames (L, D) of one utterance, a float64 scalar in [0, 1].

    0 where one direction holds everything, 1 where all d = min(L, D) singular values are equal. The frames are not
    centred, as in the paper, so a large mean is a direction, too. With one frame (or width 1) log d is 0: NSE is 0
    there, as it is for frames that are all 0. Raises ValueError for no frame, and for NaN or infinite values.
    """
    x = torch.as_tensor(frames).detach().double()
    if x.dim() != 2 or not x.numel():
        raise ValueError(f"NSE needs the valid frames (frames, width) of one utterance, got {tuple(x.shape)}")
    size = x.abs().max()
    if not torch.isfinite(size):
        raise ValueError("NSE of frames with NaN or infinite values: the encoder has diverged, check its log")
    if min(x.shape) == 1 or size == 0:
        return torch.zeros_like(size)
    spectrum = _singular_values(x / size)
    return torch.special.entr(spectrum / spectrum.sum()).sum() / math.log(len(spectrum))


def _singular_values(x: Tensor) -> Tensor:
    """(min(L, D),) singular values, by the smaller Gram matrix unless squaring would lose the digits of small ones."""
    tall = x if len(x) > x.shape[1] else x.T  # LAPACK takes several times longer for the transpose
    squares = torch.linalg.eigvalsh(tall.T @ tall)
    return squares.sqrt() if squares[0] > SQUARING * squares[-1] else torch.linalg.svdvals(tall)
