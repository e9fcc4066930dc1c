"""Encoders of our own trainings, without their CTC head or LLM: a checkpoint's other weights are not even read.

A Qwen3 of billions of parameters would only take memory here.
"""

from pathlib import Path
from typing import Dict

import torch
from torch import Tensor

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.modules import extract_features
from espnet_llmasr.asr.weights import load_state, read_state
from espnet_llmasr.observe.frames import Frames
from espnet_llmasr.tasks.checks import build
from espnet_llmasr.tasks.speech_task import SpeechTask


class CheckpointEncoder:
    """The encoder, and the adaptor if there is one, of phoneme_ctc_train, llm_asr_train or an encoder store.

    Args:
        config: config.yaml of the training (of the pretraining, for a published encoder).
        weights: <n>epoch.pth, or encoder.<step>.pth.

    Raises:
        ValueError: the weights are broken, or not of this encoder.
    """

    def __init__(self, config: Path, weights: Path, device: str = "cpu"):
        args = SpeechTask.config_of(config)
        parts = SpeechTask.build_components(args)
        state = read_state(weights, lazy=True)
        self.frontend, self.normalize, self.encoder = parts["frontend"], parts["normalize"], parts["encoder"]
        self.adaptor, self.device, self.rate = None, device, self.frontend.fs
        load_state(self.encoder, _part(state, "encoder.") or state, weights, config)
        if "adaptor.linear2.weight" in state:
            sizes = dict(input_size=self.encoder.output_size(), output_size=len(state["adaptor.linear2.weight"]))
            self.adaptor = build(ConcatAdaptor, "adaptor_conf", args.adaptor_conf, **sizes)
            load_state(self.adaptor, _part(state, "adaptor."), weights, config)
        for module in (self.frontend, self.normalize, self.encoder, self.adaptor):
            if module is not None:
                module.to(device).eval()

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        speech, lengths = samples[None].to(self.device), torch.tensor([len(samples)], device=self.device)
        feats, lengths = extract_features(speech, lengths, self.frontend, self.normalize)
        layers = self.encoder.forward_layers(feats, lengths)
        if self.adaptor is None:
            return Frames([layer[0] for layer in layers])
        tokens, _ = self.adaptor(layers[-1], self.encoder.output_lengths(lengths))
        return Frames([layer[0] for layer in layers], tokens[0])


def _part(state: Dict[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    """The weights below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
