"""CR-CTC for stock recipes: each utterance is compared with its own second view."""

import pytest
import torch
from espnet2.asr.ctc import CTC

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.cr_ctc_asr_model import CRCTCASRModel
from espnet_llmasr.asr.fbank import KaldiFbank

SAMPLES = torch.tensor([9000, 16000, 12000])


def build():
    """A tiny model in training mode, without dropout and SpecAugment."""
    torch.manual_seed(0)
    encoder = FireRedConformerEncoder(
        80, output_size=16, num_blocks=1, attention_heads=2, kernel_size=5, dropout_rate=0.0
    )
    parts = dict.fromkeys(("specaug", "normalize", "preencoder", "postencoder", "decoder", "joint_network"))
    tokens = ["<blank>", "<unk>", "a", "b", "<sos/eos>"]
    conf = dict(ctc_weight=1.0, cr_scale=0.5, cr_warmup_batches=0, report_cer=False, report_wer=False)
    ctc = CTC(len(tokens), 16, dropout_rate=0.0)
    return CRCTCASRModel(5, tokens, frontend=KaldiFbank(), encoder=encoder, ctc=ctc, **parts, **conf).train()


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
