"""FLOPs of an LLM (see flops.py): any decoder of linear layers, and layers as Llama's of which parts are trained."""

from typing import List, Optional

from torch import nn

from espnet_llmasr.asr.batch_shape import BatchShape
from espnet_llmasr.asr.tally import Tally, is_trained

GATES = ("gate_up_proj", "gate_proj")
PRE_NORM = {"input_layernorm", "post_attention_layernorm", "mlp.down_proj", "mlp.up_proj"}
PRE_NORM |= {f"mlp.{name}" for name in GATES}
PRE_NORM |= {f"self_attn.{name}" for name in ("qkv_proj", "q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")}


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
