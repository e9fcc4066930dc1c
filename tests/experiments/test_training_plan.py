"""bin/plan_training.py: memory of each GPU, updates, passes and disk, before anything is trained."""

import json
import re
from pathlib import Path

import pytest

from espnet_llmasr.bin import plan_training
from espnet_llmasr.experiments import training_plan
from espnet_llmasr.experiments.training_plan import per_gpu
from espnet_llmasr.files import read_json
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.flops_log import read_flops
from espnet_llmasr.train.memory import StepMemory

ZERO2 = str(Path(__file__).parents[2] / "conf" / "ds_zero2.json")


@pytest.fixture()
def plan(corpus, tiny_llm, monkeypatch, capsys):
    """(configuration, options) -> the printed plan, in MB."""
    monkeypatch.setattr(training_plan, "GB", 1e6)

    def run(conf, *options, task="llm_asr", data=True):
        given = ["--data_dir", corpus / "train"] if data else []
        labels = ["--llm_dir", tiny_llm] if task == "llm_asr" else ["--token_list", corpus / "phones.txt"]
        capsys.readouterr()
        plan_training.main([*map(str, [f"{conf}.yaml", "--task", task, *labels, *given, *options])])
        return capsys.readouterr().out

    return run


def cells(printed: str) -> dict:
    """{GPUs: numbers} of the table."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("| ")]
    return {row[0]: [*map(float, row[1:6]), row[6]] for row in rows[2:]}


@pytest.mark.parametrize("task", [PhonemeCTCTask, LLMASRTask])
def test_a_plan_is_what_the_training_then_does(task, plan, phone_options, llm_options, tmp_path):
    options = phone_options if task is PhonemeCTCTask else llm_options
    conf = dict(num_iters_per_epoch=None, accum_grad=2, max_epoch=1, deepspeed_config=ZERO2)
    task.main(cmd=options(tmp_path / "exp", **conf))
    (line,) = read_flops(tmp_path / "exp")
    name = "phoneme_ctc" if task is PhonemeCTCTask else "llm_asr"
    printed = plan(tmp_path / "exp", "--num_ranks", 1, 2, task=name)
    updates = -(-line["batches"] // 2)
    assert f"- 1 GPU: {updates:,} updates an epoch, {updates:,} in 1 epochs, 1.0 passes over" in printed
    weights, gradients, optimizer, _, peak, word = cells(printed)["1"]
    assert optimizer == pytest.approx(2 * gradients, abs=0.2) and peak < 80 and word == "fits"
    assert set(cells(printed)) == {"1", "2, DDP", "2, ZeRO-2"} and cells(printed)["2, DDP"][5] == "fits"


def test_frozen_parts_checkpointing_and_budgets_change_the_plan(plan, llm_options, encoder_conf, tmp_path):
    deep = encoder_conf(num_blocks=12)  # blocks need more memory than features and optimizer
    llm_options(tmp_path / "exp", num_iters_per_epoch=4, max_frames=2000, encoder_conf=deep)
    options = ["--durations", 4, "--hours", 2]
    joint = cells(plan(tmp_path / "exp", *options, data=False))["1"]
    align = plan(tmp_path / "exp", *options, "--options=--freeze_param encoder llm", data=False)
    less = plan(tmp_path / "exp", *options, "--options=--gradient_checkpointing encoder llm", data=False)
    assert joint[0] == cells(align)["1"][0] and cells(align)["1"][2] < 0.2 * joint[2]
    assert cells(less)["1"][:3] == joint[:3] and cells(less)["1"][4] < joint[4]
    assert "passes over 2.0 h of speech" in less


def test_without_data_the_durations_above_max_frames_are_left_out(plan, phone_options, tmp_path):
    phone_options(tmp_path / "exp", max_frames=800, num_iters_per_epoch=4)
    printed = lambda *options: plan(tmp_path / "exp", *options, task="phoneme_ctc", data=False)
    assert printed() == printed("--durations", 1, 4.5)
    with pytest.raises(ValueError, match="--durations 9.0, 15.0 s have more than max_frames=800 frames: give shorter"):
        printed("--durations", 9, 15)


def test_what_does_not_fit_gets_proposals_that_do(plan, phone_options, tmp_path):
    phone_options(tmp_path / "exp", max_frames=2000, num_iters_per_epoch=4)
    options = ["--durations", 4, "--num_ranks", 2]
    peak = cells(plan(tmp_path / "exp", *options, task="phoneme_ctc", data=False))["2, DDP"][4]
    printed = plan(tmp_path / "exp", *options, "--gpu_memory_gb", int(0.8 * peak), task="phoneme_ctc", data=False)
    assert cells(printed)["2, DDP"][5] == "does not fit"
    (line,) = [line for line in printed.splitlines() if line.startswith("- 2 GPUs: does not fit")]
    budget = re.search(r"`max_frames: (\d+), accum_grad: (\d+)` \(([\d.]+) GB\)", line)
    assert int(budget[1]) * int(budget[2]) >= 2000 and float(budget[3]) <= int(0.8 * peak)
    smaller = plan(tmp_path / "exp", *options, f"--options=--max_frames {budget[1]}", task="phoneme_ctc", data=False)
    assert cells(smaller)["2, DDP"][4] == pytest.approx(float(budget[3]), abs=0.1)
    printed = plan(tmp_path / "exp", *options, "--gpu_memory_gb", 1, task="phoneme_ctc", data=False)
    assert "does not fit into 1 GB: take more GPUs with ZeRO-2, or larger ones" in printed


def test_shares_of_gpus():
    memory = StepMemory(weights=100, trained=80, optimizer=160, activations=50, with_gradients=90, update=20)
    assert per_gpu(memory, 1).peak == 100 + 160 + 100  # the optimizer needs most, with all gradients
    assert per_gpu(memory, 8).peak == 100 + 80 + 160 + 50
    assert per_gpu(memory, 8, 7.0).peak == 100 + (80 + 160 + 80) / 8 + 50 + 7
    assert per_gpu(memory, 2, 7.0).peak == 100 + (80 + 160 + 80) / 2 + (80 + 20) / 2 + 7


@pytest.mark.parametrize("changes, buckets_mb", [({}, 400), ({"overlap_comm": True, "reduce_bucket_size": 3e7}, 240)])
def test_the_buckets_of_zero2_are_those_of_the_configuration(changes, buckets_mb, plan, phone_options, tmp_path):
    """And a training that asks for ZeRO-2 does not fit if it does not fit with ZeRO-2, which is then not proposed."""
    config = read_json(ZERO2)
    config["zero_optimization"] |= changes
    (tmp_path / "ds.json").write_text(json.dumps(config))
    phone_options(tmp_path / "exp", deepspeed_config=str(tmp_path / "ds.json"))
    options = ["--durations", 1, "--num_ranks", 2, "--gpu_memory_gb", buckets_mb]
    printed = plan(tmp_path / "exp", *options, task="phoneme_ctc", data=False)
    _, gradients, _, _, _, word = cells(printed)["2, ZeRO-2"]
    assert gradients == pytest.approx(buckets_mb + cells(printed)["2, DDP"][1] / 2, abs=0.1)
    assert cells(printed)["2, DDP"][5] == "fits" and word == "does not fit"
    assert "2 GPUs: does not fit" in printed and "`deepspeed_config" not in printed


def test_a_plan_without_a_configuration_of_deepspeed_is_of_ddp(plan, phone_options, monkeypatch, tmp_path):
    phone_options(tmp_path / "exp")
    monkeypatch.chdir(tmp_path)
    printed = plan(tmp_path / "exp", "--durations", 1, "--num_ranks", 1, 2, task="phoneme_ctc", data=False)
    assert set(cells(printed)) == {"1", "2, DDP"}


def test_hours_are_measured(plan, phone_options, monkeypatch, tmp_path):
    monkeypatch.setattr(training_plan, "MEASURED_S", 0.2)
    phone_options(tmp_path / "exp")
    printed = plan(tmp_path / "exp", "--measure", "cpu", task="phoneme_ctc")
    assert re.search(r"- 1 GPU: \d[\d,]*\.\d h, at \d+\.\d\d TFLOP/s as measured on one", printed)
