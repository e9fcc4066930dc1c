"""FLOPs of a training batch, forward and backward, from the modules and the batch's padded shape alone.

As torch's counter (torch.utils.flop_counter) does: only matrix products and convolutions count, a multiply-add is 2
FLOPs, padding costs what speech costs, attention is S x S without a causal half. A product a @ b costs in the backward
pass once its forward cost for each of a and b that needs a gradient. So a frozen encoder costs forward only, a
frozen LLM behind a trained adaptor twice its forward, and a trained layer three times.
Attention kernels that compute scores a second time in the backward pass are not charged for it.

Shapes of a `BatchShape` may be numpy arrays: one walk over the modules then counts all batches.
B rows, T feature frames, S encoder frames, P positions of the LLM.
"""

from typing import Iterable, List, NamedTuple, Optional

from torch import nn

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.batch_shape import BatchShape
from espnet_llmasr.asr.conformer import Convolution, FeedForward, FireRedConformerEncoder, RelativeAttention
from espnet_llmasr.asr.llm_asr_model import LLMASRModel
from espnet_llmasr.asr.phoneme_ctc_model import PhonemeCTCModel

GATES = ("gate_up_proj", "gate_proj")
PRE_NORM = {"input_layernorm", "post_attention_layernorm", "mlp.down_proj", "mlp.up_proj"}
PRE_NORM |= {f"mlp.{name}" for name in GATES}
PRE_NORM |= {f"self_attn.{name}" for name in ("qkv_proj", "q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")}
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
MEL_BINS = 80


class Flops(NamedTuple):
    """FLOPs of a batch (whole numbers), or of N batches: int64 arrays (N,)."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        return self.forward + self.backward


class Tally:
    """Adds up FLOPs and follows which values need a gradient: "needs" is a flag of a value, as requires_grad is."""

    def __init__(self):
        self.forward, self.backward = 0, 0

    def product(self, multiply_adds: int, left_needs: bool, right_needs: bool) -> bool:
        """Counts a product of two values; returns whether the result needs a gradient. Not +=: that changes arrays."""
        self.forward = self.forward + 2 * multiply_adds
        self.backward = self.backward + 2 * multiply_adds * (left_needs + right_needs)
        return left_needs or right_needs

    def through(self, modules: Iterable[nn.Module], outputs: int, needs: bool) -> bool:
        """Counts layers one after another that all give `outputs` vectors; returns whether the last needs a gradient.

        Every weight of a linear layer or convolution is used once for each output vector.
        """
        for module in modules:
            if isinstance(module, WEIGHTED):
                self.product(outputs * module.weight.numel(), needs, module.weight.requires_grad)
            needs = needs or is_trained(module)
        return needs


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


def unknown_llm(llm: nn.Module) -> Optional[str]:
    """Names an LLM whose FLOPs cannot be counted, None if they can.

    They cannot if its matrices do not all stand in linear layers that every position passes, if attention has weights
    of its own, or if layers that are not `is_pre_norm` are trained in part, or without a norm or embeddings before them
    that are trained, too.
    """
    layers = getattr(llm.get_decoder(), "layers", nn.ModuleList())
    linear = [name for name, module in layers.named_modules() if isinstance(module, nn.Linear)]
    matrices = [name for name, weight in layers.named_parameters() if weight.dim() > 1]
    odd = [name for name in matrices if name.rpartition(".")[0] not in linear or "experts" in name]
    odd += [name for name, _ in layers.named_parameters() if name.rpartition(".")[0].endswith("attn")]
    if odd or not linear:
        return f"the LLM {type(llm).__name__}" + (f" (layers.{odd[0]})" if odd else "")
    starts_trained = is_trained(llm.get_input_embeddings())
    for number, layer in enumerate(layers):
        trained = {weight.requires_grad for weight in layer.parameters()}
        known = len(trained) == 1 and (hasattr(layer, "input_layernorm") or starts_trained or trained == {False})
        if not (known or is_pre_norm(layer)):
            return f"the LLM {type(llm).__name__} (layers.{number} is trained in part, or behind frozen embeddings)"
    return None


def is_trained(module: nn.Module) -> bool:
    """True if any of its parameters is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())


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


def decoder(tally: Tally, llm: nn.Module, shape: BatchShape, needs: bool) -> None:
    """Any decoder of linear layers, with all query heads over S x S.

    Keys and values shared by query heads (grouped-query attention) save weights, not products.
    """
    positions = shape.rows * shape.positions
    config = llm.config.get_text_config()
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    scores, parts = positions * shape.positions * width, dict(llm.get_decoder().named_children())
    for layer in parts.pop("layers"):
        needs = (pre_norm_layer if is_pre_norm(layer) else any_layer)(tally, layer, positions, scores, needs)
    after = [part for part in parts.values() if not isinstance(part, nn.Embedding)]  # the final norm
    tally.through([*after, llm.get_output_embeddings()], positions, needs)


def any_layer(tally: Tally, layer: nn.Module, positions: int, scores: int, needs: bool) -> bool:
    """A layer of which all is trained or nothing, as `unknown_llm` says."""
    needs = needs or is_trained(layer)
    for module in layer.modules():
        if isinstance(module, nn.Linear):
            tally.product(positions * module.weight.numel(), needs, module.weight.requires_grad)
    tally.product(scores, needs, needs)  # queries and keys
    tally.product(scores, needs, needs)  # weights and values
    return needs


def pre_norm_layer(tally: Tally, layer: nn.Module, positions: int, scores: int, needs: bool) -> bool:
    """A layer as Llama's, Qwen's and Phi-3's, whatever parts of it are trained."""
    attention, mlp = layer.self_attn, layer.mlp
    into = needs or is_trained(layer.input_layernorm)
    query, key, value = (
        tally.through(parts_of(attention, *names), positions, into)
        for names in (("qkv_proj", "q_proj", "q_norm"), ("k_proj", "k_norm"), ("v_proj",))
    )
    if hasattr(attention, "qkv_proj"):
        key = value = query
    context = tally.product(scores, tally.product(scores, query, key), value)
    needs = tally.through([attention.o_proj], positions, context) or needs
    into = needs or is_trained(layer.post_attention_layernorm)
    gate, up = (tally.through(parts_of(mlp, *names), positions, into) for names in (GATES, ("up_proj",)))
    return tally.through([mlp.down_proj], positions, gate or up) or needs


def is_pre_norm(layer: nn.Module) -> bool:
    """Whether a layer has the parts of PRE_NORM and no others, and both norms, as those without parallel branches."""
    names = {name.rpartition(".")[0] for name, _ in layer.named_parameters()}
    needed = {"input_layernorm", "post_attention_layernorm", "self_attn.o_proj", "mlp.down_proj"}
    return needed <= names <= PRE_NORM


def parts_of(module: nn.Module, *names: str) -> List[nn.Module]:
    """Those of its parts that it has."""
    return [getattr(module, name) for name in names if hasattr(module, name)]


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
