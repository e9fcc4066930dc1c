"""The FireRedASR-AED Conformer: 80 log-mel bins at 100 Hz in, `output_size` wide frames at 25 Hz out.

Parameter names and arithmetic are those of the released FireRedASR-AED encoder (FireRedTeam/FireRedASR), so its state
dict loads one to one. An utterance's result does not depend on its batch mates or on what fills the padding.

Shapes: B batch, T input frames, F mel bins, S encoder frames (about T / 4), D width, H heads, K = D / H.
"""

import math
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.compiler import is_exporting

from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.encoders import FIXED_WINDOWS
from espnet_llmasr.asr.modules import Lengths, valid_frames

SUBSAMPLED = FIXED_WINDOWS["firered_conformer"]  # two convolutions of width 3 and stride 2


class Subsampling(nn.Module):
    """(B, T, F) -> (B, S, D): two strided convolutions, then a projection of channels x remaining bins.

    FireRed also appends 6 zero frames. They add only frames beyond those of `SUBSAMPLED`, so we do not compute them.
    """

    def __init__(self, input_size: int, output_size: int, channels: int = 32):
        super().__init__()
        self.conv = nn.ModuleList(
            [nn.Conv2d(1, channels, 3, 2), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2), nn.ReLU()]
        )
        self.out = nn.Linear(channels * SUBSAMPLED.count(input_size), output_size)

    def forward(self, feats: Tensor) -> Tensor:
        hidden = feats.unsqueeze(1)
        for layer in self.conv:
            hidden = layer(hidden)
        return self.out(hidden.transpose(1, 2).flatten(2))


def sinusoids(size: int, maxlen: int) -> Tensor:
    """Sines and cosines of the distances query - key = maxlen - 1 ... -(maxlen - 1): (2 maxlen - 1, size)."""
    distance = torch.arange(maxlen - 1, -maxlen, -1.0).unsqueeze(1)
    rate = torch.exp(torch.arange(0.0, size, 2) * (-math.log(10000.0) / size))
    return torch.stack([torch.sin(distance * rate), torch.cos(distance * rate)], dim=-1).flatten(1)


class RelativePositions(nn.Module):
    """`sinusoids` as the buffer `pe` (1, 2 maxlen - 1, D) of the release; a longer table is computed when needed."""

    def __init__(self, size: int, maxlen: int):
        super().__init__()
        self.register_buffer("pe", sinusoids(size, maxlen).unsqueeze(0))

    def forward(self, length: int) -> Tensor:
        """The 2S - 1 rows for distances S - 1 ... -(S - 1): (2S - 1, D)."""
        zero = self.pe.size(1) // 2
        if is_exporting() or length > zero + 1:  # a graph of ONNX computes them: its input may be of any length
            return sinusoids(self.pe.size(2), length).to(self.pe)
        return self.pe[0, zero - length + 1 : zero + length]


class FeedForward(nn.Module):
    """Pre-norm feed-forward of width 4D with its own residual; the block adds half of it (half-step)."""

    def __init__(self, size: int, dropout_rate: float):
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(size),
            nn.Linear(size, 4 * size),
            nn.SiLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(4 * size, size),
            nn.Dropout(dropout_rate),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class RelativeAttention(nn.Module):
    """Self-attention of Transformer-XL (arXiv 1901.02860) with one layer norm each for queries, keys and values."""

    def __init__(self, size: int, heads: int, dropout_rate: float):
        super().__init__()
        self.heads = heads
        for name in ("w_qs", "w_ks", "w_vs", "fc", "linear_pos"):
            setattr(self, name, nn.Linear(size, size, bias=False))
        for name in ("layer_norm_q", "layer_norm_k", "layer_norm_v"):
            setattr(self, name, nn.LayerNorm(size))
        self.pos_bias_u = nn.Parameter(torch.empty(heads, size // heads))
        self.pos_bias_v = nn.Parameter(torch.empty(heads, size // heads))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        """x (B, S, D), positions (2S - 1, D), padding (B, S) True on padded keys -> (B, S, D)."""
        query = self.w_qs(self.layer_norm_q(x)).unflatten(-1, (self.heads, -1))
        key = self.w_ks(self.layer_norm_k(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        value = self.w_vs(self.layer_norm_v(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        bias = self.position_bias((query + self.pos_bias_v).transpose(1, 2), positions)
        bias = bias.masked_fill(padding[:, None, None, :], -math.inf)
        query = (query + self.pos_bias_u).transpose(1, 2).to(key.dtype)
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(key.dtype))
        return x + self.dropout(self.fc(context.transpose(1, 2).flatten(2)))

    def position_bias(self, query: Tensor, positions: Tensor) -> Tensor:
        """(B, H, S, K), (2S - 1, D) -> (B, H, S, S): query i against the position row of distance i - j, scaled.

        A row of zeros in front makes the score matrix S x 2S. Read without its first S numbers as S x (2S - 1), row i
        has moved left by S - i: its first S columns are the distances i, i - 1, ... i - S + 1.
        """
        length = query.size(2)
        rows = F.pad(self.linear_pos(positions), (0, 0, 1, 0)).unflatten(-1, (self.heads, -1))
        scores = query @ (rows * rows.size(-1) ** -0.5).permute(1, 2, 0)
        return scores.flatten(2)[..., length:].unflatten(-1, (length, 2 * length - 1))[..., :length]


class Convolution(nn.Module):
    """Pointwise to 4D, GLU to 2D, depthwise, layer norm (kept under its released name `batch_norm`), pointwise to D.

    The pointwise weights have the shape of Conv1d, as in the released state dict, but are applied as matrix products.
    """

    def __init__(self, size: int, kernel_size: int, dropout_rate: float):
        super().__init__()
        self.pre_layer_norm = nn.LayerNorm(size)
        self.pointwise_conv1 = nn.Conv1d(size, 4 * size, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(
            2 * size, 2 * size, kernel_size, padding=kernel_size // 2, groups=2 * size, bias=False
        )
        self.batch_norm = nn.LayerNorm(2 * size)
        self.pointwise_conv2 = nn.Conv1d(2 * size, size, 1, bias=False)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """x (B, S, D), padding (B, S) True beyond the end of an utterance -> (B, S, D)."""
        # The layer norm gives padded frames its bias, which the kernel would carry into the last frames.
        hidden = self.pre_layer_norm(x).masked_fill(padding.unsqueeze(-1), 0.0)
        hidden = F.glu(F.linear(hidden, self.pointwise_conv1.weight.squeeze(-1)), dim=-1)
        hidden = self.depthwise_conv(hidden.transpose(1, 2)).transpose(1, 2)
        hidden = F.silu(self.batch_norm(hidden))
        return x + self.dropout(F.linear(hidden, self.pointwise_conv2.weight.squeeze(-1)))


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, layer norm."""

    def __init__(self, size: int, heads: int, kernel_size: int, dropout_rate: float):
        super().__init__()
        self.ffn1 = FeedForward(size, dropout_rate)
        self.mhsa = RelativeAttention(size, heads, dropout_rate)
        self.conv = Convolution(size, kernel_size, dropout_rate)
        self.ffn2 = FeedForward(size, dropout_rate)
        self.layer_norm = nn.LayerNorm(size)

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        x = 0.5 * x + 0.5 * self.ffn1(x)
        x = self.mhsa(x, positions, padding)
        x = self.conv(x, padding)
        return self.layer_norm(0.5 * x + 0.5 * self.ffn2(x))


class FireRedConformerEncoder(Encoder):
    """(B, T, input_size) normalised log-mel frames -> (B, S, output_size). The defaults are FireRedASR-AED-L.

    `pe_maxlen` (frames of 40 ms) sets the size of the position table in the state dict; longer input is allowed.
    """

    windows = SUBSAMPLED
    interctc_use_conditioning = False  # ESPnet's s2t and slu ask every encoder

    def __init__(
        self,
        input_size: int = 80,
        output_size: int = 1280,
        num_blocks: int = 16,
        attention_heads: int = 20,
        kernel_size: int = 33,
        dropout_rate: float = 0.1,
        pe_maxlen: int = 5000,
    ):
        super().__init__()
        _check_sizes(output_size, attention_heads, kernel_size)
        self._output_size = output_size
        self.input_preprocessor = Subsampling(input_size, output_size)
        self.positional_encoding = RelativePositions(output_size, pe_maxlen)
        self.dropout = nn.Dropout(dropout_rate)
        self.layer_stack = nn.ModuleList(
            ConformerBlock(output_size, attention_heads, kernel_size, dropout_rate) for _ in range(num_blocks)
        )

    def output_size(self) -> int:
        return self._output_size

    @property
    def num_layers(self) -> int:
        return len(self.layer_stack)

    def forward(
        self, xs_pad: Tensor, ilens: Lengths, prev_states: Optional[Tensor] = None
    ) -> Tuple[Tensor, Lengths, None]:
        x, positions, padding, olens = self._embed(xs_pad, ilens)
        for block in self.layer_stack:
            x = block(x, positions, padding)
        return x.masked_fill(padding.unsqueeze(-1), 0.0), olens, None

    def forward_layers(self, xs_pad: Tensor, ilens: Lengths) -> List[Tensor]:
        x, positions, padding, _ = self._embed(xs_pad, ilens)
        outputs = []
        for block in self.layer_stack:
            x = block(x, positions, padding)
            outputs.append(x.masked_fill(padding.unsqueeze(-1), 0.0))
        return outputs

    def _embed(self, xs_pad: Tensor, ilens: Lengths) -> Tuple[Tensor, Tensor, Tensor, Lengths]:
        """-> frames (B, S, D), positions (2S - 1, D), padding (B, S), lengths (B,)."""
        # Masking the features (and not only the frames) keeps NaN in the padding out of the gradients.
        x, olens = self.input_preprocessor(self.trimmed(xs_pad, ilens)), self.output_lengths(ilens)
        positions = self.positional_encoding(x.size(1))
        return self.dropout(x), self.dropout(positions), ~valid_frames(olens, x), olens


def _check_sizes(output_size: int, attention_heads: int, kernel_size: int) -> None:
    if output_size % attention_heads or output_size % 2:
        raise ValueError(
            f"output_size {output_size} must be even and a multiple of attention_heads ({attention_heads}): change one"
        )
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} must be odd: take {kernel_size + 1}")
