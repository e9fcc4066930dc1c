"""What torch counts for one training batch; used by test_flops.py and benchmarks/flops.py."""

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from espnet_llmasr.asr.flops import Flops


def counted(model: nn.Module, batch: dict) -> Flops:
    """FLOPs of forward and backward. Attention is computed by plain products, since those are what torch counts."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = model(**batch)[0]
        forward = counter.get_total_flops()
        loss.sum().backward()
        return Flops(forward, counter.get_total_flops() - forward)


def shape_of(model: nn.Module, batch: dict):
    """The padded sizes of a batch in main memory."""
    return model.batch_shape(model.frontend.frame_lengths(batch["speech_lengths"]), **batch)
