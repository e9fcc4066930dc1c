"""The speech adaptor between encoder and LLM.

B batch, T encoder frames, D encoder width, L' speech tokens, E LLM width.
"""

from typing import Tuple

import torch
from torch import nn

from espnet_llmasr.asr.modules import Lengths, valid_frames


class ConcatAdaptor(nn.Module):
    """Concatenates `downsample` frames and applies a two-layer MLP (Eq. 3; paper appendix A.2: 25 Hz -> 6.25 Hz).

    The last group of an utterance is padded with zeros: no frame is lost, and batch mates have no effect.
    Parameter names are those of FireRedASR-LLM (linear1, relu, linear2).
    """

    def __init__(self, input_size: int, output_size: int, downsample: int = 4):
        super().__init__()
        self.downsample = downsample
        self.linear1 = nn.Linear(input_size * downsample, output_size)
        self.relu = nn.ReLU()
        self.linear2 = nn.Linear(output_size, output_size)

    def forward(self, x: torch.Tensor, lengths: Lengths) -> Tuple[torch.Tensor, Lengths]:
        """x (B, T, D), lengths (B,) -> (B, L', E), (B,) with L' = ceil(T / downsample)."""
        x = x * valid_frames(lengths, x)[..., None]
        x = nn.functional.pad(x, (0, 0, 0, -x.size(1) % self.downsample))
        x = x.unflatten(1, (-1, self.downsample)).flatten(2)
        return self.linear2(self.relu(self.linear1(x))), self.output_lengths(lengths)

    def output_lengths(self, lengths):
        """Speech tokens for numbers of encoder frames (int, array or tensor)."""
        return -(-lengths // self.downsample)
