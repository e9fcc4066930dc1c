"""Drift checks in real trainings: the numbers, the same weights with and without, kills, the warning."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet_llmasr.files import JsonLines, read_scp
from espnet_llmasr.metrics.accessible_information import EstimatorConfig
from espnet_llmasr.metrics.encoder_metrics import set_metrics
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train import drift
from espnet_llmasr.train.drift import Drift, drift_log, evaluating, loses_phones
from espnet_llmasr.train.speech_batches import read_audio
from espnet_llmasr.train.targets import Targets
from espnet_llmasr.train.trainer import ExactTrainer

EPOCHS = 3


def train(options, *extra):
    LLMASRTask.main(cmd=[*options, "--resume=true", *extra])


def lines(directory: Path):
    """drift.jsonl without what a clock has written."""
    return [vars(line) | {"time": "", "seconds": 0.0} for line in drift_log(directory).read()]


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
        defaults = dict(drift_data=f"{corpus}/train", drift_targets=str(targets))
        return llm_options(out, **{**defaults, "max_epoch": EPOCHS, "specaug": "masks", "keep_nbest_models": 9, **conf})

    return build


@pytest.fixture(scope="module")
def observed(options, tmp_path_factory):
    out = tmp_path_factory.mktemp("observed") / "out"
    train(options(out))
    return out


def test_the_training_is_the_same_to_the_bit(observed, options, assert_same_weights, tmp_path):
    unobserved = tmp_path / "out"
    train(options(unobserved, drift_data=None, drift_targets=None))
    for epoch in range(1, EPOCHS + 1):
        assert_same_weights(observed, unobserved, epoch, EPOCHS)
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
    found = drift_log(observed).read()
    assert [line.epoch for line in found] == [0, 1, 2, 3]
    assert found[0].cka_layers == pytest.approx([1.0, 1.0])
    start = torch.load(observed / "drift.reference.pth", weights_only=True)
    model, _ = LLMASRTask.load(observed / "config.yaml", observed / "2epoch.pth")
    model.encoder.load_state_dict(start)
    torch.save(model.state_dict(), observed / "start.pth")
    before, after = (
        frames_of(observed / "config.yaml", observed / name, corpus) for name in ("start.pth", "2epoch.pth")
    )
    layers = np.mean([[cka(a, b) for a, b in zip(before[uid], after[uid])] for uid in before], axis=0)
    assert found[2].cka_layers == pytest.approx(layers.tolist(), abs=1e-4) and found[2].cka == found[2].cka_layers[-1]
    assert 0.05 < found[2].cka < 0.9999
    assert found[2].values["nse"] == pytest.approx(np.mean([entropy(after[uid][-1]) for uid in after]), abs=1e-4)
    table = Targets.load(targets)
    for line, frames in ((found[0], before), (found[2], after)):
        last = [frames[uid][-1] for uid in table.ids]
        u = torch.from_numpy(np.array([np.concatenate([x.mean(0), x.std(0)]) for x in last]))
        expected = set_metrics(u, table.phonetic, table.semantic, EstimatorConfig(num_components=1))
        assert {name: line.values[name] for name in expected} == pytest.approx(expected, abs=1e-3)


def test_without_targets_cka_and_nse_only(observed, options, tmp_path):
    train(options(tmp_path / "out", drift_targets=None, max_epoch=1))
    found, full = drift_log(tmp_path / "out").read(), drift_log(observed).read()
    for line, complete in zip(found, full, strict=False):
        assert line.cka == complete.cka and line.values == {"nse": complete.values["nse"]} and not line.warning
    assert len(found) == 2


def test_modes_are_put_back():
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Dropout())).train()
    module[1].training = False
    with pytest.raises(KeyError), evaluating(module):
        assert not any(part.training for part in module.modules())
        raise KeyError
    assert [part.training for part in module.modules()] == [True, True, False, True]


# ---- kills ---------------------------------------------------------------------------------------------------------


KILLS = {
    "before the starting encoder is kept": (drift, "write_state", 1),
    "before the first line": (JsonLines, "write", 1),
    "in the first epoch": (ExactTrainer, "update", 2),
    "before the line of the second epoch": (JsonLines, "write", 3),
    "after the line of the second epoch": (JsonLines, "write", 3, True),
    "in the third epoch": (ExactTrainer, "update", 5),
}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_resumed(observed, options, forked, die_in, assert_same_weights, moment, tmp_path):
    command = options(tmp_path / "out")
    assert forked(lambda: (die_in(*KILLS[moment]), train(command))) == signal.SIGKILL
    assert forked(lambda: train(command)) == 0
    assert lines(tmp_path / "out") == lines(observed)
    assert_same_weights(observed, tmp_path / "out", EPOCHS, EPOCHS)


# ---- the warning ---------------------------------------------------------------------------------------------------


def history(*changes):
    """The lines of a training whose PAI and CSAI have changed by these (bits) since the start."""
    values = [dict(pai=9.0 + pai, csai=2.0 + csai) for pai, csai in ((0, 0), *changes)]
    return [Drift(epoch, 0.9, [0.9], bits) for epoch, bits in enumerate(values)]


BAD, ALONE, OTHER, GOOD = (-0.5, 0.5), (-0.5, 0.0), (0.0, 0.5), (0.5, -0.5)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ([], False),
        ([BAD, BAD], False),  # the start itself does not count
        ([BAD, BAD, BAD], True),
        ([GOOD, BAD, BAD, BAD], True),
        ([BAD, GOOD, BAD, BAD], False),  # not in a row
        ([BAD, BAD, BAD, GOOD], False),  # it is over
        ([BAD, ALONE, BAD], False),
        ([BAD, OTHER, BAD], False),
        ([GOOD] * 5, False),  # the paper's hope
    ],
)
def test_rule_of_the_warning(changes, expected):
    assert loses_phones(history(*changes)) is expected
    assert not loses_phones([Drift(line.epoch, 0.5, [0.5], {"nse": 0.8}) for line in history(*changes)])


def test_a_warning_changes_nothing_but_the_log(observed, options, assert_same_weights, caplog, monkeypatch, tmp_path):
    monkeypatch.setattr(drift, "loses_phones", lambda history: history[-1].epoch >= 2)
    train(options(tmp_path / "out"))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len([line for line in warnings if "PAI is lower and CSAI higher than at the start" in line]) == 2
    assert [line.warning for line in drift_log(tmp_path / "out").read()] == [False, False, True, True]
    assert_same_weights(observed, tmp_path / "out", EPOCHS, EPOCHS)


@pytest.mark.slow
def test_two_ranks(options, two_ranks, tmp_path):
    """Rank 0 alone measures."""
    helper = Path(__file__).with_name("drift_two_ranks.py")
    printed = two_ranks(helper, *options(tmp_path / "out"))
    assert len(drift_log(tmp_path / "out").read()) == EPOCHS + 1 and (tmp_path / "out" / "3epoch.pth").exists()
    assert printed.count("measured by rank 0") == EPOCHS + 1 and "measured by rank 1" not in printed


# ---- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(drift_data="{corpus}/valid"), "no targets for valid_"),
        (dict(drift_data="{corpus}/none"), "does not exist"),
        (dict(drift_data=None), "--drift_targets needs --drift_data"),
    ],
)
def test_inputs_that_cannot_work(options, corpus, given, message, tmp_path):
    given = {name: value.format(corpus=corpus) if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(ValueError, match=message):
        train(options(tmp_path / "out", **given))
    assert not (tmp_path / "out" / "drift.jsonl").exists()


def test_a_frozen_encoder_is_not_measured(options, tmp_path, caplog):
    """Context SFT is stage 9, which names the set for every training, with a frozen encoder."""
    with caplog.at_level("INFO"):
        train(options(tmp_path / "out", freeze_param=["encoder"], max_epoch=1))
    assert "the encoder is frozen and cannot drift" in caplog.text
    assert not (tmp_path / "out" / "drift.jsonl").exists()


@pytest.mark.parametrize("given", [dict(drift_data="{corpus}/valid"), dict(drift_targets=None), dict(drift_data=None)])
def test_a_training_keeps_its_set(options, corpus, given, tmp_path):
    """The lines of one drift.jsonl are comparable."""
    train(options(tmp_path / "out", max_epoch=1))
    given = {name: value and value.format(corpus=corpus) for name, value in given.items()}
    with pytest.raises(ValueError, match="was trained with .*drift_.*: re"):
        train(options(tmp_path / "out", max_epoch=2, **given))
