"""Speech encoders from a Hugging Face directory: of features filled up to 30 s, of waveforms, of features with a mask."""

from pathlib import Path
from typing import Optional, Tuple

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor

from espnet_llmasr.observe.frames import Frames
from espnet_llmasr.observe.pretrained import load_model

ALLOWED = (
    "Whisper and encoders with its features, wav2vec 2.0, HuBERT, WavLM and their kin, and encoders of features with "
    "a mask (w2v-BERT 2.0, Parakeet, Speech2Text)"
)
MIN_S = 0.1


def open_hugging_face(directory: Path, device: str = "cpu"):
    """The encoder in a directory that `save_pretrained` wrote (model and feature extractor).

    Raises:
        ValueError: it holds no speech encoder that is known here, or a feature extractor of another one.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(directory)
        model = load_model(directory, torch.float32).to(device).eval()
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{directory} holds no speech encoder that can be opened ({error}): {ALLOWED}") from error
    _check_input(directory, model, extractor)
    if hasattr(extractor, "n_samples"):
        return PaddedEncoder(model, extractor, device)
    if hasattr(model, "_get_feat_extract_output_lengths") and "input_values" in extractor.model_input_names:
        return WaveformEncoder(model, extractor, device)
    if model.main_input_name == "input_features" and "attention_mask" in extractor.model_input_names:
        return _tried(directory, MaskedEncoder(model, extractor, device))
    name = AutoConfig.from_pretrained(directory).model_type
    raise ValueError(f"{directory} is a model of type '{name}', allowed are {ALLOWED}")


def _check_input(directory: Path, model: nn.Module, extractor) -> None:
    """Raises ValueError if the feature extractor makes what the model does not take."""
    takes, makes = model.main_input_name, extractor.model_input_names[0]
    if takes == makes == "input_features":
        size = extractor.feature_size
        takes, makes = f"{getattr(model.config, 'num_mel_bins', size)} mel bins", f"{size} mel bins"
    if takes != makes:
        raise ValueError(
            f"{directory}: the model takes {takes}, preprocessor_config.json makes {makes}: it is of another model"
        )


def _tried(directory: Path, encoder: "MaskedEncoder") -> "MaskedEncoder":
    """Raises ValueError if it cannot take a second of sound; its configuration does not say what it takes."""
    try:
        encoder(torch.linspace(-1, 1, encoder.rate))
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{directory}: the model does not take what preprocessor_config.json makes ({error}): it is of another model"
        ) from error
    return encoder


class PaddedEncoder:
    """Whisper's encoder: its input is always filled up to 30 s; only the frames of the audio itself are valid.

    It does not mask the silence that follows, so it hears that too. A frame of the log-mel
    features is one hop of audio, and a convolution of stride 2 makes one encoder frame of two (50 Hz).
    """

    def __init__(self, model: nn.Module, extractor, device: str):
        self.encoder = model.get_encoder() if hasattr(model, "decoder") else model
        self.extractor, self.device, self.rate = extractor, device, extractor.sampling_rate

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio longer than the encoder's input."""
        most = self.extractor.n_samples
        if len(samples) > most:
            raise ValueError(
                f"{len(samples) / self.rate:.1f} s of audio, this encoder takes {most / self.rate:g} s: "
                "leave longer utterances out (--max_duration of the data stage)"
            )
        feats = self.extractor(samples.numpy(), sampling_rate=self.rate, return_tensors="pt").input_features
        found = self.encoder(feats.to(self.device), output_hidden_states=True)
        samples_per_frame = most // found.last_hidden_state.shape[1]
        length = -(-len(samples) // samples_per_frame)
        return Frames([layer[0, :length] for layer in _layers(found)])


class WaveformEncoder:
    """wav2vec 2.0, HuBERT, WavLM: convolutions on the waveform, which the feature extractor may standardise."""

    def __init__(self, model: nn.Module, extractor, device: str):
        self.model, self.extractor, self.device, self.rate = model, extractor, device, extractor.sampling_rate

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio shorter than the convolutions' field of view. Nothing is padded: all is valid."""
        if int(self.model._get_feat_extract_output_lengths(torch.tensor(len(samples)))) < 1:
            raise ValueError(f"{len(samples)} samples are less than one frame of this encoder: leave the utterance out")
        speech = self.extractor(samples.numpy(), sampling_rate=self.rate, return_tensors="pt").input_values
        found = self.model(speech.to(self.device), output_hidden_states=True)
        return Frames([layer[0] for layer in _layers(found)])


class MaskedEncoder:
    """w2v-BERT 2.0, Parakeet, Speech2Text: features with a mask, because the extractor may fill up the last frames."""

    def __init__(self, model: nn.Module, extractor, device: str):
        self.encoder = model.get_encoder() if hasattr(model, "decoder") else model
        self.extractor, self.device, self.rate = extractor, device, extractor.sampling_rate

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Frames:
        """Raises ValueError for audio of less than MIN_S: extractors standardise over time, which needs some frames."""
        if len(samples) < MIN_S * self.rate:
            raise ValueError(
                f"{len(samples)} samples are less than the {MIN_S:g} s that this encoder needs: leave the utterance out"
            )
        inputs = self.extractor(samples.numpy(), sampling_rate=self.rate, return_tensors="pt").to(self.device)
        mask = inputs["attention_mask"]
        found = self.encoder(inputs["input_features"], attention_mask=mask, output_hidden_states=True)
        own = found.get("attention_mask")
        return Frames([layer[0, _valid(own, mask, layer.size(1))] for layer in _layers(found)])


def _valid(own: Optional[Tensor], mask: Tensor, length: int) -> Tensor:
    """(L,) bool, the valid frames of a layer of one utterance.

    They are told by the mask (1, L) that the encoder returns, else by that of its input; of a layer with another number
    of frames all are valid if nothing of the input is padding.

    Raises:
        ValueError: something is, and nothing tells which frames come of it.
    """
    for found in (own, mask):
        if found is not None and found.size(1) == length:
            return found[0].bool()
    if not mask.all():
        raise ValueError(
            f"{mask.size(1)} features become {length} frames, and the model does not say which are padding"
        )
    return torch.ones(length, dtype=torch.bool, device=mask.device)


def _layers(found) -> Tuple[Tensor, ...]:
    """Outputs (1, L, D) of all layers; hidden_states[0] is the input of the first one.

    The last layer is last_hidden_state, because some models apply their final layer norm only there.
    """
    return (*found.hidden_states[1:-1], found.last_hidden_state)
