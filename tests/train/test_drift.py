"""Drift checks in real trainings: what is measured, that nothing changes by it, kills, the stop."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from espnet_llmasr.files import read_scp
from espnet_llmasr.metrics.accessible_information import Choices, accessible_information
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train import danger, drift
from espnet_llmasr.train.drift import Drift, Observer, check_options, evaluating
from espnet_llmasr.train.speech_batches import read_audio
from espnet_llmasr.train.targets import Targets
from espnet_llmasr.train.trainer import ExactTrainer

EPOCHS = 3


def train(options, *extra):
    LLMASRTask.main(cmd=[*options, "--resume=true", *extra])


def lines(directory: Path):
    """drift.jsonl without what a clock has written."""
    return [vars(line) | {"time": "", "seconds": 0.0} for line in danger.read_drifts(directory)]


def assert_same_weights(first: Path, second: Path, epoch=EPOCHS):
    """Model and, at the end, optimizer."""
    states = [torch.load(out / f"{epoch}epoch.pth", weights_only=True) for out in (first, second)]
    assert [name for name in states[0] if not states[0][name].equal(states[1][name])] == []
    if epoch == EPOCHS:
        saved = [torch.load(out / "checkpoint.pth", weights_only=False)["optimizers"][0] for out in (first, second)]
        for a, b in zip(*(optimizer["state"].values() for optimizer in saved)):
            assert all(a[name].equal(b[name]) for name in a)


@pytest.fixture(scope="module")
def targets(corpus, tmp_path_factory):
    torch.manual_seed(1)
    ids = sorted(read_scp(corpus / "train" / "wav.scp"), reverse=True)
    path = tmp_path_factory.mktemp("targets") / "train.npz"
    Targets(ids, torch.rand(len(ids), 5).double(), torch.randn(len(ids), 6), made={"embedder": "noise"}).save(path)
    return path


@pytest.fixture(scope="module")
def options(llm_options, corpus, targets):
    """(output_dir, **configuration) -> a joint training with dropout and masks that is observed."""

    def build(out, **conf):
        defaults = dict(drift_data=f"{corpus}/train", drift_targets=str(targets), drift_components=1)
        return llm_options(out, **{**defaults, "max_epoch": EPOCHS, "specaug": "masks", "keep_nbest_models": 9, **conf})

    return build


@pytest.fixture(scope="module")
def observed(options, tmp_path_factory):
    out = tmp_path_factory.mktemp("observed") / "out"
    train(options(out))
    return out


@pytest.fixture(scope="module")
def unobserved(options, tmp_path_factory):
    out = tmp_path_factory.mktemp("unobserved") / "out"
    train(options(out, drift_data=None, drift_targets=None))
    return out


def test_the_training_is_the_same_to_the_bit(observed, unobserved):
    for epoch in range(1, EPOCHS + 1):
        assert_same_weights(observed, unobserved, epoch)
    assert not (unobserved / "drift.jsonl").exists()


# ---- what is measured ----------------------------------------------------------------------------------------------


def frames_of(config, model_file, corpus):
    """{id: outputs of all blocks, each (S, D)}, one utterance at a time."""
    model, _ = LLMASRTask.load(config, model_file)
    found = {}
    for uid, entry in read_scp(corpus / "train" / "wav.scp").items():
        speech = torch.from_numpy(read_audio(uid, entry, 16000))[None]
        with torch.no_grad():
            feats, lengths = model.normalize(*model.frontend(speech, torch.tensor([speech.size(1)])))
            found[uid] = [layer[0].double().numpy() for layer in model.encoder.forward_layers(feats, lengths)]
    return found


def gram(x):
    x = x - x.mean(0)
    return x @ x.T


def cka(x, y):
    return (gram(x) * gram(y)).sum() / np.sqrt((gram(x) ** 2).sum() * (gram(y) ** 2).sum())


def entropy(x):
    share = np.linalg.svd(x, compute_uv=False)
    share = share / share.sum()
    return -(share * np.log(share)).sum() / np.log(len(share))


def test_the_lines_hold_what_the_checkpoints_give(observed, corpus, targets):
    found = danger.read_drifts(observed)
    assert [line.epoch for line in found] == [0, 1, 2, 3]
    assert found[0].cka_layers == pytest.approx([1.0, 1.0]) and found[0].pai_noise is None
    start = torch.load(observed / "drift.reference.pth", weights_only=True)["encoder"]
    model, _ = LLMASRTask.load(observed / "config.yaml", observed / "2epoch.pth")
    model.encoder.load_state_dict(start)
    torch.save(model.state_dict(), observed / "start.pth")
    before, after = (
        frames_of(observed / "config.yaml", observed / name, corpus) for name in ("start.pth", "2epoch.pth")
    )
    layers = np.mean([[cka(a, b) for a, b in zip(before[uid], after[uid])] for uid in before], axis=0)
    assert found[2].cka_layers == pytest.approx(layers.tolist(), abs=1e-4) and found[2].cka == found[2].cka_layers[-1]
    assert 0.05 < found[2].cka < 0.9999
    assert found[2].nse == pytest.approx(np.mean([entropy(after[uid][-1]) for uid in after]), abs=1e-4)
    table = Targets.load(targets)
    for line, frames in ((found[0], before), (found[2], after)):
        last = [frames[uid][-1] for uid in table.ids]
        u = torch.from_numpy(np.array([np.concatenate([x.mean(0), x.std(0)]) for x in last]))
        expected = accessible_information(u, table.phonetic, table.semantic, Choices(num_components=1))
        assert (line.pai, line.csai) == pytest.approx(expected, abs=1e-3)


def test_without_targets_cka_and_nse_only(observed, options, tmp_path):
    train(options(tmp_path / "out", drift_targets=None, max_epoch=1))
    found, full = danger.read_drifts(tmp_path / "out"), danger.read_drifts(observed)
    assert [(line.cka, line.nse) for line in found] == [(line.cka, line.nse) for line in full[:2]]
    assert all(line.pai is None and line.csai is None and not line.danger for line in found)


def test_curves():
    shown = {}
    board = SimpleNamespace(add_scalar=lambda name, value, step: shown.setdefault(name, (value, step)))
    drift.show(Drift(4, 0.9, [0.95, 0.9], 0.8), board)
    expected = {"drift/cka": 0.9, "drift/nse": 0.8, "drift/cka_layer1": 0.95, "drift/cka_layer2": 0.9}
    assert shown == {name: (value, 4) for name, value in expected.items()}


def test_modes_are_put_back():
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Dropout())).train()
    module[1].training = False
    with pytest.raises(KeyError), evaluating(module):
        assert not any(part.training for part in module.modules())
        raise KeyError
    assert [part.training for part in module.modules()] == [True, True, False, True]


# ---- kills ---------------------------------------------------------------------------------------------------------


def die_in(owner, name, call, after=False):
    """The `call`-th call of owner.name ends the process, before or after its work."""
    original, calls = getattr(owner, name), []

    def wrapper(*args, **kwargs):
        calls.append(1)
        result = original(*args, **kwargs) if after or len(calls) < call else None
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapper)


KILLS = {
    "before the starting encoder is kept": lambda: die_in(drift, "atomic_path", 1),
    "before the first line": lambda: die_in(drift, "write_drifts", 1),
    "in the first epoch": lambda: die_in(ExactTrainer, "update", 2),
    "before the line of the second epoch": lambda: die_in(drift, "write_drifts", 3),
    "after the line of the second epoch": lambda: die_in(drift, "write_drifts", 3, after=True),
    "in the third epoch": lambda: die_in(ExactTrainer, "update", 5),
}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_resumed(observed, options, forked, moment, tmp_path):
    command = options(tmp_path / "out")
    assert forked(lambda: (KILLS[moment](), train(command))) == signal.SIGKILL
    assert forked(lambda: train(command)) == 0
    assert lines(tmp_path / "out") == lines(observed)
    assert_same_weights(observed, tmp_path / "out")


# ---- the stop ------------------------------------------------------------------------------------------------------


@pytest.fixture()
def sign_from_epoch_2(monkeypatch):
    """Every check from epoch 2 on shows the sign (the line of epoch 0 has no noise, others do)."""
    monkeypatch.setattr(danger, "shows_sign", lambda start, now: now.epoch >= 2)


def test_a_warning_is_only_a_warning(sign_from_epoch_2, observed, options, caplog, tmp_path):
    train(options(tmp_path / "out", drift_checks=1))
    warnings = [record.getMessage() for record in caplog.records if "danger sign" in record.getMessage()]
    assert len(warnings) == 2 and warnings[0].startswith("danger sign after epoch 2: since the start PAI has fallen")
    assert [line.danger for line in danger.read_drifts(tmp_path / "out")] == [False, False, True, True]
    assert_same_weights(observed, tmp_path / "out")


def test_stop_and_after(sign_from_epoch_2, observed, options, caplog, tmp_path):
    out = tmp_path / "out"
    command = options(out, drift_stop=True, drift_checks=1)
    train(command)
    assert (out / "latest.pth").resolve().name == "2epoch.pth" and not (out / "3epoch.pth").exists()
    assert_same_weights(observed, out, epoch=2)
    assert json.loads((out / "finished").read_text()) == {"max_epoch": 2}
    assert "--drift_stop: epoch 2 is the last" in caplog.text

    caplog.clear()
    train(command)  # the same again: nothing is trained, and it says why
    assert not (out / "3epoch.pth").exists() and (out / "finished").exists()
    assert "was ended by the danger sign after epoch 2" in caplog.text

    train(command, "--drift_stop=false")
    assert_same_weights(observed, out)
    assert [line.danger for line in danger.read_drifts(out)] == [False, False, True, True]


@pytest.mark.slow
def test_stop_on_two_ranks(options, two_ranks, tmp_path):
    """Rank 0 alone measures and decides; a rank that went on alone would wait for ever."""
    helper = Path(__file__).with_name("drift_two_ranks.py")
    printed = two_ranks(helper, *options(tmp_path / "out", drift_stop=True, drift_checks=1))
    assert (tmp_path / "out" / "2epoch.pth").exists() and not (tmp_path / "out" / "3epoch.pth").exists()
    assert [line.danger for line in danger.read_drifts(tmp_path / "out")] == [False, False, True]
    assert printed.count("measured by rank 0") == 3 and "measured by rank 1" not in printed


# ---- mistakes ------------------------------------------------------------------------------------------------------

NOTHING = dict(drift_data=None, drift_targets=None, drift_stop=False, drift_checks=3, drift_components=16)


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(drift_stop=True), "need --drift_data"),
        (dict(drift_targets="a.npz"), "need --drift_data"),
        (dict(drift_data="dump/cka", drift_stop=True), "--drift_stop needs --drift_targets"),
        (dict(drift_checks=0), "--drift_checks is 0"),
        (dict(drift_components=0), "num_components is 0"),
    ],
)
def test_options_that_cannot_work(given, message):
    with pytest.raises(ValueError, match=message):
        check_options(SimpleNamespace(**{**NOTHING, **given}))
    check_options(SimpleNamespace(**NOTHING))


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(drift_data="{corpus}/valid"), "no targets for valid_"),
        (dict(drift_data="{corpus}/none"), "does not exist"),
        (dict(drift_components=3), "8 utterances are too few for --drift_components 3: .* 2 components"),
        (dict(freeze_param=["encoder"]), "an encoder that is trained"),
    ],
)
def test_inputs_that_cannot_work(options, corpus, given, message, tmp_path):
    given = {name: value.format(corpus=corpus) if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(ValueError, match=message):
        train(options(tmp_path / "out", **given))
    assert not (tmp_path / "out" / "drift.jsonl").exists()


def test_a_training_keeps_its_set(observed, unobserved, corpus):
    def begin(directory, **given):
        model = SimpleNamespace(encoder=torch.nn.Linear(1, 1))
        conf = dict(output_dir=directory, drift_data=corpus / "train", drift_targets=None, drift_components=1)
        Observer(model, SimpleNamespace(**{**conf, **given}), None).begin(epoch=3)

    with pytest.raises(ValueError, match="began with other targets"):
        begin(observed)
    with pytest.raises(ValueError, match="began with other utterances"):
        begin(observed, drift_data=corpus / "valid")
    with pytest.raises(ValueError, match="began without --drift_data"):
        begin(unobserved)
