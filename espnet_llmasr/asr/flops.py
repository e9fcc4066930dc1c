"""FLOPs of a training batch, forward and backward, from the modules and the batch's padded shape alone.

As torch's counter (torch.utils.flop_counter) does: only matrix products and convolutions count, a multiply-add is 2
FLOPs, padding costs what speech costs, attention is S x S without a causal half. A product a @ b costs in the backward
pass once its forward cost for each of a and b that needs a gradient. So a frozen encoder costs forward only, a
frozen LLM behind a trained adaptor twice its forward, and a trained layer three times.
Attention kernels that compute scores a second time in the backward pass are not charged for it.

Shapes of a `BatchShape` may be numpy arrays: one walk over the modules then counts all batches.
B rows, T feature frames, S encoder frames, P positions of the LLM.
"""

from typing import Optional

from torch import nn

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.batch_shape import BatchShape
from espnet_llmasr.asr.conformer import Convolution, FeedForward, FireRedConformerEncoder, RelativeAttention
from espnet_llmasr.asr.llm_asr_model import LLMASRModel
from espnet_llmasr.asr.llm_flops import decoder, unknown_llm
from espnet_llmasr.asr.phoneme_ctc_model import PhonemeCTCModel
from espnet_llmasr.asr.tally import Flops, Tally, is_trained

MEL_BINS = 80


def flops(model: nn.Module, shape: BatchShape) -> Flops:
    """FLOPs of one training batch of `model` (in training mode: with both views of CR-CTC).

    Raises:
        ValueError: a part of the model is of a kind whose FLOPs are not known here.
    """
    check(unknown_part(model))
    tally = Tally()
    MODELS[type(model)](tally, model, shape)
    return Flops(tally.forward, tally.backward)


def forward_flops(encoder: nn.Module, shape: BatchShape, mel_bins: int = MEL_BINS) -> int:
    """FLOPs of one forward pass of an encoder alone on rows x frames of features.

    Raises:
        ValueError: the encoder is of a kind whose FLOPs are not known here.
    """
    check(unknown_encoder(encoder))
    tally = Tally()
    ENCODERS[type(encoder)](tally, encoder, shape, mel_bins)
    return tally.forward


def check(unknown: Optional[str]) -> None:
    """Raises ValueError for a part whose FLOPs are not known."""
    if unknown:
        raise ValueError(f"no FLOPs are known for {unknown}: add it to espnet_llmasr/asr/flops.py")


def unknown_part(model: nn.Module) -> Optional[str]:
    """Names a part of the model whose FLOPs cannot be counted, None if there is none."""
    if type(model) not in MODELS:
        return f"the model {type(model).__name__}"
    if isinstance(model, LLMASRModel):
        adaptor = None if type(model.adaptor) is ConcatAdaptor else f"the adaptor {type(model.adaptor).__name__}"
        return unknown_encoder(model.encoder) or adaptor or unknown_llm(model.llm)
    return unknown_encoder(model.encoder)


def unknown_encoder(encoder: nn.Module) -> Optional[str]:
    """Names an encoder whose FLOPs cannot be counted, None if they can."""
    return None if type(encoder) in ENCODERS else f"the encoder {type(encoder).__name__}"


def phoneme_ctc(tally: Tally, model: PhonemeCTCModel, shape: BatchShape) -> None:
    """Features once, encoder and CTC head on each view."""
    filterbank(tally, model, shape)
    views = shape._replace(rows=shape.rows * model.num_views)
    needs, frames = ENCODERS[type(model.encoder)](tally, model.encoder, views, model.frontend.output_size())
    tally.through(model.ctc_head.net, views.rows * frames, needs)


def llm_asr(tally: Tally, model: LLMASRModel, shape: BatchShape) -> None:
    """Encoder, adaptor, and the LLM over all positions (prompt, speech, target, padding)."""
    filterbank(tally, model, shape)
    needs, frames = ENCODERS[type(model.encoder)](tally, model.encoder, shape, model.frontend.output_size())
    tokens = -(-frames // model.adaptor.downsample)
    needs = tally.through(model.adaptor.children(), shape.rows * tokens, needs)
    decoder(tally, model.llm, shape, needs or is_trained(model.llm.get_input_embeddings()))


def filterbank(tally: Tally, model: nn.Module, shape: BatchShape) -> None:
    """The mel triangles are a matrix product (the Fourier transform before it is none)."""
    tally.product(shape.rows * shape.frames * model.frontend.mel.numel(), False, False)


def firered_conformer(tally: Tally, encoder: FireRedConformerEncoder, shape: BatchShape, mel_bins: int):
    """-> whether the frames need a gradient, and the number S of frames."""
    length, bins, needs = shape.frames, mel_bins, False
    for layer in encoder.input_preprocessor.conv:
        if isinstance(layer, nn.Conv2d):
            length, bins = (strided_length(n, layer, axis) for axis, n in enumerate((length, bins)))
            needs = tally.through([layer], shape.rows * length * bins, needs)
    frames = shape.rows * length
    needs = tally.through([encoder.input_preprocessor.out], frames, needs)
    for block in encoder.layer_stack:
        needs = feed_forward(tally, block.ffn1, frames, needs)
        needs = relative_attention(tally, block.mhsa, shape.rows, length, needs)
        needs = convolution(tally, block.conv, frames, needs)
        needs = feed_forward(tally, block.ffn2, frames, needs) or is_trained(block.layer_norm)
    return needs, length


def strided_length(length: int, layer: nn.Conv2d, axis: int) -> int:
    """Outputs of a convolution without padding along an axis."""
    return (length - layer.kernel_size[axis]) // layer.stride[axis] + 1


def feed_forward(tally: Tally, module: FeedForward, frames: int, needs: bool) -> bool:
    return tally.through(module.net, frames, needs)


def convolution(tally: Tally, module: Convolution, frames: int, needs: bool) -> bool:
    layers = (module.pre_layer_norm, module.pointwise_conv1, module.depthwise_conv, module.batch_norm)
    return tally.through([*layers, module.pointwise_conv2], frames, needs)


def relative_attention(tally: Tally, module: RelativeAttention, rows: int, length: int, needs: bool) -> bool:
    """Position scores are computed on 2S columns, their 2S - 1 rows once for the batch and without input gradient."""
    frames, width = rows * length, module.w_qs.out_features
    query = tally.through([module.layer_norm_q, module.w_qs], frames, needs)
    key = tally.through([module.layer_norm_k, module.w_ks], frames, needs)
    value = tally.through([module.layer_norm_v, module.w_vs], frames, needs)
    position = tally.through([module.linear_pos], 2 * length - 1, False)
    bias = tally.product(frames * 2 * length * width, query or module.pos_bias_v.requires_grad, position)
    scores = tally.product(frames * length * width, query or module.pos_bias_u.requires_grad, key)
    context = tally.product(frames * length * width, bias or scores, value)
    return tally.through([module.fc], frames, context) or needs


MODELS = {PhonemeCTCModel: phoneme_ctc, LLMASRModel: llm_asr}
ENCODERS = {FireRedConformerEncoder: firered_conformer}
