"""Encoders of stock ESPnet ASR models (asr_train: config.yaml and weights), of any architecture."""

from pathlib import Path

import torch
from torch import Tensor

from espnet_llmasr.asr.espnet_encoder import REFUSALS, blocks_of
from espnet_llmasr.asr.fbank import parse_rate
from espnet_llmasr.asr.modules import frames_of, outputs_of
from espnet_llmasr.observe.frames import Frames


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

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio that ESPnet refuses, such as too short for its window or its subsampling."""
        lengths = torch.tensor([len(samples)], device=self.device)
        try:
            with outputs_of(blocks_of(self.model.encoder)[:-1]) as inner:
                output, lengths = self.model.encode(samples[None].to(self.device), lengths)
        except REFUSALS as error:
            seconds = len(samples) / self.rate
            raise ValueError(
                f"this encoder refuses {seconds:.3f} s of audio ({error}): leave it out if short"
            ) from error
        output = frames_of(output)
        if any(layer.shape[:2] != output.shape[:2] for layer in inner):
            inner = []
        return Frames([layer[0, : int(lengths)] for layer in (*inner, output)])
