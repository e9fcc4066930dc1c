"""Files that are cut off or hold something else: the report tells which, and shows all other parts."""

import importlib.util
import math
import shutil
from pathlib import Path

import pytest

from espnet_llmasr.bin import report
from espnet_llmasr.report import history as _report_history
from espnet_llmasr.report.stages import Stage, find_stages, stage_table

spec = importlib.util.spec_from_file_location("made_up", Path(__file__).with_name("report_experiment.py"))
made_up = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made_up)

CKA, WATCH, DRIFT, ALIGNED = "encoders/cka.jsonl", "encoders/watch.yaml", "joint_sft/drift.jsonl", "alignments.jsonl"
MANY = "1" * 400  # JSON allows whole numbers that no float can hold


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    return made_up.make(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def damaged(exp, tmp_path):
    """(name of a file, text in it, what replaces it) -> an experiment with that file."""

    def damaged_(name, old, new):
        copy = tmp_path / "exp"
        shutil.copytree(exp, copy)
        text = (copy / name).read_text(encoding="utf-8")
        assert old in text
        (copy / name).write_text(text.replace(old, new, 1) if new else text[: text.index(old)], encoding="utf-8")
        return copy

    return damaged_


def part(folder, anchor):
    """The HTML of one part of the page."""
    title, make = next(rest for ident, *rest in report.parts_of(folder, find_stages(folder), 1) if ident == anchor)
    return report.built(title, make)


@pytest.mark.parametrize(
    "anchor, name, old, new",
    [
        ("swaps", CKA, ', "action": "keep"', ""),  # cut off
        ("swaps", CKA, "[0.99, 0.981]", "[0.99]"),
        ("swaps", CKA, "[0.99, 0.981]", f"[0.99, {MANY}]"),
        ("swaps", CKA, '"step": 2', '"step": null'),
        ("timeline", CKA, '"time": "2026-11-21T10:02:10"', '"time": "today"'),
        ("timeline", CKA, '"time": "2026-11-21T10:02:10"', '"time": 5'),
        ("swaps", WATCH, "0.975", "["),
        ("swaps", WATCH, "0.975", "[1]"),
        ("curves", "ia_sft/swaps.jsonl", '"epoch": 2', '"epoch": []'),
        ("drift", DRIFT, '"csai": 1.75', ""),
        ("drift", DRIFT, '"nse": 0.5', '"nse": []'),
        ("metrics", "observe/observations.jsonl", "[0.25, 0.375]", "2"),
        ("metrics", "observe/observations.jsonl", '"set": "valid"', '"set": null'),
        ("examples", f"joint_sft/decode/one/{ALIGNED}", '"reference": "the cat sat", ', " "),
        ("examples", f"joint_sft/decode/one/{ALIGNED}", '["correct", "the", "the"]', "5"),
        ("errors", "joint_sft/decode/scores.json", '"utterances"', ""),
    ],
)
def test_the_file_is_named(damaged, anchor, name, old, new):
    text = part(damaged(name, old, new), anchor)
    assert "Left out: " in text and Path(name).name in text and text.count("<p") == 1


def test_a_whole_page_of_damage(damaged, caplog):
    folder = damaged(CKA, ', "action": "keep"', "")
    (folder / "joint_sft/drift.jsonl").write_text("5\n")
    (folder / "align/config.yaml").write_text("max_epoch: 3\naccum_grad: two\n")
    (folder / "pretrain/flops.jsonl").write_text(made_up.flops_line(1, 2**2000))
    page = made_up.Page(report.page(folder, 1))
    assert len([text for text in page.all("p") if text.startswith("Left out: ")]) == 4
    assert {"Stages is left out", "Timeline is left out"} <= {line.partition(":")[0] for line in caplog.messages}
    assert "Entropy allocation" in page.tables and page.all("article")


@pytest.mark.parametrize("stats", [5, {1: None}, {1: {"train": 5}}])
def test_a_checkpoint_of_another_trainer(tmp_path, stats):
    made_up.torch.save({"reporter": {"stats": stats}}, tmp_path / "checkpoint.pth")
    (tmp_path / "train.log").write_text(made_up.RESULTS)
    assert list(_report_history.read_epochs(tmp_path)) == [1, 2, 3]


def trained(name, losses):
    return Stage(
        name, {"max_epoch": 9}, {n: {"valid": {"loss": loss, "time": 5.0}} for n, loss in losses}, False, None, None
    )


def test_a_diverged_loss_is_told_and_not_replaced_by_an_earlier_one():
    page = made_up.Page(stage_table([trained("a", [(1, 4.0), (2, 2.0), (3, math.nan), (4, math.inf)])]))
    assert page.tables["Trainings"][1][6:8] == ["2.0000 (epoch 2)", "-"]
    assert "a: the loss is not finite in 2 epochs, first in 3." in page.all("p")


def test_epochs_before_the_log_are_told():
    page = made_up.Page(stage_table([trained("a", [(1, 4.0)]), trained("b", [(7, 2.0), (8, 1.0)])]))
    assert any(text.startswith("Resumed: b. ") for text in page.all("p"))
    assert "b: what epochs 1 to 6 took and reported is not known." in page.all("p")
