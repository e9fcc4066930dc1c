"""CR-CTC for stock recipes: each utterance is compared with its own second view."""

import pytest
import torch
from espnet2.asr.ctc import CTC
from espnet2.asr.specaug.specaug import SpecAug

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.cr_ctc_asr_model import CRCTCASRModel
from espnet_llmasr.asr.fbank import KaldiFbank

SAMPLES = torch.tensor([9000, 16000, 12000])


def build(ctc_conf={"dropout_rate": 0.0}, specaug=None, **model_conf):
    """A tiny model in training mode, without dropout."""
    torch.manual_seed(0)
    encoder = FireRedConformerEncoder(
        80, output_size=16, num_blocks=1, attention_heads=2, kernel_size=5, dropout_rate=0.0
    )
    parts = dict.fromkeys(("normalize", "preencoder", "postencoder", "decoder", "joint_network"))
    tokens = ["<blank>", "<unk>", "a", "b", "<sos/eos>"]
    conf = dict(ctc_weight=1.0, cr_scale=0.5, cr_warmup_batches=0, report_cer=False, report_wer=False)
    parts.update(frontend=KaldiFbank(), encoder=encoder, ctc=CTC(len(tokens), 16, **ctc_conf), specaug=specaug)
    return CRCTCASRModel(5, tokens, **parts, **{**conf, **model_conf}).train()


@pytest.fixture()
def batch():
    speech = 0.1 * torch.randn(3, 16000, generator=torch.Generator().manual_seed(1))
    return speech, SAMPLES, torch.tensor([[2, 3], [3, 3], [2, -1]]), torch.tensor([2, 2, 1])


def test_views_without_augmentation_are_equal(batch):
    _, stats, weight = build()(*batch)
    assert float(stats["loss_cr"]) == pytest.approx(0.0, abs=1e-6) and int(weight) == 3
    assert float(stats["loss"]) == pytest.approx(float(stats["loss_ctc"]), abs=1e-6)


def test_views_that_differ_cost(batch):
    """The second half of the encoder's rows is moved: then, and only then, there is something to pay."""
    model = build()
    shift = torch.linspace(0, 1, 16)
    hook = model.encoder.register_forward_hook(
        lambda module, inputs, output: (torch.cat([output[0][:3], output[0][3:] + shift]), *output[1:])
    )
    _, stats, _ = model(*batch)
    hook.remove()
    assert float(stats["loss_cr"]) > 1e-3


def test_plain_loops_over_two_unequal_views(batch, monkeypatch):
    """CTC and consistency, each half of both views, over the number of utterances (arXiv 2410.05101)."""
    generator, labels = torch.Generator().manual_seed(2), batch[2:]
    logits, frames = torch.randn(6, 30, 5, generator=generator), torch.tensor([20, 30, 25])
    model = build()
    monkeypatch.setattr(model, "encode", lambda speech, lengths: (logits, frames.repeat(2)))
    monkeypatch.setattr(model.ctc, "log_softmax", lambda hidden: hidden.log_softmax(-1))
    loss, _, _ = model(*batch)
    x, total = logits.log_softmax(-1), 0.0
    for row, (text, length) in enumerate(zip(*labels)):
        n = int(frames[row])
        for p, q in ((x[row, :n], x[row + 3, :n]), (x[row + 3, :n], x[row, :n])):
            total += 0.5 * torch.nn.functional.ctc_loss(p, text[:length], torch.tensor(n), length, reduction="sum")
            total += 0.5 * 0.5 * (q.exp() * (q - p)).sum()
    assert float(loss) == pytest.approx(float(total) / 3, rel=1e-5)


def gradients(model, *batch):
    loss, stats, _ = model(*batch)
    loss.backward()
    return loss, stats, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def test_utterances_with_too_few_frames_add_nothing_and_are_counted(batch, caplog):
    """The loss and the gradients are those of the batch without them, over the number of all utterances."""
    speech, samples, text, text_lengths = batch
    text = torch.nn.functional.pad(text, (0, 30), value=-1)
    text[2], text_lengths[2] = 2, 32  # 32 equal labels need 63 frames, 0.75 s have 17
    loss, stats, found = gradients(build(), speech, samples, text, text_lengths)
    expected_loss, _, expected = gradients(build(), speech[:2], samples[:2], text[:2], text_lengths[:2])
    assert loss.item() == pytest.approx(expected_loss.item() * 2 / 3, rel=1e-4)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other * 2 / 3, rtol=1e-3, atol=1e-4 * float(other.abs().max()) + 1e-5)
    assert float(stats["too_short"]) == pytest.approx(1 / 3) and "1 of 3 utterances" in caplog.text


def test_a_batch_of_nothing_but_such_utterances_has_zero_gradients(batch):
    """Every parameter has a gradient, which ranks that wait for it need."""
    speech, samples, _, _ = batch
    loss, stats, found = gradients(build(), speech, samples, torch.full((3, 90), 2), torch.full((3,), 90))
    assert loss.item() == 0.0 and float(stats["too_short"]) == 1.0
    assert len(found) == len(list(build().parameters())) and not any(grad.any() for grad in found)


def test_features_are_computed_once_and_warped_once(batch):
    """Equal views, although the utterances' lengths differ: SpecAug would then warp each row on its own."""
    masks = dict(apply_freq_mask=False, apply_time_mask=False)
    model, rows = build(specaug=SpecAug(**masks)), []
    model.frontend.register_forward_hook(lambda module, inputs, output: rows.append(output[0].clone()))
    model.encoder.register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0]))
    _, stats, _ = model(*batch)
    plain, views = rows
    assert len(plain) == 3 and torch.equal(views[:3], views[3:])
    assert not torch.allclose(views[:3], plain) and float(stats["loss_cr"]) == pytest.approx(0.0, abs=1e-6)
    assert model.frontend is not None and model.eval()(*batch)[0].isfinite()


def test_masks_of_specaug_make_the_views_differ(batch):
    model = build(specaug=SpecAug(time_mask_width_range=[1, 20]))
    assert float(model(*batch)[1]["loss_cr"]) > 1e-5


def test_dropout_of_ctc_conf(batch):
    assert float(build(ctc_conf={"dropout_rate": 0.5})(*batch)[1]["loss_cr"]) > 1e-3


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(ctc_conf={"reduce": False}), "reduce=False, allowed is True: set it in ctc_conf"),
        (dict(ctc_conf={"zero_infinity": False}), "zero_infinity=False"),
        (dict(ctc_conf={"ctc_type": "builtin2"}), "ctc_type=builtin2, allowed is builtin"),
        (dict(interctc_weight=0.3), "interctc_weight=0.3, allowed is 0.0: set it in model_conf"),
    ],
)
def test_options_of_other_losses_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
