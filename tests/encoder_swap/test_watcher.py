"""The watcher: decisions, publications, kills, files of a pretraining that are not (yet) whole, NSE, TensorBoard."""

import json
import logging
import threading
from collections import Counter
from unittest.mock import DEFAULT, Mock

import pytest
import torch
import yaml

from espnet_llmasr.asr.cr_ctc import CTCHead
from espnet_llmasr.encoder_swap import probe as probe_module
from espnet_llmasr.encoder_swap import run_dir as pretraining_module
from espnet_llmasr.encoder_swap.probe import EncoderProbe
from espnet_llmasr.encoder_swap.rule import SwapRule
from espnet_llmasr.encoder_swap.run_dir import PretrainingDir, encoder_and_head, epochs_in
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.watcher import TensorBoardLog, Watcher, watch, watch_last
from espnet_llmasr.metrics.cka import linear_cka
from espnet_llmasr.train.checkpoints import hand_over

LENGTHS = torch.tensor([200, 60, 33])


def moved(state, amount, seed=9):
    """An encoder `amount` away from another."""
    torch.manual_seed(seed)
    return {name: value + amount * torch.randn_like(value) for name, value in state.items()}


@pytest.fixture(scope="module")
def start(encoder):
    return encoder(0).state_dict()


@pytest.fixture()
def new_watcher(new_probe, tmp_path):
    def build(start_step=100, show=()):
        torch.manual_seed(3)
        probe = new_probe([(torch.randn(2, 200, 80), LENGTHS[:2]), (torch.randn(1, 33, 80), LENGTHS[2:])])
        return Watcher(probe, EncoderStore(tmp_path / "store"), SwapRule(0.975, start_step), *show)

    return build


@torch.no_grad()
def single_outputs(watcher, encoder):
    """The output (L, 16) of every utterance of the set, alone and without padding."""
    rows = ((row, n) for feats, lengths in watcher.probe.feats for row, n in zip(feats, lengths))
    return [encoder(row[None, :n], n[None])[0][0] for row, n in rows]


# ---- checks --------------------------------------------------------------------------------------------------------


def test_a_whole_pretraining(new_watcher, start):
    watcher = new_watcher()
    near, far = moved(start, 0.002), moved(start, 0.5)
    steps = [(50, start), (100, start), (200, near), (300, far), (400, far)]
    checks = [watcher.check(*step, None, False) for step in steps] + [watcher.check(400, far, None, True)]
    assert checks[0] is None
    assert [check.action for check in checks[1:]] == ["reference", "keep", "publish", "keep", "final"]
    assert [check.reference_step for check in checks[1:]] == [0, 100, 100, 300, 300]
    assert 0.975 < checks[2].cka < 1 and checks[3].cka < 0.975 and checks[4].cka == pytest.approx(1.0)
    assert watcher.store.steps() == [300, 400] and watcher.store.final_step() == 400
    assert all(value.equal(far[name]) for name, value in watcher.store.load(300).items())
    lines = [json.loads(line) for line in watcher.log.path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [100, 200, 300, 400, 400]
    assert len(lines[1]["cka_layers"]) == 2 and lines[1]["cka_layers"][-1] == lines[1]["cka"]


def test_equation_12_per_utterance_on_valid_frames(new_watcher, encoder, start):
    """Against single utterances without padding."""
    watcher = new_watcher()
    other = moved(start, 0.1)
    watcher.check(100, start, None, False)
    layers = watcher.probe.measure(other, None, watcher.reference).cka_layers
    models = [encoder(0).eval(), encoder(0).eval()]
    models[1].load_state_dict(other)
    outputs = zip(*(single_outputs(watcher, model) for model in models))
    assert layers[-1] == pytest.approx(sum(float(linear_cka(*pair)) for pair in outputs) / 3, abs=1e-5)


# ---- kills ---------------------------------------------------------------------------------------------------------


def run_all(build, start, kill=None):
    """Checks the steps of a pretraining; `kill` = (method, n): the first watcher dies before the n-th call of it."""
    states = [(100, start), (200, moved(start, 0.002)), (300, moved(start, 0.5)), (400, moved(start, 1.0, 8))]
    watcher = build()
    if kill is not None:
        arm(watcher, *kill)
    try:
        for step, state in states:
            watcher.check(step, state, None, step == 400)
    except KeyboardInterrupt:
        watcher = build()
        for step, state in states:
            if step > watcher.last_step() or (step == 400 and watcher.store.final_step() is None):
                watcher.check(step, state, None, step == 400)
    lines = [json.loads(line) for line in watcher.log.path.read_text().splitlines()]
    return [(line["step"], line["reference_step"], line["action"]) for line in lines], watcher.store


def arm(watcher, name, call):
    """Interrupts before the `call`-th call of a method."""
    owner = next(part for part in (watcher, watcher.store, watcher.probe) if hasattr(part, name))
    effects = [DEFAULT] * (call - 1) + [KeyboardInterrupt]
    setattr(owner, name, Mock(wraps=getattr(owner, name), side_effect=effects))


KILLS = [(name, n) for name in ("_act", "_append") for n in (1, 2, 3, 4)] + [("publish_final", 1), ("measure", 3)]


@pytest.mark.parametrize("kill", KILLS)
def test_a_watcher_killed_anywhere_goes_on(new_watcher, start, kill):
    log, store = run_all(new_watcher, start, kill)
    assert log == [(100, 0, "reference"), (200, 100, "keep"), (300, 100, "publish"), (400, 300, "final")]
    assert store.steps() == [300, 400] and store.final_step() == 400


def test_a_broken_published_encoder_is_not_taken_as_reference(new_watcher, start):
    watcher = new_watcher()
    watcher.check(100, start, None, False)
    watcher.check(300, moved(start, 0.5), None, False)
    watcher.store.path(300).write_bytes(b"PK broken")
    assert new_watcher().reference_step == 100


# ---- the pretraining's files ---------------------------------------------------------------------------------------


class Training:
    """Writes what ESPnet writes."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.configure(num_iters_per_epoch=100, accum_grad=4, distributed=False)

    def configure(self, **config):
        (self.directory / "config.yaml").write_text(yaml.safe_dump(config))

    def epoch(self, number, state):
        if number > 1:
            hand_over(self.directory, number - 1, None)
        parts = {"encoder": state, "ctc_head": CTCHead(16, 5).state_dict(), "other": {"x": torch.ones(1)}}
        weights = {f"{part}.{name}": value for part in parts for name, value in parts[part].items()}
        torch.save(weights, self.directory / f"{number}epoch.pth")
        (self.directory / "latest.pth").unlink(missing_ok=True)
        (self.directory / "latest.pth").symlink_to(f"{number}epoch.pth")

    def end(self):
        (self.directory / "finished").write_text('{"max_epoch": 3}')


@pytest.fixture()
def training(tmp_path):
    return Training(tmp_path / "pretrain")


def test_begun_with_its_configuration(tmp_path, training):
    assert not PretrainingDir(tmp_path / "none").begun
    pretraining, path = PretrainingDir(training.directory), training.directory / "config.yaml"
    assert pretraining.begun and pretraining.updates_per_epoch() == 25
    for part in ("", "accum_grad: 4\n", "a: [1, "):
        path.write_text(part)
        with pytest.raises(ValueError, match="config.yaml is damaged"):
            pretraining.updates_per_epoch()


def test_epochs_need_a_fixed_length(training):
    training.configure(num_iters_per_epoch=None, accum_grad=4, distributed=False)
    with pytest.raises(ValueError, match="no num_iters_per_epoch"):
        PretrainingDir(training.directory).updates_per_epoch()


def test_newest_epoch(training, start):
    pretraining = PretrainingDir(training.directory)
    assert pretraining.newest() is None
    training.epoch(2, start)
    number, state, head = pretraining.newest()
    assert number == 2 and set(state) == set(start) and set(head) == set(CTCHead(16, 5).state_dict())
    path = training.directory / "2epoch.pth"
    path.write_bytes(path.read_bytes()[:-100])  # being written anew
    assert pretraining.newest() is None
    path.unlink()  # pruned
    assert pretraining.newest() is None
    assert not pretraining.ended


def test_an_epoch_pruned_while_it_is_read(training, start, monkeypatch):
    training.epoch(1, start)

    def gone(path):
        path.unlink()
        return encoder_and_head(path)

    monkeypatch.setattr(pretraining_module, "encoder_and_head", gone)
    assert PretrainingDir(training.directory).newest() is None


def test_watch_until_the_end(training, new_watcher, start):
    """The training goes on beside; ESPnet removes older epochs, the last one comes together with the end mark."""
    watcher = new_watcher(start_step=25)

    def train():
        for epoch in (2, 3, 4):
            training.epoch(epoch, moved(start, 1.0, epoch))
            (training.directory / f"{epoch - 1}epoch.pth").unlink()
        training.end()

    training.epoch(1, start)
    PretrainingDir(training.directory).unchecked.mkdir()
    timer = threading.Timer(0.5, train)
    timer.start()
    watch(PretrainingDir(training.directory), watcher, poll_s=0.05)
    timer.join()
    steps = [(25, "reference"), (50, "publish"), (75, "publish"), (100, "final")]
    assert [(c.step, c.action) for c in watcher.log.read()] == steps
    assert watcher.store.final_step() == 100 and not (training.directory / "unchecked").exists()
    watch(PretrainingDir(training.directory), new_watcher(), poll_s=0.05)  # nothing is left to do
    assert len(watcher.log.read()) == 4


def test_what_a_killed_watcher_did_not_log_is_checked_again(training, new_watcher, start):
    """Killed between publishing and the log, and between the log and the end of an epoch's wait."""
    PretrainingDir(training.directory).unchecked.mkdir()
    for epoch, state in enumerate([start, moved(start, 1.0, 2), start, start], 1):
        training.epoch(epoch, state)
    training.end()
    killed = new_watcher(start_step=25)
    killed.check(25, start, None, False)
    killed.store.publish(50, moved(start, 1.0, 2))
    watcher = new_watcher(start_step=25)
    watch(PretrainingDir(training.directory), watcher)
    log = watcher.log.read()
    assert [(c.step, c.action) for c in log] == [(25, "reference"), (50, "publish"), (75, "publish"), (100, "final")]
    assert "peak" in log[1].values


def test_checks_that_cannot_be_made_are_logged(training, new_watcher, start, caplog):
    """The watcher began after the pretraining, which kept its last epoch only."""
    for epoch in (1, 2, 3, 4):
        training.epoch(epoch, start)
    training.end()
    watch(PretrainingDir(training.directory), new_watcher(start_step=40))
    assert "no check at steps 50 to 75 (every 25): their weights were gone" in caplog.text
    caplog.clear()
    watch(PretrainingDir(training.directory), new_watcher(start_step=40))
    assert "no check" not in caplog.text


def test_watch_ends_if_the_last_epoch_was_checked_before(training, new_watcher, start):
    watcher = new_watcher(start_step=25)
    training.epoch(1, start)
    watcher.check(25, start, None, False)
    training.end()
    watch(PretrainingDir(training.directory), watcher)
    assert [(c.step, c.action) for c in watcher.log.read()] == [(25, "reference"), (25, "final")]


def test_a_pretraining_that_went_on_after_its_end_has_another_last_encoder(training, new_watcher, start):
    training.epoch(1, start)
    training.end()
    watch(PretrainingDir(training.directory), new_watcher(start_step=25))
    training.epoch(2, moved(start, 1.0, 8))
    watch(PretrainingDir(training.directory), new_watcher(start_step=25))
    assert new_watcher().store.final_step() == 50 and new_watcher().store.steps() == [25, 50]


@pytest.mark.parametrize("look", [watch, watch_last])
def test_watch_an_ended_training_without_weights(training, new_watcher, look):
    training.end()
    with pytest.raises(ValueError, match="has ended but latest.pth is missing or broken"):
        look(PretrainingDir(training.directory), new_watcher())


def test_the_last_encoder_alone_and_the_others_wait_for_their_watcher(training, new_watcher, start, caplog):
    """A pretraining whose IA-SFT beside was interrupted, then ended by a strategy that takes its last encoder."""
    PretrainingDir(training.directory).unchecked.mkdir()
    for epoch in (1, 2, 3):
        training.epoch(epoch, moved(start, 1.0, epoch))
    timer = threading.Timer(0.3, training.end)
    timer.start()
    watcher = new_watcher(start_step=25)
    watch_last(PretrainingDir(training.directory), watcher, poll_s=0.05)
    timer.join()
    assert [(c.step, c.action) for c in watcher.log.read()] == [(75, "final")] and watcher.store.steps() == [75]
    assert epochs_in(training.directory / "unchecked") == [1, 2] and "no check" not in caplog.text
    watch_last(PretrainingDir(training.directory), new_watcher(start_step=25))
    assert len(watcher.log.read()) == 1


# ---- the log beside CKA ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(encoder):
    """(seed) -> an encoder and the state of a CTC head, for which blanks are likely."""

    def build(seed):
        model, head = encoder(seed), CTCHead(16, 5).state_dict()
        head["net.6.bias"][0] += 2.0
        return model, head

    return build


def test_nse_blank_and_peak_on_valid_frames(new_watcher, weights, caplog):
    """Equations 6 and 7 by numpy; shares over all frames of the set; a check without a reference has them, too."""
    watcher, (encoder, head) = new_watcher(), weights(5)
    with caplog.at_level(logging.INFO):
        check = watcher.check(100, encoder.state_dict(), head, False)
    entropies, best = [], []
    network = CTCHead(16, 5).eval()
    network.load_state_dict(head)
    for frames in single_outputs(watcher, encoder.eval()):
        values = torch.linalg.svd(frames.double())[1]
        shares = values / values.sum()
        entropies.append(float(-(shares * shares.log()).sum() / torch.tensor(float(len(shares))).log()))
        best += [(float(p.max()), int(p.argmax())) for p in network(frames[None])[0].exp().detach()]
    assert check.values["nse"] == pytest.approx(sum(entropies) / 3, abs=1e-4)
    assert check.values["peak"] == pytest.approx(sum(p for p, _ in best) / len(best), abs=1e-5)
    assert check.values["blank"] == pytest.approx(Counter(token for _, token in best)[0] / len(best), abs=1e-6)
    assert 0 < check.values["blank"] < 1 and check.cka is None and check.seconds > 0
    assert watcher.log.read() == [check]
    nse, blank, peak = (check.values[name] for name in ("nse", "blank", "peak"))
    line = f"step 100: no reference yet, NSE {nse:.3f}, blank {blank:.3f}, peak {peak:.3f} -> reference"
    assert line in caplog.text


def test_one_forward_pass_of_each_encoder_gives_all(new_watcher, weights):
    watcher = new_watcher()
    (first, head), (second, _) = weights(5), weights(6)
    watcher.check(100, first.state_dict(), head, False)
    encoders = watcher.probe.encoder, watcher.reference.encoder
    for encoder in encoders:
        encoder.forward_layers = Mock(wraps=encoder.forward_layers)
    check = watcher.check(200, second.state_dict(), head, False)
    assert set(check.values) == {"nse", "blank", "peak"} and check.cka is not None
    assert [encoder.forward_layers.call_count for encoder in encoders] == [2, 2]  # two batches


def test_layers_of_the_reference_are_kept_if_they_fit_and_nothing_changes(new_watcher, start, monkeypatch):
    """The same cka.jsonl, to the last bit, from a watcher that runs the reference encoder at every check."""
    states = [(100, start), *((step, moved(start, 0.002, step)) for step in (200, 300, 400)), (500, moved(start, 0.5))]
    logs, passes, run = {}, {}, EncoderProbe.utterances
    for kept, limit in (("kept", probe_module.REFERENCE_BYTES), ("computed", 0)):
        monkeypatch.setattr(probe_module, "REFERENCE_BYTES", limit)
        passes[kept] = Mock(side_effect=run)
        monkeypatch.setattr(EncoderProbe, "utterances", lambda *args, count=passes[kept]: count(*args))
        watcher = new_watcher()
        checks = [watcher.check(*state, None, False) for state in states] + [
            watcher.check(500, states[-1][1], None, True)
        ]
        logs[kept] = [{**vars(check), "time": "", "seconds": None} for check in checks]
        watcher.log.path.unlink()
    assert logs["kept"] == logs["computed"] and [log["action"] for log in logs["kept"]].count("keep") == 3
    assert passes["kept"].call_count == 6 + 2 and passes["computed"].call_count == 6 + 5  # two references


def test_an_interrupted_check_keeps_no_half_of_the_reference(new_watcher, start):
    watcher, near = new_watcher(), moved(start, 0.002)
    watcher.check(100, start, None, False)
    next(watcher.reference.utterances())
    assert watcher.check(200, near, None, False).cka == new_watcher().check(300, near, None, False).cka


# ---- TensorBoard ---------------------------------------------------------------------------------------------------


def test_the_curves_are_those_of_the_log_after_any_kill(new_watcher, weights, store):
    """Killed between the log and the curves, taken up without TensorBoard in between, ended with a doubled check."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = lambda: [TensorBoardLog(store.directory / "tensorboard").show]
    for show, steps in ((board(), [100, 200]), ([], [300, 400]), (board(), [500]), (board(), [500])):
        watcher = new_watcher(show=show)
        for step in steps:
            encoder, head = weights(step)
            watcher.check(step, encoder.state_dict(), head, step == 500)
    assert [check.step for check in watcher.log.read()] == [100, 200, 300, 400, 500, 500]
    checks, events = watcher.log.read()[:-1], EventAccumulator(str(store.directory / "tensorboard"))
    events.Reload()
    for tag in ("cka", "nse", "blank", "peak", "seconds", "cka_layers/1"):
        layer = lambda check: check.cka_layers[0] if check.cka_layers else None
        curve = [(c.step, layer(c) if "/" in tag else {**vars(c), **c.values}[tag]) for c in checks]
        expected = [(step, pytest.approx(value)) for step, value in curve if value is not None]
        assert [(event.step, event.value) for event in events.Scalars(tag)] == expected, tag
    assert "cka_layers/3" not in events.Tags()["scalars"]
