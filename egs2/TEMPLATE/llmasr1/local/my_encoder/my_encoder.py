"""An encoder of a convolution and linear blocks, to be replaced by your own: only the interface matters here.

Shapes: B batch, T feature frames, F feature bins, S encoder frames, D encoder width.
"""

from torch import nn

from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.audio import Windows


class MyEncoder(Encoder):
    """(B, T, F) features -> (B, S, D) frames of twice the distance; `encoder_conf` holds the other arguments."""

    windows = Windows(size=3, shift=2)  # frame s sees the feature frames [2 s, 2 s + 3)

    def __init__(self, input_size: int, output_size: int = 256, num_blocks: int = 4):
        super().__init__()
        self.embed = nn.Conv1d(input_size, output_size, kernel_size=3, stride=2)
        blocks = (nn.Sequential(nn.Linear(output_size, output_size), nn.ReLU()) for _ in range(num_blocks))
        self.layer_stack = nn.ModuleList(blocks)  # the name by which the blocks are found, for CKA for example

    def output_size(self) -> int:
        return self.embed.out_channels

    def forward(self, xs_pad, ilens, prev_states=None):
        longest = self.longest(ilens)  # refuses utterances that are too short
        hidden, olens = self.embed(xs_pad[:, :longest].transpose(1, 2)).transpose(1, 2), self.output_lengths(ilens)
        for block in self.layer_stack:
            hidden = block(hidden)
        return hidden.masked_fill(~valid_frames(olens, hidden)[..., None], 0.0), olens, None
