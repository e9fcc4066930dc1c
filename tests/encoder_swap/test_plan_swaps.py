"""The planner's command on a real tiny pretraining: as the live watcher, its table, replays, mistakes."""

import json
import shutil
from dataclasses import replace

import pytest

from espnet_llmasr.bin import make_swap_schedule, plan_swaps, watch
from espnet_llmasr.encoder_swap import watcher
from espnet_llmasr.encoder_swap.rule import cka_log
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import swap_log
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.checkpoints import FINISHED, hand_over

EPOCHS, UPDATES = 6, 2


@pytest.fixture(scope="module")
def pretrained(phone_options, tmp_path_factory):
    """Six epochs of two updates, all kept; the learning rate moves the encoder well away."""
    out = tmp_path_factory.mktemp("pretrained") / "out"
    options = dict(max_epoch=EPOCHS, num_iters_per_epoch=UPDATES, keep_nbest_models=EPOCHS, optim_conf=dict(lr=0.02))
    PhonemeCTCTask.main(cmd=phone_options(out, **options))
    return out


def options(pretrained, corpus, *thresholds, **extra):
    values = dict(pretrain_dir=pretrained, data_dir=corpus / "valid", start_step=4) | extra
    given = [str(part) for name, value in values.items() for part in (f"--{name}", value)]
    return given + (["--threshold", *map(str, thresholds)] if thresholds else [])


def plan(pretrained, corpus, tmp_path, *thresholds, **extra):
    """The planned summaries."""
    plan_swaps.main(options(pretrained, corpus, *thresholds, out=tmp_path / "plan", **extra))
    return json.loads((tmp_path / "plan.json").read_text())


@pytest.fixture()
def watched(pretrained, corpus, tmp_path, monkeypatch):
    """(**options) -> the store of the live watcher: whenever it has nothing to do, the pretraining ends an epoch."""

    def follow(**extra):
        copy, left = tmp_path / "growing", list(range(2, EPOCHS + 1))
        copy.mkdir()
        shutil.copy(pretrained / "config.yaml", copy)

        def epoch(number):
            if number > 1:
                hand_over(copy, number - 1, None)
            shutil.copy(pretrained / f"{number}epoch.pth", copy)
            (copy / "latest.pth").unlink(missing_ok=True)
            (copy / "latest.pth").symlink_to(f"{number}epoch.pth")
            if number == EPOCHS:
                shutil.copy(pretrained / FINISHED, copy)

        epoch(1)
        monkeypatch.setattr(watcher.time, "sleep", lambda _: epoch(left.pop(0)))
        watch.main(options(copy, corpus, encoder_dir=tmp_path / "live", **extra))
        return EncoderStore(tmp_path / "live")

    return follow


def lines(store):
    """The log without what the clock says."""
    return [replace(check, time="", seconds=None) for check in cka_log(store.directory).read()]


def replay(pretrained, corpus, store, **extra):
    """The store of a watcher of the stored epochs."""
    watch.main(options(pretrained, corpus, encoder_dir=store, epochs="stored", **extra))
    return EncoderStore(store)


def test_planned_and_replayed_as_by_the_live_watcher(pretrained, corpus, tmp_path, watched):
    live = watched(threshold=0.99)
    (found,) = plan(pretrained, corpus, tmp_path, 0.99)
    planned = replay(pretrained, corpus, tmp_path / "planned", threshold=0.99)
    assert lines(planned) == lines(live) and planned.final_step() == live.final_step() == EPOCHS * UPDATES
    assert planned.steps() == live.steps() == [trigger["step"] for trigger in found["triggers"]]
    names = {path.name for path in planned.directory.iterdir()}
    assert names == {path.name for path in live.directory.iterdir()}
    for step in live.steps():
        first, second = live.load(step), planned.load(step)
        assert all(first[name].equal(second[name]) for name in first)
    assert (planned.directory / "watch.yaml").read_text() == (live.directory / "watch.yaml").read_text()


def test_the_table(pretrained, corpus, tmp_path, capsys):
    found = plan(pretrained, corpus, tmp_path, 0.0001, 1.0, 1.0)
    text = capsys.readouterr().out
    assert text.rstrip() == (tmp_path / "plan.md").read_text().rstrip()
    assert [(row["rule"]["threshold"], row["swaps"]) for row in found] == [(0.0001, 0), (1.0, 3)]
    assert [trigger["step"] for trigger in found[1]["triggers"]] == [6, 8, 10, 12]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert rows[0][1].startswith("12 (0.") and rows[0][1].endswith(", end)") and rows[0][2:5] == ["0", "-", "-"]
    assert rows[1][2] == "3" and rows[1][4:] == ["2 / 2 / 2", "2 |"]
    assert "5 checks from step 4 to 12 (the end of the pretraining" in text


def test_a_replay_that_was_interrupted_goes_on(pretrained, corpus, tmp_path, monkeypatch):
    whole = replay(pretrained, corpus, tmp_path / "whole", threshold=1.0)
    append = watcher.Watcher._append

    def stop_at_step_8(self, check):
        if check.step == 8:
            raise KeyboardInterrupt
        append(self, check)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(watcher.Watcher, "_append", stop_at_step_8)
        replay(pretrained, corpus, tmp_path / "parts", threshold=1.0)
    parts = replay(pretrained, corpus, tmp_path / "parts", threshold=1.0)
    strip = lambda store: [(check.step, check.action, check.cka) for check in lines(store)]
    assert strip(whole) == strip(parts) and whole.steps() == parts.steps() == [6, 8, 10, 12]


def test_schedule_of_an_ia_sft_on_the_replayed_encoders(pretrained, corpus, tmp_path, command):
    store, schedule = tmp_path / "store", tmp_path / "swaps.jsonl"
    made = ("--encoder_dir", store, "--schedule", schedule, "--epochs", 9)
    assert "has no last encoder yet" in command(make_swap_schedule, *made).err
    replay(pretrained, corpus, store, threshold=1.0)
    make_swap_schedule.main([*map(str, made), "--final_epochs", "2"])
    assert [swap.epoch for swap in swap_log(schedule).read()] == [4, 6, 8] and swap_log(schedule).read()[-1].final
    make_swap_schedule.main([*map(str, made)])
    assert swap_log(schedule).read()[-1].epoch == 7  # a third of the epochs on the last encoder


def test_an_ia_sft_that_has_begun_is_not_planned_otherwise(pretrained, corpus, tmp_path, command):
    """Longer, the same encoders would come at other epochs than those that have been trained."""
    store, schedule, training = (tmp_path / name for name in ("store", "swaps.jsonl", "ia_sft"))
    replay(pretrained, corpus, store, threshold=1.0)
    plan = lambda epochs: ["--encoder_dir", store, "--schedule", schedule, "--ia_sft_dir", training, "--epochs", epochs]
    assert command(make_swap_schedule, *plan(9)).code == 0
    training.mkdir()
    (training / "swaps.jsonl").write_text("".join(schedule.read_text().splitlines(keepends=True)[:1]))
    (training / "swaps.decided").write_text(f"{swap_log(schedule).read()[0].epoch}\n")
    before = schedule.read_text()
    assert command(make_swap_schedule, *plan(9)).code == 0
    done = command(make_swap_schedule, *plan(30))
    assert done.code == 1 and "give as many epochs as before" in done.err and done.err.count("\n") == 1
    assert schedule.read_text() == before


# ---- mistakes ------------------------------------------------------------------------------------------------------


def test_mistakes(command, pretrained, corpus, tmp_path):
    """test_plan has all missing epochs."""
    incomplete = shutil.copytree(pretrained, tmp_path / "copy", symlinks=True)
    (incomplete / FINISHED).unlink()
    (incomplete / "5epoch.pth").write_bytes(b"PK")
    for module, asked, message in (
        (
            plan_swaps,
            options(incomplete, corpus, 1.5, out=tmp_path / "plan"),
            "--threshold: 1.5 is no finite number of 0 to 1",
        ),
        (plan_swaps, options(incomplete, corpus, out=tmp_path / "plan"), "5epoch.pth is missing or broken"),
        (watch, options(incomplete, corpus, encoder_dir=tmp_path / "e", epochs="stored"), "has not ended"),
    ):
        done = command(module, *asked)
        assert done.code == 1 and message in done.err.splitlines()[-1] and not (tmp_path / "plan.md").exists()
