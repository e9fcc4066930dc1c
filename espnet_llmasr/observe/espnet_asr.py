"""Encoders of stock ESPnet ASR models (asr_train: config.yaml and weights), of any architecture."""

from pathlib import Path
from typing import List

import torch
from espnet.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from torch import Tensor, nn

from espnet_llmasr.asr.fbank import parse_rate
from espnet_llmasr.observe.frames import Frames

BLOCKS = ("encoders", "layer_stack")  # ESPnet's (Conformer, E-Branchformer, Transformer, ...) and our Conformer's name


class ESPnetEncoder:
    """The encoder of an ESPnet ASR model; forward hooks collect the outputs of its blocks.

    Only the output is measured for an encoder without a list of blocks, with blocks of another frame rate than its
    output, or with streaming (its blocks process the audio in pieces).

    Raises:
        ValueError: the weights do not fit the configuration, or the model takes features instead of audio.
    """

    def __init__(self, config: Path, weights: Path, device: str = "cpu"):
        from espnet_llmasr.register import load_asr  # imports all of ESPnet's ASR task, which tries the network

        model, args = load_asr(config, weights, device)
        if model.frontend is None:
            raise ValueError(f"{config}: this model takes features, not audio: only models with a frontend can be read")
        self.model, self.device, self.rate = model, device, parse_rate(args.frontend_conf.get("fs", 16000))
        self._caught: List[Tensor] = []
        for block in _blocks(model.encoder)[:-1]:
            block.register_forward_hook(lambda module, inputs, output: self._caught.append(_frames(output)))

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio that ESPnet refuses, such as too short for its window or its subsampling."""
        self._caught.clear()
        lengths = torch.tensor([len(samples)], device=self.device)
        try:
            output, lengths = self.model.encode(samples[None].to(self.device), lengths)
        except (TooShortUttError, RuntimeError) as error:
            seconds = len(samples) / self.rate
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({error}): leave it out if short"
            ) from error
        output = _frames(output)
        inner = self._caught if all(layer.shape[:2] == output.shape[:2] for layer in self._caught) else []
        return Frames([layer[0, : int(lengths)] for layer in (*inner, output)])


def _blocks(encoder: nn.Module) -> List[nn.Module]:
    """The blocks of an encoder, the first one first; none if it has no list of them, or cuts the audio (streaming)."""
    if hasattr(encoder, "block_size"):
        return []
    lists = (getattr(encoder, name, None) for name in BLOCKS)
    return next((list(blocks) for blocks in lists if isinstance(blocks, (nn.ModuleList, nn.Sequential))), [])


def _frames(output) -> Tensor:
    """The frames (1, L, D) in the output of a block, which may be nested tuples with position embeddings and masks."""
    while isinstance(output, tuple):
        output = output[0]
    return output
