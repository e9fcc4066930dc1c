"""FLOPs of a training batch, forward and backward, from the modules' weights and the batch's padded shape.

A multiply-add is 2 FLOPs, and padding costs what speech costs. A matrix of N weights costs 2 N for each vector that it
is applied to, once more for its own gradient if it is trained, and once more for the gradient of its input if anything
before it is trained. A frozen encoder therefore costs one forward pass, a frozen LLM behind a trained adaptor two, and
a trained layer three. Attention counts the scores that are computed: all of an LLM's row of W x W, without
FlashAttention (asr/attention.py). Norms, activations and the Fourier transform do not count.
tests/asr/test_flops.py holds the result within 3 % of torch's own counter.

The numbers of a `BatchShape` may be numpy arrays: one walk over the weights then counts all batches.
"""

from typing import Dict, Iterator, NamedTuple, Optional, Tuple

from torch import nn

from espnet_llmasr.asr import attention
from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.modules import Lengths, is_trained, on_host


class BatchShape(NamedTuple):
    """The padded sizes of a batch, which decide what it costs: whole numbers, or int64 arrays (N,) of N batches.

    Attributes:
        rows: utterances. frames: feature frames of the longest.
        places: of the LLM's rows. scores: of each head of its attention. labels: at which logits are computed.
    """

    rows: int
    frames: int
    places: int = 0
    scores: int = 0
    labels: int = 0


def shape_of(model: nn.Module, frame_lengths: Lengths, **batch: Lengths) -> BatchShape:
    """The shape of a training batch with feature lengths (B,); for an LLM with prompt_lengths and text_lengths (B,)."""
    frame_lengths = on_host(frame_lengths)
    utterances = len(frame_lengths), int(frame_lengths.max())
    if not hasattr(model, "llm"):
        return BatchShape(*utterances)
    prompt_lengths, text_lengths = on_host(batch["prompt_lengths"]), on_host(batch["text_lengths"])
    speech_token_lengths = model.adaptor.output_lengths(model.encoder.output_lengths(frame_lengths))
    lengths = prompt_lengths - 1 + speech_token_lengths + text_lengths
    rows, width = attention.layout_of(model.llm, lengths)[1]
    scores = (lengths**2).sum() if attention.uses_flash(model.llm) else rows * width**2
    return BatchShape(*utterances, int(rows * width), int(scores), int(text_lengths.sum()))


def flops(model: nn.Module, shape: BatchShape) -> int:
    """FLOPs of one training batch (of an array of batches: int64 (N,)).

    Raises:
        ValueError: the encoder or the LLM is of a kind whose FLOPs this formula does not give.
    """
    unknown = unknown_part(model)
    if unknown:
        raise ValueError(f"no FLOPs are known for {unknown}: train without a budget, or take another")
    rows, frames = shape.rows * getattr(model, "num_views", 1), model.encoder.output_lengths(shape.frames)
    filterbank = 2 * shape.rows * shape.frames * model.frontend.products
    total = filterbank + encoder_flops(model.encoder, rows, shape.frames, model.frontend.output_size())
    needs = is_trained(model.encoder)
    if not hasattr(model, "llm"):
        return total + matrix_flops(model.ctc_head, rows * frames, needs)
    total = total + matrix_flops(model.adaptor, rows * model.adaptor.output_lengths(frames), needs)
    return total + llm_flops(model.llm, shape, needs or is_trained(model.adaptor))


def unknown_part(model: nn.Module) -> Optional[str]:
    """Names what the formula does not fit.

    An LLM with experts (which see a part of the vectors) or of unknown layout. An encoder whose Conv2d are padded or not
    one behind the other: by the sizes that the formula takes, their last output has not the encoder's frames.
    """
    convolved = list(subsampling(model.encoder, 1000, 80))
    if not model.encoder.flops_known or convolved and convolved[-1][1] != model.encoder.output_lengths(1000):
        return f"the encoder {type(model.encoder).__name__}"
    if not hasattr(model, "llm"):
        return None
    layers = getattr(model.llm.get_decoder(), "layers", None)
    experts = layers is not None and any("experts" in name for name, _ in layers.named_parameters())
    return f"the LLM {type(model.llm).__name__}" if layers is None or experts else None


def matrix_flops(part: nn.Module, vectors: int, needs: bool, others: Optional[Dict[str, int]] = None) -> int:
    """FLOPs of all matrices of `part`, each applied to `vectors` vectors.

    Args:
        needs: whether anything before `part` is trained.
        others: the number of vectors of those matrices (by name) that are applied to another number.
    """
    total, others = 0, others or {}
    for name, weight in part.named_parameters():
        if weight.dim() > 1:
            passes = 1 + weight.requires_grad + needs
            total = total + 2 * weight.numel() * others.get(name, vectors) * passes
        needs = needs or weight.requires_grad
    return total


def encoder_flops(encoder: Encoder, rows: int, frames: int, bins: int) -> int:
    """FLOPs of an encoder for rows x frames x bins of features."""
    length = encoder.output_lengths(frames)
    others = {f"{name}.weight": rows * times * places for name, times, places in subsampling(encoder, frames, bins)}
    positions = [name for name, _ in encoder.named_parameters() if name.endswith("linear_pos.weight")]
    others.update(dict.fromkeys(positions, 2 * length - 1))  # once for the whole batch
    # Per query S scores and S weighted values; relative positions add 2 S scores.
    seen = 4 * length if positions else 2 * length
    attention = 2 * rows * length * seen * encoder.output_size() * encoder.num_layers
    return matrix_flops(encoder, rows * length, False, others) + attention * (1 + 2 * is_trained(encoder))


def subsampling(encoder: Encoder, frames: int, bins: int) -> Iterator[Tuple[str, int, int]]:
    """Name, frames and bins of the output of each Conv2d; they have no padding and stand one behind the other."""
    for name, conv in encoder.named_modules():
        if isinstance(conv, nn.Conv2d):
            sizes = zip((frames, bins), conv.kernel_size, conv.stride)
            frames, bins = ((size - width) // stride + 1 for size, width, stride in sizes)
            yield name, frames, bins


def llm_flops(llm: nn.Module, shape: BatchShape, needs: bool) -> int:
    """FLOPs of a decoder of the usual layers; the embedding is a look-up, the head a product at every label."""
    config, total = llm.config.get_text_config(), 0
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    needs = needs or is_trained(llm.get_input_embeddings())
    for layer in llm.get_decoder().layers:
        total = total + matrix_flops(layer, shape.places, needs)
        needs = needs or is_trained(layer)
        total = total + 2 * shape.scores * 2 * width * (1 + 2 * needs)
    return total + matrix_flops(llm.get_output_embeddings(), shape.labels, needs)
