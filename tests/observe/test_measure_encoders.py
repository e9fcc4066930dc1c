"""bin.make_targets and bin.measure_encoders on tiny trainings, and their mistakes."""

import json
import os
from unittest.mock import Mock

import pytest
import torch

from espnet_llmasr.bin import make_targets
from espnet_llmasr.bin import measure_encoders as measure_encoders
from espnet_llmasr.observe import measure, plot_style
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.targets import Targets


@pytest.fixture(scope="module")
def targets(corpus, tiny_llm, tmp_path_factory):
    path = tmp_path_factory.mktemp("targets") / "train.npz"
    make_targets.main(["--data_dir", f"{corpus}/train", "--embedder", str(tiny_llm), "--out", str(path)])
    return path


@pytest.fixture(scope="module")
def exp(phone_options, llm_options, tmp_path_factory):
    """A pretraining and a joint SFT that starts from it, one epoch each."""
    root = tmp_path_factory.mktemp("observed") / "exp"
    PhonemeCTCTask.main(cmd=phone_options(root / "pretrain", max_epoch=1))
    LLMASRTask.main(cmd=llm_options(root / "joint_sft", max_epoch=1))
    return root


@pytest.fixture()
def options(corpus, targets, tmp_path):
    """(*options) -> the command line of measure_encoders."""
    fixed = ["--data_dir", f"{corpus}/train", "--targets", str(targets), "--num_components", "2"]
    return lambda *more: [*fixed, "--out", str(tmp_path / "out"), *map(str, more)]


def rows(path):
    return [json.loads(line) for line in (path / "out" / "observations.jsonl").read_text().splitlines()]


def test_targets_come_from_the_text(corpus, targets, tiny_llm):
    found = Targets.load(targets)
    assert len(found.ids) == 8 and found.made["phones_from"] == "zh_en" and found.made["embedder"] == str(tiny_llm)
    assert torch.allclose(found.phonetic.sum(1), torch.ones(8).double())
    torch.testing.assert_close(found.semantic.norm(dim=1), torch.ones(8))
    assert found.text.shape == (8, 64) and not set(found.made["phones"]) & {"<unk>", "<blank>"}


def test_targets_from_a_table_of_phones(corpus, tiny_llm, tmp_path):
    command = ["--data_dir", f"{corpus}/train", "--embedder", str(tiny_llm), "--out", str(tmp_path / "t.npz")]
    make_targets.main([*command, "--phones", f"{corpus}/train/phones"])
    assert set(Targets.load(tmp_path / "t.npz").made["phones"]) <= {"a1", "b", "i4", "sh", "AH", "K", "S", "T"}


def test_an_experiment_is_measured_once(exp, options, tmp_path, monkeypatch):
    measure_encoders.main(options("--exp", exp))
    first = rows(tmp_path)
    places = [("pretrain.2", "pretrain", 2), ("joint_sft.2", "joint_sft", 2)]
    assert [(row["name"], row["stage"], row["step"]) for row in first] == places
    assert first[0]["utterances"] == 8 and first[0]["set"] == "train" and len(first[0]["layers"]["nse"]) == 2
    assert first[0]["cka_text_adaptor"] is None and 0 < first[1]["cka_text_adaptor"] <= 1
    assert (tmp_path / "out" / "figure_1.png").exists() and (tmp_path / "out" / "figure_3.svg").exists()
    monkeypatch.setattr(measure, "measure", Mock(side_effect=AssertionError("measured again")))
    measure_encoders.main(options("--exp", exp))
    measure_encoders.main(options("--model", f"again={exp}/joint_sft:1epoch.pth"))
    assert rows(tmp_path)[:2] == first and rows(tmp_path)[2]["pai"] == first[1]["pai"]
    os.utime(exp / "joint_sft" / "1epoch.pth", (1, 1))
    with pytest.raises(AssertionError, match="measured again"):
        measure_encoders.main(options("--exp", exp))


def test_reference_and_number_of_utterances(exp, options, tmp_path):
    model = f"a={exp}/pretrain"
    measure_encoders.main(options("--model", model, "--reference", exp / "pretrain", "--num_utterances", 7))
    (row,) = rows(tmp_path)
    assert row["cka_reference"] == pytest.approx([1, 1]) and row["utterances"] == 7


def test_drawing_alone(exp, options, tmp_path):
    measure_encoders.main(options("--model", f"a={exp}/pretrain"))
    drawn = tmp_path / "out" / "figure_4.png"
    drawn.unlink()
    measure_encoders.main(["--out", str(tmp_path / "out")])
    assert drawn.exists()


def test_nothing_of_a_broken_measurement_stays(exp, options, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "read_audio", Mock(side_effect=ValueError("no audio")))
    with pytest.raises(ValueError, match="train_0: no audio"):
        measure_encoders.main(options("--exp", exp))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "given, message",
    [
        (["--model", "a=/absent"], "no encoder at '/absent'"),
        (["--model", "absent"], "expected NAME=PATH"),
        (["--exp", "/absent"], "has no checkpoints in pretrain, ia_sft, joint_sft"),
        ([], "observations.jsonl does not exist: make it with"),
        (["--model", "a=.", "--model", "a=."], "this name is taken"),
        (["--exp", ".", "--ridge", "x"], "invalid number value: 'x'"),
        (["--exp", "/absent", "--pair", "a=b"], "--pair a=b: expected LABEL=BEFORE,AFTER"),
        (["--exp", "/absent", "--compare", "a=/none"], "/none/observations.jsonl does not exist"),
    ],
)
def test_mistakes(command, options, given, message, tmp_path):
    done = command(measure_encoders, *options(*given))
    assert done.code == 1 and message in done.err.splitlines()[-1] and "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_nothing_is_measured(command, exp, options, tmp_path, monkeypatch):
    monkeypatch.setattr(plot_style, "find_spec", lambda name: None)
    done = command(measure_encoders, *options("--exp", exp))
    assert done.code == 1 and done.err.endswith("not installed: pip install matplotlib\n")
    assert not (tmp_path / "out").exists()


def test_mistakes_of_make_targets(command, corpus, tiny_llm, tmp_path):
    given = ["--embedder", tiny_llm, "--out", tmp_path / "t.npz"]
    (tmp_path / "phones").write_text("train_0 a1\n")
    (tmp_path / "text").write_text("u1\n")
    train = f"{corpus}/train"
    for data_dir, more, message in (
        (tmp_path / "absent", [], "text does not exist"),
        (tmp_path, [], "has no transcript with phones"),
        (train, ["--phones", tmp_path / "phones"], "has no phones of train_1 (7 are missing)"),
        (train, ["--embedder", "/absent"], "/absent has no config.json: give the directory of a text model"),
        (train, ["--embedder", "/absent", "--out", tmp_path / "t.txt"], "must end in .npz"),  # before the work
    ):
        done = command(make_targets, *given, "--data_dir", data_dir, *more)
        assert done.code == 1 and message in done.err and "Traceback" not in done.err
        assert not (tmp_path / "t.npz").exists()
