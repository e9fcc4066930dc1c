"""The depthwise convolution against torch's own, and its FLOPs as torch counts them."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.depthwise_conv import DepthwiseConv1d

SIZES = [(1, 1, 1, 1), (1, 4, 1, 9), (2, 6, 3, 15), (3, 16, 40, 33), (1, 5, 70, 7)]  # rows, channels, frames, kernel


@pytest.fixture(params=SIZES, ids=str)
def case(request):
    """Our layer, torch's with the same weight, an input as the encoder hands it over, and an output gradient."""
    torch.manual_seed(0)
    rows, channels, frames, kernel = request.param
    ours = DepthwiseConv1d(channels, kernel).double()
    torchs = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False).double()
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(rows, frames, channels, dtype=torch.double).transpose(1, 2).requires_grad_()
    return ours, torchs, x, torch.randn(rows, channels, frames, dtype=torch.double)


def gradients(layer, x, grad, **precision):
    with torch.autocast("cpu", **precision):
        output = layer(x)
    return output, *torch.autograd.grad(output, (x, layer.weight), grad.to(output.dtype))


def test_result_and_gradients_are_those_of_torch(case):
    ours, torchs, x, grad = case
    results = (gradients(layer, x, grad, enabled=False) for layer in (ours, torchs))
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_finite_differences(case):
    ours, _, x, _ = case
    assert torch.autograd.gradcheck(ours, (x[:2, :, :9].detach().requires_grad_(),))
    inputs = x[:2, :, :9].detach()
    assert torch.autograd.gradcheck(
        lambda weight: torch.func.functional_call(ours, {"weight": weight}, inputs), ours.weight
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mixed_precision(case, dtype):
    """Of a float32 weight, with an input in either precision."""
    ours, torchs, x, grad = case
    x = x.detach().to(dtype).requires_grad_()
    found, expected = (gradients(layer.float(), x, grad, dtype=torch.bfloat16) for layer in (ours, torchs))
    for value, other in zip(found, expected):
        assert value.dtype == other.dtype
        assert (value - other).norm() <= 0.01 * other.norm()


def test_an_input_without_gradient(case):
    ours, torchs, x, grad = case
    for layer in (ours, torchs):
        layer(x.detach()).backward(grad)
    torch.testing.assert_close(ours.weight.grad, torchs.weight.grad)


def test_a_frozen_weight_gets_no_gradient(case):
    ours, torchs, x, grad = case
    ours.requires_grad_(False)
    found, expected = (torch.autograd.grad(layer(x), x, grad) for layer in (ours, torchs))
    torch.testing.assert_close(found, expected)
    assert ours.weight.grad is None


@pytest.mark.parametrize("weight, inputs", [(True, True), (True, False), (False, True)])
def test_torch_counts_each_product_once(case, weight, inputs):
    """Forward, weight and input: a multiply-add for each place of the kernel, row, channel and frame."""
    ours, _, x, grad = case
    ours.requires_grad_(weight)
    with FlopCounterMode(display=False) as counter:
        ours(x.detach().requires_grad_(inputs)).backward(grad)
    rows, channels, frames = x.shape
    assert counter.get_total_flops() == 2 * (1 + weight + inputs) * rows * channels * frames * ours.kernel_size[0]


def test_without_gradients_it_is_traced_and_takes_an_empty_batch(case):
    ours, _, x, _ = case
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.trace(ours, x)(x), ours(x))
        assert ours(x[:0]).shape == x[:0].shape


def test_the_encoder_uses_it():
    encoder = FireRedConformerEncoder(output_size=16, num_blocks=2, attention_heads=2, kernel_size=5)
    assert [type(block.conv.depthwise_conv) for block in encoder.layer_stack] == [DepthwiseConv1d] * 2
