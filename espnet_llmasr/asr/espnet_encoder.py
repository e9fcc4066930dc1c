"""ESPnet's encoders as `Encoder`s, under the names that their parameters have in ESPnet.

The adapter makes the frames of an utterance independent of its batch mates. In ESPnet's own encoders they depend on
them: ESPnet counts frames that reach into the padding, and its convolutions read the padding. Two parts still depend on
the batch: BatchNorm in training, and the positions of `rel_pos_type: legacy` (conformer's default; set `latest`).

Shapes: B batch, T feature frames, S encoder frames, D encoder width.
"""

from functools import wraps
from typing import Dict, Optional, Tuple, Type

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor, nn

from espnet_llmasr.asr.blocks import blocks_of
from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.modules import Lengths, frames_of, on_device
from espnet_llmasr.audio import Windows
from espnet_llmasr.espnet_versions import quiet_imports

with quiet_imports():
    from espnet2.asr.encoder.conformer_encoder import TooShortUttError

REFUSALS = (TooShortUttError, RuntimeError)  # what ESPnet's encoders raise for an utterance that is too short
MEASURED: Dict[str, Windows] = {}
LONGEST_WINDOW = 1000  # feature frames; no encoder needs more for its first frame


def adapted(base: Type[AbsEncoder]) -> Type[Encoder]:
    """A class that is built as `base` is; its first argument must be input_size."""

    class Adapted(_Adapter, base):
        espnet_class = base

        @wraps(base.__init__)  # so that wrong keys of encoder_conf are found
        def __init__(self, input_size: int, *args, **kwargs):
            super().__init__(input_size, *args, **kwargs)
            self._options = repr((base, input_size, args, sorted(kwargs.items())))
            self._input_size, self._valid = input_size, None
            if not isinstance(self.embed, nn.Sequential):  # a Sequential does not shorten time and takes no mask
                self.embed.register_forward_hook(self._mask_by_length)
            for module in nn.ModuleList(blocks_of(self)).modules():
                if isinstance(module, nn.Conv1d) and module.kernel_size[0] > 1:
                    module.register_forward_pre_hook(self._zero_padding)

    Adapted.__name__ = Adapted.__qualname__ = base.__name__
    return Adapted


class _Adapter(Encoder):
    """The methods of an adapted class that replace ESPnet's own."""

    espnet_class: Type[AbsEncoder]

    def output_size(self) -> int:
        return self.espnet_class.output_size(self)

    @property
    def windows(self) -> Windows:
        """Measured once for all encoders of these options; also for those on fake tensors, which cannot be measured."""
        if self._options not in MEASURED:
            with torch.random.fork_rng(devices=[]):  # some blocks of ESPnet draw numbers even in eval mode
                MEASURED[self._options] = self._measured()
        return MEASURED[self._options]

    def _measured(self) -> Windows:
        """Measured on zeros: the shortest input with one frame is the size; a second frame needs `shift` more.

        Raises:
            ValueError: the encoder takes no input, or longer inputs have another number of frames than these windows.
        """
        size = next((n for n in range(1, LONGEST_WINDOW) if self._num_frames(n)), None)
        if size is None:
            raise ValueError(f"{type(self).__name__} takes no input of this encoder_conf: {self._refusal}")
        shift = next((n for n in range(1, LONGEST_WINDOW) if self._num_frames(size + n) > 1), LONGEST_WINDOW)
        windows = Windows(size, shift)
        for length in (size, size + 5 * shift - 1, size + 5 * shift):
            if self._num_frames(length) != windows.count(length):
                raise ValueError(
                    f"the encoder {type(self).__name__} makes {self._num_frames(length)} frames of {length} feature "
                    "frames; its frames must come at a fixed distance: choose another input_layer"
                )
        return windows

    @torch.no_grad()
    def _num_frames(self, length: int) -> int:
        """Encoder frames of `length` zero frames, 0 if ESPnet refuses them."""
        training, self._valid = self.training, None
        self.eval()
        try:
            zeros = next(self.parameters()).new_zeros(1, length, self._input_size)
            return frames_of(self.espnet_class.forward(self, zeros, torch.tensor([length]))).size(1)
        except REFUSALS as error:
            self._refusal = str(error)  # the reason, if no length is accepted
            return 0
        finally:
            self.train(training)

    def forward(
        self, xs_pad: Tensor, ilens: Lengths, prev_states: Optional[Tensor] = None
    ) -> Tuple[Tensor, Lengths, None]:
        feats = self.trimmed(xs_pad, ilens)
        self._valid = self.valid_outputs(feats, ilens)
        frames = frames_of(self.espnet_class.forward(self, feats, on_device(ilens, feats.device)))
        return frames.masked_fill(~self._valid[..., None], 0.0), self.output_lengths(ilens), None

    def _mask_by_length(self, module: nn.Module, inputs: Tuple[Tensor], output: Tuple[Tensor, Tensor]):
        """Replaces the mask (B, 1, S) behind the subsampling, because ESPnet's own may reach into the padding."""
        return output if self._valid is None else (output[0], self._valid[:, None])

    def _zero_padding(self, module: nn.Module, inputs: Tuple[Tensor]) -> Tuple[Tensor]:
        """Sets the input (B, D, S) of a convolution to zero beyond each utterance, as if the utterance were alone."""
        return inputs if self._valid is None else (inputs[0] * self._valid[:, None],)
