"""The watcher's log beside CKA: NSE, the CTC head's peakiness, TensorBoard."""

import logging
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.cr_ctc import CTCHead
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.probe import EncoderProbe
from espnet_llmasr.encoder_swap.rule import SwapRule
from espnet_llmasr.encoder_swap.watcher import TensorBoardLog, Watcher

LENGTHS = torch.tensor([100, 60, 33])


def weights(seed, blank_bias=0.0):
    """An encoder and a head."""
    torch.manual_seed(seed)
    encoder = FireRedConformerEncoder(output_size=16, num_blocks=2, attention_heads=2, kernel_size=5, pe_maxlen=60)
    head = CTCHead(16, 5).state_dict()
    head["net.6.bias"][0] += blank_bias
    return encoder, head


@pytest.fixture()
def new_watcher(tmp_path):
    def build(board=False):
        encoder, _ = weights(1)
        head = CTCHead(16, 5)
        frontend = lambda speech, lengths: (speech, lengths)
        model = SimpleNamespace(encoder=encoder, frontend=frontend, normalize=None, ctc_head=head)
        torch.manual_seed(3)
        speech = [(torch.randn(2, 100, 80), LENGTHS[:2]), (torch.randn(1, 33, 80), LENGTHS[2:])]
        show = [TensorBoardLog(tmp_path / "store" / "tensorboard").show] if board else []
        store = EncoderStore(tmp_path / "store")
        return Watcher(EncoderProbe(model, speech), store, SwapRule(0.99, 100), *show)

    return build


def test_nse_blank_and_peak_on_valid_frames(new_watcher, caplog):
    """Equations 6 and 7 by numpy; shares over all frames of the set; a check without a reference has them, too."""
    watcher, (encoder, head) = new_watcher(), weights(5, blank_bias=2.0)
    with caplog.at_level(logging.INFO):
        check = watcher.check(100, encoder.state_dict(), head, False)
    entropies, best = [], []
    network = CTCHead(16, 5).eval()
    network.load_state_dict(head)
    with torch.no_grad():
        for feats, lengths in watcher.probe.feats:
            for row, n in zip(feats, lengths):
                frames = encoder.eval()(row[None, :n], n[None])[0][0]
                values = torch.linalg.svd(frames.double())[1]
                shares = values / values.sum()
                entropies.append(float(-(shares * shares.log()).sum() / torch.tensor(float(len(shares))).log()))
                best += [(float(p.max()), int(p.argmax())) for p in network(frames[None])[0].exp()]
    assert check.values["nse"] == pytest.approx(sum(entropies) / 3, abs=1e-4)
    assert check.values["peak"] == pytest.approx(sum(p for p, _ in best) / len(best), abs=1e-5)
    assert check.values["blank"] == pytest.approx(Counter(token for _, token in best)[0] / len(best), abs=1e-6)
    assert 0 < check.values["blank"] < 1 and check.cka is None and check.seconds > 0
    assert watcher.log.read() == [check]
    nse, blank, peak = (check.values[name] for name in ("nse", "blank", "peak"))
    line = f"step 100: no reference yet, NSE {nse:.3f}, blank {blank:.3f}, peak {peak:.3f} -> reference"
    assert line in caplog.text


def test_one_forward_pass_of_each_encoder_gives_all(new_watcher):
    watcher, calls = new_watcher(), Counter()
    (first, head), (second, _) = weights(5), weights(6)
    watcher.check(100, first.state_dict(), head, False)
    for name, encoder in (("current", watcher.probe.encoder), ("reference", watcher.reference)):
        original = encoder.forward_layers
        encoder.forward_layers = lambda *args, n=name, f=original: calls.update([n]) or f(*args)
    check = watcher.check(200, second.state_dict(), head, False)
    assert set(check.values) == {"nse", "blank", "peak"} and check.cka is not None
    assert calls == {"current": 2, "reference": 2}  # two batches


def test_a_published_encoder_without_its_head_has_no_peakiness(new_watcher, caplog):
    watcher, (encoder, head) = new_watcher(), weights(5)
    watcher.check(100, encoder.state_dict(), head, False)
    watcher.store.publish(200, weights(6)[0].state_dict())  # killed before it was logged
    with caplog.at_level(logging.INFO):
        check = new_watcher().log.read()[-1]
    assert (check.step, check.action, list(check.values)) == (200, "publish", ["nse"]) and check.values["nse"] > 0
    assert f"NSE {check.values['nse']:.3f} -> publish" in caplog.text


# ---- TensorBoard ---------------------------------------------------------------------------------------------------


def points(directory, tag):
    """[(step, value)] as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)] if tag in events.Tags()["scalars"] else []


def run(new_watcher, steps, board=True):
    """Takes a watcher up and lets it check; returns its log."""
    watcher = new_watcher(board=board)
    for step in steps:
        encoder, head = weights(step)
        watcher.check(step, encoder.state_dict(), head, step == 500)
    return watcher.log.read()


def test_the_curves_are_those_of_the_log_after_any_kill(new_watcher, tmp_path, monkeypatch):
    """Killed between the log and the curves, taken up without TensorBoard in between, ended with a doubled check."""
    pytest.importorskip("tensorboard")
    run(new_watcher, [100, 200])
    with monkeypatch.context() as patch:
        patch.setattr(TensorBoardLog, "show", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Watcher.check(run_only_logged(new_watcher), 300, weights(300)[0].state_dict(), None, False)
    run(new_watcher, [400], board=False)
    checks = run(new_watcher, [500])
    last = new_watcher(board=True)
    last.check(500, weights(500)[0].state_dict(), weights(500)[1], True)  # as if it had been "keep" before the end
    assert [check.step for check in checks] == [100, 200, 300, 400, 500] and len(last.log.read()) == 6
    for tag in ("cka", "nse", "blank", "peak", "seconds"):
        curve = [(check.step, {**vars(check), **check.values}.get(tag)) for check in checks]
        expected = [point for point in curve if point[1] is not None]
        assert points(tmp_path / "store", tag) == [(step, pytest.approx(value)) for step, value in expected], tag
    layers = [(check.step, pytest.approx(check.cka_layers[0])) for check in checks[1:]]
    assert points(tmp_path / "store", "cka_layers/1") == layers and not points(tmp_path / "store", "cka_layers/3")


def run_only_logged(new_watcher):
    """A watcher whose curves cannot be written any more from its next check on."""
    watcher = new_watcher()
    watcher.show = lambda check: TensorBoardLog.show(None, check)
    return watcher


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        TensorBoardLog(tmp_path / "t")
    assert not (tmp_path / "t").exists()
