"""The pretraining model: independence of batch mates, its loss and weight, the frozen encoder of the head re-fit."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from espnet_llmasr.asr import cr_ctc
from espnet_llmasr.asr.modules import extract_features
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask


@pytest.fixture(scope="module")
def model_args(phone_options, build_model, tmp_path_factory):
    return build_model(PhonemeCTCTask, phone_options(tmp_path_factory.mktemp("m") / "x"))


@pytest.fixture()
def model(model_args):
    return model_args[0].requires_grad_(True).eval()


@pytest.fixture(scope="module")
def batch(model_args, load_batch):
    return load_batch(PhonemeCTCTask, model_args[1])[1]


def alone(batch, row):
    single = {}
    for name in ("speech", "phones"):
        length = batch[f"{name}_lengths"][row : row + 1]
        single |= {name: batch[name][row : row + 1, : int(length)], f"{name}_lengths": length}
    return single


def classify(model, batch):
    feats = extract_features(batch["speech"], batch["speech_lengths"], model.frontend, model.normalize)
    return model.classify(*feats)


@torch.no_grad()
def test_log_probabilities_of_a_batch_equal_one_by_one(model, batch):
    together, lengths = classify(model, batch)
    for row in range(8):
        single, n = classify(model, alone(batch, row))
        assert n.tolist() == [lengths[row]]
        torch.testing.assert_close(together[row, : lengths[row]], single[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_validation_loss_is_plain_ctc_per_label(model, batch):
    loss, stats, weight = model(**batch)
    total = 0.0
    for row in range(8):
        single = alone(batch, row)
        log_probs, lengths = classify(model, single)
        targets = single["phones"], torch.from_numpy(lengths), single["phones_lengths"]
        total += F.ctc_loss(log_probs.transpose(0, 1), *targets, reduction="sum")
    assert float(weight) == float(batch["phones_lengths"].sum())
    assert float(loss) == pytest.approx(float(total / weight), abs=1e-5)
    assert set(stats) == {"loss", "per", "blank", "peak"}


@torch.no_grad()
@pytest.mark.parametrize("silent", [(2, 5), range(8)])
def test_audio_without_speech_counts_as_one_label(model, batch, silent):
    """Its only path is blank in all frames; the labels of the others are what they were."""
    lengths = batch["phones_lengths"].clone()
    lengths[list(silent)] = 0
    batch = {**batch, "phones_lengths": lengths, "phones": batch["phones"][:, : int(lengths.max())]}
    loss, stats, weight = model(**batch)
    log_probs, frames = classify(model, batch)
    total = 0.0
    for row, (n, labels) in enumerate(zip(frames.tolist(), lengths.tolist())):
        targets = batch["phones"][row : row + 1, :labels], torch.tensor([n]), torch.tensor([labels])
        blank = -log_probs[row, :n, 0].sum()
        total += F.ctc_loss(log_probs[row : row + 1].transpose(0, 1), *targets, reduction="sum") if labels else blank
    assert float(weight) == model.num_targets(**batch) == int(lengths.sum()) + len(silent)
    assert float(loss) == pytest.approx(float(total / weight), rel=1e-5)
    assert all(torch.isfinite(value) for value in stats.values())


def test_a_batch_without_speech_trains(model, batch):
    model.zero_grad()
    silence = dict(phones=batch["phones"][:, :0], phones_lengths=torch.zeros_like(batch["phones_lengths"]))
    loss, _, _ = model.train()(**{**batch, **silence})
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in model.ctc_head.parameters())
    assert float(model.ctc_head.net[-1].bias.grad[0]) < 0 < float(model.ctc_head.net[-1].bias.grad[1:].min())


@torch.no_grad()
def test_transcripts_of_a_batch_equal_one_by_one(model, batch):
    together = model.transcribe(batch["speech"], batch["speech_lengths"])
    assert any(together)
    for row in range(8):
        single = alone(batch, row)
        assert model.transcribe(single["speech"], single["speech_lengths"]) == together[row : row + 1]


def test_training_counts_batches_and_draws_two_views(model, batch):
    model.train()
    model.num_batches.zero_()
    _, stats, _ = model(**batch)
    assert int(model.num_batches) == 1 and float(stats["cr"]) == 0.0  # warm-up starts from zero
    for _ in range(2):
        _, stats, _ = model(**batch)
    assert float(stats["cr"]) > 0.0
    assert float(stats["loss"]) == pytest.approx(float(stats["ctc"] + stats["cr"]), rel=1e-5)


def test_no_consistency_means_one_view(model, batch):
    model.train()
    model.cr_scale, rows = 0.0, []
    hook = model.encoder.register_forward_hook(lambda module, inputs, output: rows.append(len(output[0])))
    _, stats, _ = model(**batch)
    hook.remove()
    model.cr_scale = 0.2
    assert rows == [8] and float(stats["cr"]) == 0.0


def test_head_refit_leaves_the_encoder_alone(model, batch):
    model = deepcopy(model)  # the step below is large
    model.encoder.requires_grad_(False)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    model.train()
    assert not model.encoder.training and model.ctc_head.training
    model(**batch)[0].sum().backward()
    torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1).step()
    assert all(before[name].equal(value) for name, value in model.encoder.state_dict().items())
    assert all(parameter.grad is not None for parameter in model.ctc_head.parameters())


def test_one_time_warp_before_the_views_are_made(model, batch, monkeypatch):
    rows = []
    monkeypatch.setattr(cr_ctc, "time_warp", lambda feats, *args: rows.append(len(feats)) or feats)
    model.train()(**batch)
    assert rows == [len(batch["speech"])]


def test_both_terms_of_the_loss_have_one_denominator(model, batch, monkeypatch):
    """Two unequal views: plain loops over utterances and frames, then one division by the number of labels."""
    count = len(batch["speech"])
    real, views = model.classify, {}
    tilt = torch.linspace(0, 1, model.ctc_head.net[-1].out_features)

    def unequal(feats, lengths):
        log_probs, frames = real(feats, lengths)
        second = (torch.arange(len(feats)) >= count)[:, None, None] * tilt
        views["x"], views["n"] = (log_probs + second).log_softmax(-1), frames
        return views["x"], frames

    monkeypatch.setattr(model, "classify", unequal)
    monkeypatch.setattr(model, "cr_warmup_batches", 0)
    monkeypatch.setattr(cr_ctc, "time_warp", lambda feats, *args: feats)
    loss, _, weight = (value.detach() if torch.is_tensor(value) else value for value in model.train()(**batch))
    ctc, consistency, x = 0.0, 0.0, views["x"].detach()
    for row in range(count):
        n, labels = int(views["n"][row]), batch["phones"][row, : int(batch["phones_lengths"][row])]
        for view, other in ((x[row, :n], x[row + count, :n]), (x[row + count, :n], x[row, :n])):
            ctc += 0.5 * F.ctc_loss(view, labels, torch.tensor(n), torch.tensor(len(labels)), reduction="sum")
            consistency += 0.5 * model.cr_scale * sum(float((q.exp() * (q - p)).sum()) for p, q in zip(view, other))
    assert consistency > 0.01 * float(ctc) > 0.0  # neither hides the other
    assert float(loss) == pytest.approx((float(ctc) + consistency) / float(weight), rel=1e-5)
