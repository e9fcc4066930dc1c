"""Speech encoders of transformers as `Encoder`s: Whisper, wav2vec 2.0 with its kin, and w2v-BERT 2.0; all have 50 Hz.

`config` in encoder_conf is the model's own configuration, so that a model is built from config.yaml alone and nothing
is downloaded. `bin.prepare_encoder` writes it, and the weights of a released model.

An utterance's frames are the same alone and in a batch: attention is masked, and convolutions read zeros beyond it.
transformers' own random masks and dropped layers are off, since they draw from numpy and differ between ranks.

Shapes: B batch, T feature frames, F values of a frame, S encoder frames, D encoder width, C channels.
"""

import math
from abc import abstractmethod
from itertools import accumulate
from operator import mul
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from espnet_llmasr.asr.cr_ctc import SpecAugment
from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.modules import Lengths, frames_of, on_device, on_host, valid_frames
from espnet_llmasr.audio import Windows

MASK_WIDTH = 50  # encoder frames of the widest mask of `Wav2Vec2`: 1 s, as SpecAugment's


class HuggingFaceEncoder(Encoder):
    """Base of the three: a subclass builds the model from its configuration and computes the frames.

    Attributes:
        model_types: the names of configurations that it takes. width: F.
    """

    model_types: Tuple[str, ...]
    width: int
    flops_known = False

    def __init__(self, input_size: int, config: Optional[dict] = None):
        super().__init__()
        config = dict(config or {})
        kind = config.pop("model_type", None)
        if kind not in self.model_types:
            raise ValueError(
                f"--encoder_conf has a config of model_type '{kind}', allowed are {', '.join(self.model_types)}: "
                "bin.prepare_encoder writes the configuration of a released model"
            )
        self.model = self.build(AutoConfig.for_model(kind, **config))
        if input_size != self.width:
            raise ValueError(f"the encoder {kind} reads {self.width} values a frame, the frontend makes {input_size}")

    @abstractmethod
    def build(self, config: PretrainedConfig) -> PreTrainedModel:
        """The model with random weights; sets `windows`, and `width` if it depends on the configuration."""

    @abstractmethod
    def frames(self, feats: Tensor, lengths: np.ndarray, valid: Tensor) -> Tensor:
        """(B, T, F), zero beyond lengths (B,), and which encoder frames exist (B, S) -> (B, S, D)."""

    @property
    def layer_stack(self) -> nn.ModuleList:
        """The blocks, under the name by which `blocks_of` finds them."""
        return getattr(self.model, "encoder", self.model).layers

    def output_size(self) -> int:
        return self.model.config.hidden_size

    def forward(
        self, xs_pad: Tensor, ilens: Lengths, prev_states: Optional[Tensor] = None
    ) -> Tuple[Tensor, Lengths, None]:
        feats = self.trimmed(xs_pad, ilens)
        valid = self.valid_outputs(feats, ilens)
        frames = self.frames(feats, on_host(ilens), valid)
        return frames.masked_fill(~valid[..., None], 0.0), self.output_lengths(ilens), None


class Whisper(HuggingFaceEncoder):
    """Whisper's encoder; attention sees the utterance only, not the silence up to 30 s that Whisper was trained with."""

    model_types, needs_frontend = ("whisper",), "whisper"
    windows = Windows(1, 2)  # the frames that stand in the middle of the convolutions

    def build(self, config: PretrainedConfig) -> PreTrainedModel:
        config.encoder_layerdrop, config._attn_implementation = 0.0, "sdpa"
        self.width = config.num_mel_bins
        return WhisperEncoder(config)

    def longest(self, ilens: Lengths) -> int:
        longest, most = super().longest(ilens), 2 * self.model.max_source_positions
        if longest > most:
            raise ValueError(
                f"an utterance has {longest} feature frames, Whisper takes {most} ({most / 100:g} s): lower "
                "--max_duration of the data stage, or max_pad_s and speed of --augment_conf"
            )
        return longest

    def frames(self, feats: Tensor, lengths: np.ndarray, valid: Tensor) -> Tensor:
        model, gelu = self.model, nn.functional.gelu
        hidden = gelu(model.conv1(feats.transpose(1, 2)))
        hidden = hidden * valid_frames(lengths, feats)[:, None]  # the next convolution reads over the end
        hidden = gelu(model.conv2(hidden)).transpose(1, 2) + model.embed_positions.weight[: valid.size(1)]
        hidden = nn.functional.dropout(hidden, model.dropout, model.training)
        for layer in model.layers:
            hidden = frames_of(layer(hidden, valid[:, None, None]))
        return model.layer_norm(hidden)


class Wav2Vec2(HuggingFaceEncoder):
    """wav2vec 2.0, HuBERT, WavLM and UniSpeech read the waveform.

    Not data2vec-audio: its stack of position convolutions reads what lies beyond a short utterance of a batch.

    Args:
        standardise: each utterance gets mean 0 and variance 1 first ("do_normalize" of the model's extractor).
        time_mask_share: in training, about this share of the frames behind the convolutions is replaced by the model's
            mask embedding (SpecAugment's time masks; it is what makes the views of CR-CTC differ). 0: none.
    """

    model_types = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
    needs_frontend, width = "waveform", 160

    def __init__(
        self, input_size: int, config: Optional[dict] = None, standardise: bool = True, time_mask_share: float = 0.15
    ):
        super().__init__(input_size, config)
        self.standardise = standardise
        self.masks = SpecAugment(0, 0, time_mask_width=MASK_WIDTH, time_mask_share=time_mask_share, time_mask_ratio=1)

    def build(self, config: PretrainedConfig) -> PreTrainedModel:
        if getattr(config, "add_adapter", False):
            raise ValueError("--encoder_conf has a config with add_adapter, which shortens time again: set it to false")
        config.layerdrop, config.apply_spec_augment = 0.0, False
        config.mask_time_prob = config.mask_time_prob or 0.05  # with 0 there would be no mask embedding
        strides = [1, *accumulate(config.conv_stride, mul)]
        size = 1 + sum((kernel - 1) * stride for kernel, stride in zip(config.conv_kernel, strides))
        if strides[-1] % self.width:
            raise ValueError(f"conv_stride makes a frame of {strides[-1]} samples, expected a multiple of 10 ms (160)")
        self.windows = Windows(math.ceil(size / self.width), strides[-1] // self.width)
        return AutoModel.from_config(config, dtype=torch.float32)

    def frames(self, feats: Tensor, lengths: np.ndarray, valid: Tensor) -> Tensor:
        waveform, samples = feats.flatten(1), lengths * self.width
        if self.standardise:
            waveform = standardised(waveform[..., None], samples, unbiased=False)[..., 0]
        hidden = frames_of(self.model.feature_projection(self.convolved(waveform, samples)))
        if self.training and self.masks.time_mask_share:
            olens = on_device(self.output_lengths(lengths), hidden.device)
            masked = self.masks.masks(hidden, olens)[..., :1]
            hidden = torch.where(masked, self.model.masked_spec_embed.to(hidden.dtype), hidden)
        return self.model.encoder(hidden, attention_mask=valid).last_hidden_state

    def convolved(self, waveform: Tensor, samples: np.ndarray) -> Tensor:
        """(B, N), (B,) -> (B, S, C). A group norm takes the mean over time: such utterances are computed alone."""
        extract = self.model.feature_extractor
        if self.model.config.feat_extract_norm != "group":
            return extract(waveform).transpose(1, 2)
        rows = zip(waveform, samples.tolist())
        return pad_sequence([extract(row[None, :length])[0].T for row, length in rows], batch_first=True)


class Wav2Vec2BERT(HuggingFaceEncoder):
    """w2v-BERT 2.0 on Kaldi's filterbank, with mean 0 and variance 1 in each bin of an utterance, two frames a vector.

    The standardisation undoes global_mvn, which may therefore stay on.
    """

    model_types, needs_frontend, windows = ("wav2vec2-bert",), "kaldi_fbank", Windows(2, 2)

    def build(self, config: PretrainedConfig) -> PreTrainedModel:
        if config.add_adapter:
            raise ValueError("--encoder_conf has a config with add_adapter, which shortens time again: set it to false")
        config.layerdrop = config.mask_time_prob = config.mask_feature_prob = 0.0
        self.width = config.feature_projection_input_dim // 2
        return AutoModel.from_config(config, dtype=torch.float32)

    def frames(self, feats: Tensor, lengths: np.ndarray, valid: Tensor) -> Tensor:
        feats = standardised(feats, lengths, unbiased=True)
        pairs = feats[:, : 2 * valid.size(1)].unflatten(1, (-1, 2)).flatten(2)
        return self.model(pairs, attention_mask=valid).last_hidden_state


def standardised(x: Tensor, lengths: np.ndarray, unbiased: bool) -> Tensor:
    """x (B, T, F), zero beyond lengths (B,) -> mean 0 and variance 1 over the time of each utterance, zero beyond."""
    valid, count = valid_frames(lengths, x)[..., None], on_device(lengths, x.device)[:, None, None]
    centred = (x - x.sum(1, keepdim=True) / count).masked_fill(~valid, 0.0)
    variance = centred.square().sum(1, keepdim=True) / (count - int(unbiased)).clamp(min=1)
    return centred / (variance + 1e-7).sqrt()
