"""The encoder against a plain per-utterance formulation, its released parameter names, and independence of padding."""

import math

import pytest
import torch
import torch.nn.functional as F

from espnet_llmasr.asr.conformer import FireRedConformerEncoder

LENGTHS = (7, 300, 11, 64, 150, 8, 299, 33)


def small(**changes):
    torch.manual_seed(0)
    sizes = dict(output_size=32, num_blocks=2, attention_heads=4, kernel_size=9, dropout_rate=0.0, pe_maxlen=100)
    encoder = FireRedConformerEncoder(**{**sizes, **changes})
    for parameter in encoder.parameters():  # layer norms and biases away from their neutral start
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return encoder.eval()


def batch(lengths=LENGTHS, filler=0.0):
    generator = torch.Generator().manual_seed(1)
    feats = torch.full((len(lengths), max(lengths), 80), filler)
    for row, length in zip(feats, lengths):
        row[:length] = torch.randn(length, 80, generator=generator)
    return feats, torch.tensor(lengths)


# ---- an independent formulation: one utterance, explicit distances, no buffers, no masks --------------------------


def norm(x, state, name):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def plain_feed_forward(x, state, name):
    hidden = norm(x, state, f"{name}.net.0") @ state[f"{name}.net.1.weight"].T + state[f"{name}.net.1.bias"]
    hidden = hidden * torch.sigmoid(hidden)
    return x + hidden @ state[f"{name}.net.4.weight"].T + state[f"{name}.net.4.bias"]


def sinusoid(distance, size):
    angles = [distance / 10000 ** (2 * (d // 2) / size) for d in range(size)]
    return torch.tensor([math.sin(a) if d % 2 == 0 else math.cos(a) for d, a in enumerate(angles)])


def plain_attention(x, state, name, heads):
    length, size = x.shape
    width = size // heads
    query, key, value = (
        norm(x, state, f"{name}.layer_norm_{k}") @ state[f"{name}.w_{k}s.weight"].T for k in ("q", "k", "v")
    )
    place = {d: state[f"{name}.linear_pos.weight"] @ sinusoid(d, size) for d in range(1 - length, length)}
    context = torch.zeros(length, size)
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        u, v = state[f"{name}.pos_bias_u"][h], state[f"{name}.pos_bias_v"][h]
        for i in range(length):
            scores = [
                (query[i, part] + u) @ key[j, part] + (query[i, part] + v) @ place[i - j][part] for j in range(length)
            ]
            context[i, part] = torch.softmax(torch.stack(scores) / math.sqrt(width), 0) @ value[:, part]
    return x + context @ state[f"{name}.fc.weight"].T


def plain_convolution(x, state, name):
    hidden = norm(x, state, f"{name}.pre_layer_norm") @ state[f"{name}.pointwise_conv1.weight"][:, :, 0].T
    a, b = hidden.chunk(2, dim=1)
    hidden = a * torch.sigmoid(b)
    kernel = state[f"{name}.depthwise_conv.weight"][:, 0, :]
    reach = kernel.shape[1] // 2
    out = torch.zeros_like(hidden)
    for i in range(len(hidden)):
        for j in range(max(0, i - reach), min(len(hidden), i + reach + 1)):
            out[i] += kernel[:, j - i + reach] * hidden[j]
    out = norm(out, state, f"{name}.batch_norm")
    return x + (out * torch.sigmoid(out)) @ state[f"{name}.pointwise_conv2.weight"][:, :, 0].T


def plain_encoder(feats, state, heads, blocks):
    hidden = feats[None]
    for i in (0, 2):
        weight, bias = (state[f"input_preprocessor.conv.{i}.{kind}"] for kind in ("weight", "bias"))
        rows = [
            [
                (hidden[:, 2 * t : 2 * t + 3, 2 * f : 2 * f + 3] * weight).sum((1, 2, 3)) + bias
                for f in range((hidden.shape[2] - 1) // 2)
            ]
            for t in range((hidden.shape[1] - 1) // 2)
        ]
        hidden = torch.stack([torch.stack(row, 1) for row in rows], 1).relu()
    x = hidden.permute(1, 0, 2).reshape(hidden.shape[1], -1)
    x = x @ state["input_preprocessor.out.weight"].T + state["input_preprocessor.out.bias"]
    for n in range(blocks):
        name = f"layer_stack.{n}"
        x = 0.5 * x + 0.5 * plain_feed_forward(x, state, f"{name}.ffn1")
        x = plain_attention(x, state, f"{name}.mhsa", heads)
        x = plain_convolution(x, state, f"{name}.conv")
        x = 0.5 * x + 0.5 * plain_feed_forward(x, state, f"{name}.ffn2")
        x = norm(x, state, f"{name}.layer_norm")
    return x


@torch.no_grad()
def test_equals_the_plain_formulation():
    encoder = small()
    feats, lengths = batch((60, 41, 7))
    ours, olens, _ = encoder(feats, lengths)
    assert olens.tolist() == [14, 9, 1]
    for row, length, olen, feat in zip(ours, lengths, olens, feats):
        plain = plain_encoder(feat[:length], encoder.state_dict(), heads=4, blocks=2)
        torch.testing.assert_close(row[:olen], plain, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("filler", [1e6, math.nan, math.inf])
def test_padding_content_is_irrelevant_forward_and_backward(filler):
    encoder = small()
    results = []
    for fill in (0.0, filler):
        encoder.zero_grad()
        out, _, _ = encoder(*batch(filler=fill))
        out.square().sum().backward()
        results.append([out.detach()] + [p.grad.clone() for p in encoder.parameters()])
    for clean, dirty in zip(*results):
        assert torch.equal(clean, dirty)


def test_gradient_reaches_every_parameter_and_the_input():
    encoder = small().train()
    feats, lengths = batch((60, 41))
    feats.requires_grad_()
    (encoder(feats, lengths)[0] * torch.randn(2, 14, 32)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    assert feats.grad[1, :41].any() and not feats.grad[1, 41:].any()


def test_bfloat16_autocast_stays_finite_and_near():
    encoder = small()
    feats, lengths = batch()
    exact = encoder(feats, lengths)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder(feats, lengths)[0].float()
    assert rounded.isfinite().all() and (rounded - exact).abs().mean() < 0.05


def released_names(num_blocks):
    """Parameter names in the released FireRedASR-AED encoder."""
    norm_names = ["weight", "bias"]
    attention = [f"{layer}.weight" for layer in ("w_qs", "w_ks", "w_vs", "fc", "linear_pos")]
    attention += ["pos_bias_u", "pos_bias_v"]
    attention += [f"layer_norm_{k}.{p}" for k in "qkv" for p in norm_names]
    convolution = ["pointwise_conv1.weight", "depthwise_conv.weight", "pointwise_conv2.weight"]
    convolution += [f"{layer}.{p}" for layer in ("pre_layer_norm", "batch_norm") for p in norm_names]
    block = [f"mhsa.{n}" for n in attention] + [f"conv.{n}" for n in convolution]
    block += [f"{ffn}.net.{i}.{p}" for ffn in ("ffn1", "ffn2") for i in (0, 1, 4) for p in norm_names]
    block += [f"layer_norm.{p}" for p in norm_names]
    head = [f"input_preprocessor.{n}.{p}" for n in ("conv.0", "conv.2", "out") for p in norm_names]
    return set(head + ["positional_encoding.pe"] + [f"layer_stack.{i}.{n}" for i in range(num_blocks) for n in block])


def test_full_size_has_the_released_names_and_shapes():
    with torch.device("meta"):
        encoder = FireRedConformerEncoder()
    state = encoder.state_dict()
    assert set(state) == released_names(16)
    matrices = 2 * 8 + 5 + 4 + 2  # per block: two feed-forwards, attention, pointwise convolutions; in units of D x D
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(16 * matrices * 1280**2, rel=0.005)
    shapes = {
        "positional_encoding.pe": (1, 9999, 1280),
        "input_preprocessor.out.weight": (1280, 32 * 19),
        "layer_stack.15.mhsa.pos_bias_u": (20, 64),
        "layer_stack.0.ffn1.net.1.weight": (5120, 1280),
        "layer_stack.0.conv.pointwise_conv1.weight": (5120, 1280, 1),
        "layer_stack.0.conv.depthwise_conv.weight": (2560, 1, 33),
        "layer_stack.0.conv.batch_norm.weight": (2560,),
        "layer_stack.0.conv.pointwise_conv2.weight": (1280, 2560, 1),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_longer_than_the_position_table():
    """The rows that the table lacks are those that a longer table would have."""
    short, long, feats = small(), small(pe_maxlen=200), batch((500, 403))
    state = {name: value for name, value in short.state_dict().items() if name != "positional_encoding.pe"}
    assert long.load_state_dict(state, strict=False).missing_keys == ["positional_encoding.pe"]
    (out, olens, _), (expected, _, _) = short(*feats), long(*feats)
    assert olens.tolist() == [124, 100] and out.equal(expected)


@pytest.mark.parametrize("wrong", [{"attention_heads": 5}, {"kernel_size": 32}])
def test_impossible_sizes_are_named(wrong):
    with pytest.raises(ValueError, match=str(*wrong.values())):
        small(**wrong)
