"""A training killed at any moment and resumed ends with the weights of one never killed (DESIGN decision 12)."""

import io
import os
import shutil
import signal
from types import SimpleNamespace

import pytest
import torch
from espnet2.train.reporter import Reporter

from espnet_llmasr.asr import weights
from espnet_llmasr.asr.weights import read_state
from espnet_llmasr.bin import llm_asr_train, phoneme_ctc_train, whole_weights
from espnet_llmasr.tasks import speech_task
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train import checkpoints
from espnet_llmasr.train.checkpoints import Checkpoints
from espnet_llmasr.train.trainer import ExactTrainer

EPOCHS = 3


def die_while_saving(call: int, written: float):
    """In this process, the `call`-th torch.save stops after this share of its bytes."""
    save, calls = torch.save, []

    def torn(content, sink):
        calls.append(sink)
        if len(calls) < call:
            return save(content, sink)
        buffer = io.BytesIO()
        save(content, buffer)
        sink.write(buffer.getvalue()[: int(written * buffer.tell())])
        sink.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = torn


KILLS = {  # a method and its call, or the number of a torch.save and the share of bytes that are written
    "in the first epoch": (ExactTrainer, "update", 2),
    "in the second epoch": (ExactTrainer, "update", 4),
    "in 1epoch.pth": (1, 0.5),
    "between 1epoch.pth and checkpoint.pth": (weights, "write_state", 1, True),
    "in the first checkpoint.pth": (2, 0.5),
    "in 2epoch.pth": (3, 0.5),
    "between 2epoch.pth and checkpoint.pth": (weights, "write_state", 2, True),
    "at the first byte of checkpoint.pth": (4, 1e-9),
    "in checkpoint.pth": (4, 0.9),
    "between checkpoint.pth and the latest link": (checkpoints, "link", 3),  # two links in an epoch
    "after the latest link": (checkpoints, "link", 3, True),
    "before older epochs are removed": (checkpoints, "remove_epochs", 3),  # the first call is at the start
    "after older epochs are removed": (checkpoints, "remove_epochs", 3, True),
    "in the last checkpoint.pth": (6, 0.5),
    "before the end mark": (Checkpoints, "finish", 1),
    "after the end mark": (checkpoints, "write_atomically", 2, True),  # the first is config.yaml
}
FROM_SCRATCH = (  # no epoch was complete yet
    "in the first epoch",
    "in 1epoch.pth",
    "between 1epoch.pth and checkpoint.pth",
    "in the first checkpoint.pth",
)


def train(options):
    PhonemeCTCTask.main(cmd=[*options, "--resume=true"])


@pytest.fixture(scope="module")
def uninterrupted(phone_options, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "out"
    train(phone_options(out, max_epoch=EPOCHS))
    return out


@pytest.fixture()
def assert_same_training(uninterrupted, assert_same_weights):
    def check(out):
        assert_same_weights(uninterrupted, out, EPOCHS, EPOCHS)
        latest = [torch.load(path / "latest.pth", weights_only=True) for path in (uninterrupted, out)]
        assert all(value.equal(latest[1][name]) for name, value in latest[0].items())
        names = [{path.name for path in folder.glob("*.pth")} for folder in (uninterrupted, out)]
        assert names[0] == names[1] and (out / "finished").exists()

    return check


@pytest.fixture()
def killed(forked, die_in):
    """(kill, train) -> runs the training in a process that ends there."""

    def run(kill, train):
        arm = die_while_saving if isinstance(kill[0], int) else die_in
        assert forked(lambda: (arm(*kill), train())) == signal.SIGKILL

    return run


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_resumed(assert_same_training, phone_options, killed, forked, moment, tmp_path):
    options, out = phone_options(tmp_path / "out", max_epoch=EPOCHS), tmp_path / "out"
    killed(KILLS[moment], lambda: train(options))
    assert (out / "checkpoint.pth").exists() == (moment not in FROM_SCRATCH)
    assert forked(lambda: train(options)) == 0
    assert_same_training(out)


def test_killed_twice_and_once_at_the_start(assert_same_training, phone_options, killed, forked, tmp_path):
    options = phone_options(tmp_path / "out", max_epoch=EPOCHS)
    for kill in (KILLS["in checkpoint.pth"], (1, 0.5), (checkpoints, "link", 1)):
        killed(kill, lambda: train(options))
    assert forked(lambda: train(options)) == 0
    assert_same_training(tmp_path / "out")


def test_a_finished_training_is_left_alone_and_can_be_made_longer(
    assert_same_training, phone_options, killed, forked, tmp_path
):
    out = tmp_path / "out"
    short = phone_options(out, max_epoch=1)
    train(short)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pth")}
    train(short)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.pth")} == before
    longer = phone_options(out, max_epoch=EPOCHS)
    killed((ExactTrainer, "update", 1), lambda: train(longer))
    assert checkpoints.finished_epochs(out) is None  # a watcher must not take it for ended
    killed((Checkpoints, "restore", 1), lambda: train(longer))
    assert forked(lambda: train(longer)) == 0
    assert_same_training(out)


def test_starting_anew_forgets_the_earlier_training(assert_same_training, phone_options, killed, tmp_path):
    out = tmp_path / "out"
    train(phone_options(out, max_epoch=1, seed=5))
    options = phone_options(out, max_epoch=EPOCHS)
    killed((ExactTrainer, "update", 1), lambda: PhonemeCTCTask.main(cmd=[*options, "--resume=false"]))
    assert checkpoints.finished_epochs(out) is None
    train(options)
    assert_same_training(out)


# ---- a save interval, and what is kept -----------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", ["checkpoint.pth", "1epoch.pth", "2epoch.pth"])
def test_a_resume_that_fails_changes_nothing(command, phone_options, damaged, tmp_path):
    options = phone_options(tmp_path / "exp", max_epoch=2, keep_nbest_models=2, resume=True)
    PhonemeCTCTask.main(cmd=options)
    (tmp_path / "exp" / damaged).write_bytes(b"0" * 100)
    before = {path: path.read_bytes() for path in (*(tmp_path / "exp").glob("*.pth"), tmp_path / "exp/finished")}
    done = command(phoneme_ctc_train, *options, "--max_epoch", "3")
    assert done.code == 1 and damaged in done.err.splitlines()[-1]
    assert {path: path.read_bytes() for path in before} == before


def test_the_interval_counts_updates_and_does_not_change_the_weights(
    phone_options, uninterrupted, killed, forked, assert_same_weights, tmp_path
):
    """Two updates an epoch; a kill in the third epoch, whose state before was saved after the second."""
    out = tmp_path / "out"
    options = phone_options(out, max_epoch=EPOCHS, save_interval=3)
    killed((ExactTrainer, "update", 4), lambda: train(options))
    assert not (out / "checkpoint.pth").exists()  # the state after the first epoch was not saved
    killed((ExactTrainer, "update", 6), lambda: train(options))
    assert checkpoints.epochs_in(out) == [2] and os.readlink(out / "latest.pth") == "2epoch.pth"
    assert forked(lambda: train(options)) == 0
    assert_same_weights(uninterrupted, out, EPOCHS, EPOCHS)


def test_the_watcher_gets_every_epoch_also_those_that_are_not_saved(phone_options, tmp_path):
    every, some = tmp_path / "every", tmp_path / "some"
    for out, conf in ((every, {}), (some, dict(save_interval=100))):
        (out / "unchecked").mkdir(parents=True)
        train(phone_options(out, max_epoch=EPOCHS, **conf))
        assert checkpoints.epochs_in(out / "unchecked") == [1, 2]
    for epoch in (1, 2):
        first, second = (read_state(out / f"unchecked/{epoch}epoch.pth") for out in (every, some))
        assert all(value.equal(second[name]) for name, value in first.items())
    assert checkpoints.epochs_in(some) == [3]


def saved(folder, losses, **conf):
    """The epochs that are kept of a training with these validation losses; minus marks an epoch that is not saved."""
    options = dict(output_dir=folder, keep_last=1, keep_nbest_models=1, resume=True, max_epoch=9)
    options |= dict(best_model_criterion=[["valid", "loss", "min"]])
    files = Checkpoints(SimpleNamespace(**{**options, **conf}), SimpleNamespace(distributed=False))
    engine = SimpleNamespace(module=torch.nn.Linear(2, 2), is_sharded=False, optimizer_state=dict, parameters=[])
    reporter = Reporter()
    for epoch, loss in enumerate(losses, 1):
        reporter.set_epoch(epoch)
        reporter.stats[epoch] = {"valid": {"loss": abs(loss)}}
        engine.module.weight.data.fill_(epoch)
        if loss > 0:
            files.save(engine, [], reporter, ends=epoch == len(losses))
    files.finish(reporter)
    return checkpoints.epochs_in(folder)


def test_the_last_and_the_best_epochs_are_kept(tmp_path):
    assert saved(tmp_path / "a", [5, 1, 3, 2, 4]) == [2, 5] and os.readlink(tmp_path / "a/latest.pth") == "5epoch.pth"
    assert saved(tmp_path / "b", [5, 1, 3, 2, 4], keep_last=3) == [2, 3, 4, 5]
    assert saved(tmp_path / "c", [-5, -1, 3, -2, 4, 6], keep_nbest_models=2) == [3, 5, 6]
    assert os.readlink(tmp_path / "c/valid.loss.best.pth") == "3epoch.pth"  # the best of those that are saved


def test_averages_are_means_of_the_best_epochs(tmp_path):
    assert saved(tmp_path, [1, 4, 2, 3], keep_nbest_models=[1, 3]) == [1, 3, 4]
    assert read_state(tmp_path / "valid.loss.ave_3best.pth")["weight"].eq((1 + 3 + 4) / 3).all()
    assert read_state(tmp_path / "valid.loss.ave_1best.pth")["weight"].eq(1).all()
    assert os.readlink(tmp_path / "valid.loss.ave.pth") == "valid.loss.ave_3best.pth"


def test_a_training_that_was_killed_after_it_stopped_early_trains_no_more(phone_options, killed, forked, tmp_path):
    options = phone_options(tmp_path / "out", max_epoch=9, patience=-1)  # as after the final epochs of IA-SFT
    killed((Checkpoints, "finish", 1), lambda: train(options))
    assert forked(lambda: train(options)) == 0
    assert checkpoints.epochs_in(tmp_path / "out") == [1] and (tmp_path / "out/finished").exists()


@pytest.mark.parametrize(
    "conf", [dict(save_interval=0), dict(keep_last=0), dict(save_interval=5, num_iters_per_epoch=None)]
)
def test_impossible_options_of_checkpoints(command, phone_options, conf, tmp_path):
    done = command(phoneme_ctc_train, *phone_options(tmp_path / "out", **conf))
    assert done.code == 1 and f"--{list(conf)[0]} " in done.err.strip().splitlines()[-1]


# ---- weights that are not trained ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def align(llm_options, tmp_path_factory):
    """An alignment of two epochs: encoder and LLM are frozen; `half` is it after one epoch, as a kill leaves it."""
    root = tmp_path_factory.mktemp("align")
    conf = dict(freeze_param=["encoder", "llm"], keep_nbest_models=2, resume=True)
    LLMASRTask.main(cmd=llm_options(root / "half", **conf, max_epoch=1))
    (root / "half/finished").unlink()
    shutil.copytree(root / "half", root / "out", symlinks=True)
    LLMASRTask.main(cmd=llm_options(root / "out", **conf, max_epoch=2))
    return root, conf


def test_frozen_weights_are_not_written_again(align):
    out = align[0] / "out"
    (frozen,) = (out / "frozen").iterdir()
    sizes = {path.name: path.stat().st_size for path in (*out.glob("*epoch.pth"), out / "checkpoint.pth", frozen)}
    assert sizes["1epoch.pth"] + sizes["2epoch.pth"] + sizes["checkpoint.pth"] < sizes[frozen.name]
    trained = torch.load(out / "2epoch.pth", weights_only=True)
    assert {name.split(".")[0] for name in trained} & {"encoder", "llm", "adaptor"} == {"adaptor"}


def test_latest_and_best_of_a_finished_training_are_whole(align, tmp_path):
    """What users load with torch.load and what ESPnet packs: a copy of the two files is enough."""
    out = align[0] / "out"
    for name in ("latest.pth", "valid.loss.best.pth"):
        state = torch.load(out / name, weights_only=True)
        epoch = os.readlink(out / name).removeprefix("whole/")
        expected = read_state(out / epoch)
        assert set(state) == set(expected) and all(value.equal(expected[name]) for name, value in state.items())
    for name in ("config.yaml", "latest.pth"):
        shutil.copy(out / name, tmp_path)
    LLMASRTask.load(tmp_path / "config.yaml", tmp_path / "latest.pth")


def test_a_whole_file_of_any_epoch(align, command, tmp_path):
    out = align[0] / "out"
    assert command(whole_weights, out / "1epoch.pth", tmp_path / "whole.pth").code == 0
    state, expected = torch.load(tmp_path / "whole.pth", weights_only=True), read_state(out / "1epoch.pth")
    assert set(state) == set(expected) and all(value.equal(expected[name]) for name, value in state.items())
    LLMASRTask.load(out / "config.yaml", out / "1epoch.pth")


def test_a_training_goes_on_and_starts_from_files_that_refer_to_others(align, command, forked, llm_options, tmp_path):
    """Also where those are gone or changed: one line with their name."""
    root, conf = align
    shutil.copytree(root / "half", tmp_path / "half", symlinks=True)
    options = llm_options(tmp_path / "half", **conf, max_epoch=2)
    start = llm_options(tmp_path / "new", init_param=[f"{root}/out/1epoch.pth"], freeze_param=["llm"], max_epoch=1)
    assert forked(lambda: LLMASRTask.main(cmd=start)) == 0
    new, old = read_state(tmp_path / "new/latest.pth"), read_state(root / "out/1epoch.pth")
    assert all(new[name].equal(value) for name, value in old.items() if name.startswith("llm."))
    (frozen,) = (tmp_path / "half/frozen").iterdir()
    content = frozen.read_bytes()
    frozen.write_bytes(content[:-1] + b"x")
    done = command(llm_asr_train, *options)
    assert done.code == 1 and f"{frozen}, which has another content" in done.err.strip().splitlines()[-1]
    frozen.unlink()
    for words in (options, llm_options(tmp_path / "x", init_param=[f"{tmp_path}/half/1epoch.pth"])):
        done = command(llm_asr_train, *words)
        assert done.code == 1 and f"{frozen}, which is missing" in done.err.strip().splitlines()[-1]
    frozen.write_bytes(content)
    assert forked(lambda: LLMASRTask.main(cmd=options)) == 0
    first, second = (read_state(path / "2epoch.pth") for path in (root / "out", tmp_path / "half"))
    assert all(value.equal(second[name]) for name, value in first.items())


def test_a_state_of_an_optimizer_over_all_parameters_is_refused(command, llm_options, monkeypatch, tmp_path):
    """Earlier versions gave frozen parameters to the optimizer, too, and did not note the names of its parameters."""
    out = tmp_path / "exp"
    options = llm_options(out, freeze_param=["encoder"], resume=True, max_epoch=1)
    with monkeypatch.context() as patch:
        patch.setattr(speech_task, "set_factors", lambda *args: None)
        LLMASRTask.main(cmd=options)
    states = torch.load(out / "checkpoint.pth", weights_only=False)
    del states["parameters"]
    torch.save(states, out / checkpoints.PREVIOUS)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.suffix == ".pth" or path.name == "finished"}
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *args, **conf: pytest.fail("weights are loaded"))
    done = command(llm_asr_train, *options, "--max_epoch", "2")
    line = done.err.strip().splitlines()[-1]
    assert done.code == 1 and f"{checkpoints.PREVIOUS} has the optimizer's state of other parameters than" in line
    assert f"--init_param {out}/latest.pth" in line
    assert {path: path.read_bytes() for path in out.rglob("*") if path in before or path.suffix == ".pth"} == before
