"""CR-CTC against plain loops in Python floats; augmentation that depends on valid lengths only."""

import math

import pytest
import torch
import torch.nn.functional as F

from espnet_llmasr.asr import cr_ctc
from espnet_llmasr.text.phonemes import min_frames

B, T, V = 3, 9, 5
LENGTHS = [9, 6, 4]
LABELS = [[1, 2, 2, 4], [3, 3], [1]]


def two_views(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2 * B, T, V, generator=generator).log_softmax(-1)


def padded_labels(filler=-1):
    targets = torch.full((B, 4), filler)
    for row, labels in zip(targets, LABELS):
        row[: len(labels)] = torch.tensor(labels)
    return targets, torch.tensor([len(labels) for labels in LABELS])


def loss(log_probs, scale=0.2, filler=-1):
    return cr_ctc.cr_ctc_loss(log_probs, torch.tensor(LENGTHS), *padded_labels(filler), scale)


def plain_ctc(log_probs, labels):
    """-log P(labels), the forward algorithm of CTC on nested lists of floats."""
    states = [0] + [s for label in labels for s in (label, 0)]
    alpha = [math.exp(log_probs[0][s]) if i < 2 else 0.0 for i, s in enumerate(states)]
    for frame in log_probs[1:]:
        new = []
        for i, s in enumerate(states):
            total = alpha[i] + (alpha[i - 1] if i > 0 else 0.0)
            if i > 1 and s != 0 and s != states[i - 2]:
                total += alpha[i - 2]
            new.append(total * math.exp(frame[s]))
        alpha = new
    return -math.log(sum(alpha[-2:]))


def plain_cr_ctc(log_probs, scale):
    first, second = log_probs[:B].tolist(), log_probs[B:].tolist()
    ctc = consistency = 0.0
    for b in range(B):
        for mine, other in ((first[b], second[b]), (second[b], first[b])):
            ctc += 0.5 * plain_ctc(mine[: LENGTHS[b]], LABELS[b])
            for t in range(LENGTHS[b]):
                consistency += 0.5 * sum(math.exp(o) * (o - m) for o, m in zip(other[t], mine[t]))
    return ctc, scale * consistency


def test_equals_plain_loops():
    log_probs = two_views().double()
    ctc, consistency = loss(log_probs)
    expected = plain_cr_ctc(log_probs, 0.2)
    assert (ctc.item(), consistency.item()) == pytest.approx(expected, rel=1e-9)


def test_lengths_may_come_doubled():
    twice = [torch.cat([part, part]) for part in (torch.tensor(LENGTHS), *padded_labels())]
    assert cr_ctc.cr_ctc_loss(two_views(), *twice, 0.2) == loss(two_views())


def test_equal_views_give_plain_ctc():
    one = two_views()[:B]
    ctc, consistency = loss(torch.cat([one, one]))
    assert ctc.item() == pytest.approx(cr_ctc.ctc_sum(one, torch.tensor(LENGTHS), *padded_labels()).item())
    assert consistency.item() == pytest.approx(0, abs=1e-6)


def test_gradient_of_the_consistency_stops_at_the_other_view():
    log_probs = two_views().requires_grad_()
    loss(log_probs, 0.2)[1].backward()
    other = log_probs.detach().roll(B, 0).exp()
    valid = torch.arange(T) < torch.tensor(LENGTHS * 2)[:, None]
    torch.testing.assert_close(log_probs.grad, -0.1 * other * valid[..., None])


@pytest.mark.parametrize("filler", [7.0, math.nan])
def test_padded_frames_and_labels_contribute_nothing(filler):
    clean, dirty = two_views(), two_views()
    for row, length in zip(dirty, LENGTHS * 2):
        row[length:] = filler
    results = []
    for log_probs, label_filler in ((clean, -1), (dirty, 3)):
        log_probs.requires_grad_()
        terms = loss(log_probs, filler=label_filler)
        sum(terms).backward()
        results.append((*terms, log_probs.grad))
    for a, b in zip(*results):
        assert torch.equal(a, b)


def test_odd_number_of_rows_is_an_error():
    with pytest.raises(ValueError, match="5 rows"):
        loss(two_views()[:5])


def test_zero_weight_means_no_consistency():
    ctc, consistency = loss(two_views(), 0.0)
    assert consistency.item() == 0.0 and ctc == loss(two_views())[0]


def test_warm_up():
    weights = [cr_ctc.consistency_weight(torch.tensor(step), 2000) for step in (0, 500, 2000, 9000)]
    assert weights == pytest.approx([0.0, 0.05, 0.2, 0.2])
    assert cr_ctc.consistency_weight(torch.tensor(0), 0, 0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("labels, frames", [([], 0), ([1], 1), ([1, 1], 3), ([1, 2, 2, 2, 1], 7)])
def test_min_frames_is_the_exact_condition(labels, frames):
    assert min_frames(labels) == frames
    for length, possible in ((frames, True), (frames - 1, False)):
        if length > 0:
            padded = torch.tensor([labels + labels[-1:] * 2])  # padding that looks like repetitions
            arguments = torch.tensor([length]), padded, torch.tensor([len(labels)])
            assert cr_ctc.enough_frames(*arguments).tolist() == [possible]
            assert cr_ctc.ctc_sum(two_views()[:1], *arguments).isfinite().item() == possible


def test_greedy_and_peak_statistics_see_valid_frames_only():
    path = [[0, 1, 1, 0, 1, 2], [3, 3, 0, 4, 4, 4]]
    log_probs = (F.one_hot(torch.tensor(path), V) * 0.5 + 0.1).log()
    log_probs[1, 3:] = 0.0
    lengths = torch.tensor([6, 3])
    assert cr_ctc.greedy(log_probs, lengths) == [[1, 1, 2], [3]]
    assert cr_ctc.blank_share(log_probs, lengths).item() == pytest.approx(3 / 9)
    assert cr_ctc.mean_peak_probability(log_probs, lengths).item() == pytest.approx(0.6)


def test_head_is_three_layers_in_fp32():
    head = cr_ctc.CTCHead(16, V)
    assert sum(isinstance(m, torch.nn.Linear) for m in head.modules()) == 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = head(torch.randn(2, 3, 16))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.exp().sum(-1), torch.ones(2, 3))


def test_head_dropout_makes_views_differ_in_training_only():
    head, hidden = cr_ctc.CTCHead(16, V), torch.ones(2, 50, 16)
    assert not torch.equal(head(hidden), head(hidden))
    assert torch.equal(head.eval()(hidden), head(hidden))


# ---- augmentation ------------------------------------------------------------------------------------------------


def features(lengths, extra=0, filler=0.0):
    generator = torch.Generator().manual_seed(5)
    feats = torch.full((len(lengths), max(lengths) + extra, 80), filler)
    for row, length in zip(feats, lengths):
        row[:length] = torch.randn(length, 80, generator=generator)
    return feats, torch.tensor(lengths)


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def test_masks_depend_on_valid_lengths_only():
    lengths = (700, 60, 250)
    augment = cr_ctc.SpecAugment(p=1.0)
    short = augment(*features(lengths), generator=seeded())
    long = augment(*features(lengths, extra=900, filler=math.nan), generator=seeded())
    for a, b, length in zip(short, long, lengths):
        assert torch.equal(a[:length], b[:length])
        assert b[length:].isnan().all()


def test_a_short_utterance_is_masked_as_if_it_were_alone():
    """Drawn on the padded length, masks of up to 100 frames would mostly miss 60 frames in a batch of 3000."""
    augment = cr_ctc.SpecAugment(num_freq_masks=0, p=1.0)
    lengths = torch.tensor([60] * 400 + [3000])
    masks = augment.masks(torch.empty(401, 3000, 1), lengths, seeded())
    share = masks[:400, :60, 0].float().mean().item()
    assert share == pytest.approx((math.floor(60 * 0.375) - 1) / 2 / 60, rel=0.1)
    assert not masks[:400, 60:].any()


def test_mask_limits_follow_icefall():
    """n = min(25, ceil(0.375 T / 100)) masks narrower than min(100, 0.375 T // n)."""
    lengths = [10, 60, 266, 267, 700, 3000, 9000]
    count, width = cr_ctc.SpecAugment().time_mask_limits(torch.tensor(lengths))
    expected = [min(25, math.ceil(0.375 * t / 100)) for t in lengths]
    assert count.tolist() == expected
    assert width.tolist() == [min(100, int(0.375 * t // n)) for t, n in zip(lengths, expected)]


def test_mask_is_filled_with_the_mean_of_its_own_valid_features():
    (feats, lengths), augment = features((300, 90), filler=1e9), cr_ctc.SpecAugment(p=1.0)
    masked, masks = augment(feats, lengths, seeded()), augment.masks(feats, lengths, seeded())
    for row, source, mask, length in zip(masked, feats, masks, lengths):
        inside = mask[:length]
        assert inside.any() and not inside.all()
        mean = source[:length].mean()
        torch.testing.assert_close(row[:length][inside], mean.expand(int(inside.sum())), rtol=1e-4, atol=1e-5)
        assert torch.equal(row[:length][~inside], source[:length][~inside])


def test_copies_are_masked_independently_and_some_not_at_all():
    feats, lengths = features((200,) * 500)
    masks = cr_ctc.SpecAugment().masks(feats[:1].expand(500, -1, -1), lengths, seeded())
    untouched = sum(not mask.any() for mask in masks) / 500
    assert untouched == pytest.approx(0.1, abs=0.04)
    assert len({tuple(mask.flatten().tolist()) for mask in masks[:50]}) > 40
    widths = masks.all(dim=1).sum(1)  # bins masked in every frame: at most two masks of at most 26
    assert widths.max() <= 52 and widths.max() > 26


def test_no_masks_in_eval_mode_or_at_p_zero():
    feats, lengths = features((200, 100))
    assert cr_ctc.SpecAugment(p=1.0).eval()(feats, lengths) is feats
    assert torch.equal(cr_ctc.SpecAugment(p=0.0)(feats, lengths), feats)
    assert torch.equal(cr_ctc.SpecAugment(num_freq_masks=0, num_time_masks=0, p=1.0)(feats, lengths), feats)


def test_warp_touches_valid_frames_only():
    lengths = (400, 41, 250, 30)
    feats, lens = features(lengths, extra=50, filler=math.nan)
    warped = cr_ctc.time_warp(feats, lens, factor=20, p=1.0, generator=seeded())
    for row, source, length in zip(warped, feats, lengths):
        assert row[:length].isfinite().all() and row[length:].isnan().all()
        assert torch.equal(row[:length], source[:length]) == (length <= 2 * 20 + 1)


def test_warp_does_not_depend_on_padding_and_p_zero_is_identity():
    plain = cr_ctc.time_warp(*features((400, 90)), 20, 1.0, seeded())
    padded = cr_ctc.time_warp(*features((400, 90), extra=70), 20, 1.0, seeded())
    assert torch.equal(plain, padded[:, :400])
    assert torch.equal(cr_ctc.time_warp(*features((400, 90)), 20, 0.0), features((400, 90))[0])


@pytest.mark.parametrize("centre, target", [(30, 45), (60, 41), (50, 50), (1, 99), (99, 1)])
def test_warp_is_bicubic_interpolation_of_both_sides(centre, target):
    feats = features((100,))[0]
    point = torch.tensor([[100.0], [centre], [target]])[:, None]
    ours = cr_ctc._resample_sides(feats, *point)[0]
    sides = [
        F.interpolate(part[None], size=(size, 80), mode="bicubic", align_corners=False)[0, 0]
        for part, size in ((feats[:, :centre], target), (feats[:, centre:], 100 - target))
    ]
    torch.testing.assert_close(ours, torch.cat(sides), atol=1e-4, rtol=0)
