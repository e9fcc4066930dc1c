"""Consistency-regularised CTC (CR-CTC, arXiv 2410.05101): head, augmentation and losses.

A training step follows icefall: warp once, double the batch, mask each copy on its own, encode, `cr_ctc_loss`. One
difference: masks are drawn on the valid length, so a short utterance in a long batch is masked as it would be alone.

Shapes: B utterances, T frames, F mel bins, D encoder width, V tokens (blank is 0), U labels.
"""

from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from espnet_llmasr.asr.modules import Lengths, on_device, on_host, valid_frames

BLANK = 0
HEAD_GAIN = 1.7  # keeps the variance through SiLU; with torch's default CTC needs twice the audio to leave all-blank


class CTCHead(nn.Module):
    """Three-layer MLP, (B, T, D) -> log-probabilities (B, T, V) in fp32.

    The dropout differs between the two views. Besides the masks it is what makes the views differ.
    """

    def __init__(self, input_size: int, vocab_size: int, dropout_rate: float = 0.1):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(input_size, input_size),
            nn.SiLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(input_size, input_size),
            nn.SiLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(input_size, vocab_size),
        )
        for layer in self.net[::3]:
            nn.init.xavier_uniform_(layer.weight, gain=HEAD_GAIN)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.net(hidden).float().log_softmax(dim=-1)


def uniform(shape: Sequence[int], like: Tensor, generator: Optional[Generator]) -> Tensor:
    """U[0, 1) of `shape` on the device of `like`, drawn on the device of the generator if there is one."""
    device = like.device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device).to(like.device)


def time_warp(
    feats: Tensor, lengths: Lengths, factor: int = 80, p: float = 0.9, generator: Optional[Generator] = None
) -> Tensor:
    """Move a random frame of each utterance by up to `factor` frames, stretching both sides bicubically.

    feats (B, T, F) -> (B, T, F), lengths unchanged; frames beyond a length are neither read nor written.
    An utterance is unchanged with probability 1 - p, and if it has at most 2 * factor + 1 frames.
    """
    lengths = on_device(lengths, feats.device)
    chance, where, shift = uniform((3, feats.size(0)), feats, generator)
    room = lengths - 2 * factor - 1
    moved = (chance < p) & (room > 0)
    centre = factor + 1 + (where * room).floor()
    target = centre - factor + (shift * (2 * factor + 1)).floor()
    centre, target = (torch.where(moved, frame, torch.ones_like(frame))[:, None] for frame in (centre, target))
    warped = _resample_sides(feats, lengths[:, None].to(centre), centre, target)
    return torch.where((moved[:, None] & valid_frames(lengths, feats))[..., None], warped, feats)


def _resample_sides(feats: Tensor, lengths: Tensor, centre: Tensor, target: Tensor) -> Tensor:
    """Frames [0, centre) onto [0, target) and [centre, length) onto [target, length), bicubic; all (B, 1).

    The same numbers as torch's bicubic interpolate (A = -0.75, align_corners false) of either side.
    """
    frame = torch.arange(feats.size(1), device=feats.device, dtype=torch.float32)
    left = frame < target
    first, last = torch.where(left, 0, centre), torch.where(left, centre, lengths) - 1
    onto = torch.where(left, 0, target)
    rate = torch.where(left, centre / target, (lengths - centre) / (lengths - target).clamp(min=1))
    source = (frame - onto + 0.5) * rate - 0.5 + first
    total = torch.zeros_like(feats)
    for tap in (-1, 0, 1, 2):
        index = (source.floor() + tap).maximum(first).minimum(last).clamp(0, feats.size(1) - 1).long()
        weight = _cubic(source - source.floor() - tap).to(feats.dtype)
        total = total + weight[..., None] * feats.gather(1, index[..., None].expand_as(feats))
    return total


def _cubic(distance: Tensor) -> Tensor:
    """Cubic convolution kernel with A = -0.75 for distances up to 2."""
    x = distance.abs()
    near = (1.25 * x - 2.25) * x * x + 1
    far = ((-0.75 * x + 3.75) * x - 6) * x + 3
    return torch.where(x <= 1, near, far)


class SpecAugment(nn.Module):
    """Frequency and time masks per utterance, drawn on valid lengths; a mask takes the mean of its feature matrix.

    An utterance is masked with probability p. `time_mask_ratio` is CR-CTC's 2.5: it scales both the number of time
    masks (10 -> 25) and the share of frames they may cover (0.15 -> 0.375). Identity in eval mode.
    """

    def __init__(
        self,
        num_freq_masks: int = 2,
        freq_mask_width: int = 27,
        num_time_masks: int = 10,
        time_mask_width: int = 100,
        time_mask_share: float = 0.15,
        time_mask_ratio: float = 2.5,
        p: float = 0.9,
    ):
        super().__init__()
        self.num_freq_masks, self.freq_mask_width = num_freq_masks, freq_mask_width
        self.num_time_masks, self.time_mask_width = int(num_time_masks * time_mask_ratio), time_mask_width
        self.time_mask_share, self.p = time_mask_share * time_mask_ratio, p

    def forward(self, feats: Tensor, lengths: Lengths, generator: Optional[Generator] = None) -> Tensor:
        """(B, T, F), (B,) -> (B, T, F). Frames beyond a length do not change."""
        if not self.training:
            return feats
        lengths = on_device(lengths, feats.device)
        valid = valid_frames(lengths, feats)[..., None]
        cells = (lengths * feats.size(2)).clamp(min=1)[:, None, None]
        mean = feats.masked_fill(~valid, 0.0).sum(dim=(1, 2), keepdim=True) / cells
        return torch.where(self.masks(feats, lengths, generator) & valid, mean, feats)

    def masks(self, feats: Tensor, lengths: Tensor, generator: Optional[Generator] = None) -> Tensor:
        """(B, T, F) boolean, True where masked. What is drawn does not depend on T."""
        bins = torch.full_like(lengths, feats.size(2))
        freq_width = bins.clamp(max=self.freq_mask_width)
        freq = _spans(bins, freq_width, bins * 0 + self.num_freq_masks, self.num_freq_masks, generator)
        count, width = self.time_mask_limits(lengths)
        time = _spans(lengths, width, count, self.num_time_masks, generator)
        chosen = uniform((len(lengths), 1, 1), lengths, generator) < self.p
        return chosen & (_cover(time, feats.size(1))[:, :, None] | _cover(freq, feats.size(2))[:, None, :])

    def time_mask_limits(self, lengths: Tensor) -> Tuple[Tensor, Tensor]:
        """Number of time masks (B,) and their exclusive maximal width (B,) for these lengths."""
        budget = self.time_mask_share * lengths.double()
        count = (budget / self.time_mask_width).ceil().clamp(1, max(self.num_time_masks, 1))
        return count.long(), (budget // count).clamp(max=self.time_mask_width).long()


def _spans(lengths: Tensor, widths: Tensor, counts: Tensor, slots: int, generator: Optional[Generator]) -> Tensor:
    """(B,) each -> starts and ends (2, B, slots): `counts` spans narrower than `widths` inside each length."""
    size, start = uniform((2, len(lengths), slots), lengths, generator)
    size = (size * widths[:, None]).floor()
    size = size.masked_fill(torch.arange(slots, device=lengths.device) >= counts[:, None], 0.0)
    start = (start * (lengths[:, None] - size)).floor()
    return torch.stack([start, start + size])


def _cover(spans: Tensor, length: int) -> Tensor:
    """(2, B, slots) -> (B, length), True inside any span."""
    position = torch.arange(length, device=spans.device)[:, None]
    start, end = spans[:, :, None, :]
    return ((position >= start) & (position < end)).any(dim=-1)


def ctc_sum(log_probs: Tensor, lengths: Lengths, targets: Tensor, target_lengths: Lengths) -> Tensor:
    """Summed negative log-likelihood of one view: (B, T, V), (B,), (B, U) padded with anything, (B,) -> ().

    Infinite for an utterance with fewer frames than `text.phonemes.min_frames`: data preparation drops those.
    """
    lengths, target_lengths = (on_host(each).tolist() for each in (lengths, target_lengths))
    targets = targets.clamp(min=0)
    return F.ctc_loss(log_probs.transpose(0, 1), targets, lengths, target_lengths, blank=BLANK, reduction="sum")


def enough_frames(lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """(B,), (B, U) padded with anything, (B,) -> (B,): True where CTC can be finite, as `text.phonemes.min_frames`."""
    repeated = (targets[:, 1:] == targets[:, :-1]) & valid_frames(target_lengths, targets)[:, 1:]
    return lengths >= target_lengths + repeated.sum(dim=1)


def cr_ctc_loss(
    log_probs: Tensor, lengths: Lengths, targets: Tensor, target_lengths: Lengths, cr_scale: Union[float, Tensor]
) -> Tuple[Tensor, Tensor]:
    """-> (CTC, cr_scale * consistency), both sums over utterances: divide both by the same number, then add.

    log_probs (2B, T, V) holds the first views, then the second ones. lengths, targets (., U) and target_lengths may
    have B or 2B rows; the second half repeats the first. Each term is half of its sum over both views, so it has the
    size of the term of one view. The consistency is KL(other view, detached || this view), zero on padded frames.
    """
    if len(log_probs) % 2:
        raise ValueError(f"got {len(log_probs)} rows of log_probs, two views need an even number: concatenate them")
    half = len(log_probs) // 2
    lengths, target_lengths = (np.tile(on_host(each)[:half], 2) for each in (lengths, target_lengths))
    ctc = 0.5 * ctc_sum(log_probs, lengths, targets[:half].repeat(2, 1), target_lengths)
    return ctc, cr_scale * 0.5 * consistency_sum(log_probs, lengths)


def consistency_sum(log_probs: Tensor, lengths: Lengths) -> Tensor:
    """Sum over views, valid frames and tokens of KL(stop-gradient(other) || self): (2B, T, V), (2B,) -> ()."""
    padding = ~valid_frames(lengths, log_probs)
    log_probs = log_probs.masked_fill(padding[..., None], 0.0)  # 0 in both views: no divergence, no gradient
    other = log_probs.detach().roll(len(log_probs) // 2, dims=0)  # row i is now the other view of utterance i
    return F.kl_div(log_probs, other, reduction="sum", log_target=True)


def consistency_weight(step: Tensor, warmup_steps: int, scale: float = 0.2) -> Tensor:
    """Linear from 0 at step 0 to `scale` at `warmup_steps`, then constant (icefall: 2000 steps, 0.2); (), fp32.

    The step, a counter in the model, is not read from the accelerator.
    """
    rising = scale * step.double() / max(warmup_steps, 1)
    return torch.where(step >= warmup_steps, scale, rising).float()


def greedy(log_probs: Tensor, lengths: Lengths) -> List[List[int]]:
    """(B, T, V), (B,) -> per utterance the best path with repeats merged and blanks removed."""
    best = log_probs.argmax(dim=-1).cpu()
    merged = (path[:length].unique_consecutive() for path, length in zip(best, on_host(lengths).tolist()))
    return [path[path != BLANK].tolist() for path in merged]


def blank_share(log_probs: Tensor, lengths: Lengths) -> Tensor:
    """Share of valid frames whose best token is blank, ()."""
    return _mean_of_valid((log_probs.argmax(dim=-1) == BLANK).float(), lengths)


def mean_peak_probability(log_probs: Tensor, lengths: Lengths) -> Tensor:
    """Mean over valid frames of the best token's probability, (): 1 is fully peaky CTC."""
    return _mean_of_valid(log_probs.amax(dim=-1).exp(), lengths)


def _mean_of_valid(values: Tensor, lengths: Lengths) -> Tensor:
    """(B, T), (B,) -> ()."""
    return values.masked_fill(~valid_frames(lengths, values), 0.0).sum() / int(on_host(lengths).sum())
