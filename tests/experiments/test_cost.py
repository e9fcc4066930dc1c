"""bin/flops.py: the table of what trainings have cost, and plans for a budget that the training then keeps."""

import json

import pytest

from espnet_llmasr.bin import flops
from espnet_llmasr.experiments.cost import EpochCost
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.flops_log import read_flops, record

GIVEN = ["--data_dir", "dump/train", "--llm_dir", "exp/llm", "--budget", "1e9"]


@pytest.fixture()
def trainings(tmp_path):
    """Two folders of trainings that have cost 30 and 70."""
    for epoch, cost in ((1, 10), (2, 20)):
        record(tmp_path / "pretrain", dict(epoch=epoch, flops=cost, batches=4))
    record(tmp_path / "align", dict(epoch=1, flops=70, batches=5))
    return [str(tmp_path / name) for name in ("pretrain", "align")]


@pytest.fixture()
def llm_plan(corpus, tiny_llm):
    """The options of a plan for the configuration of a tiny fine-tuning."""
    return lambda conf: ["--plan", f"{conf}.yaml", "--data_dir", f"{corpus}/train", "--llm_dir", f"{tiny_llm}"]


def test_table(trainings, capsys):
    flops.main(trainings)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[2] == [trainings[0], "2", "8", "3.0000e+01", "30.0%"]
    assert rows[3] == [trainings[1], "1", "5", "7.0000e+01", "70.0%"]
    assert rows[4] == ["total", "", "", "1.0000e+02", ""]


def test_json(trainings, capsys):
    flops.main([*trainings, "--json"])
    stages = json.loads(capsys.readouterr().out)
    assert stages[0] == dict(stage=trainings[0], epochs=2, batches=8, flops=30)


@pytest.mark.parametrize("freeze", [["encoder", "llm"], []], ids=["alignment", "joint SFT"])
def test_a_plan_costs_what_the_training_then_takes(freeze, llm_options, llm_plan, capsys, tmp_path):
    """An epoch that is exactly all batches: its cost is known to the last FLOP."""
    conf = dict(freeze_param=freeze, num_iters_per_epoch=None, accum_grad=2, max_epoch=1)
    LLMASRTask.main(cmd=llm_options(tmp_path / "exp", **conf))
    (line,) = read_flops(tmp_path / "exp")
    options = llm_plan(tmp_path / "exp")
    flops.main([*options, "--budget", f"{3.4 * line['flops']}"])
    printed = capsys.readouterr().out
    assert (
        f"epoch:  {line['flops']:.4e} FLOPs, {line['batches']} batches, {-(-line['batches'] // 2)} updates" in printed
    )
    assert "plan:   3 epochs" in printed
    flops.main([*options, "--budget", f"{3.4 * line['flops']}", "--spent", str(tmp_path / "exp"), "--shell"])
    assert capsys.readouterr().out == "--max_epoch 2\n"


def test_a_plan_of_a_pretraining_with_a_schedule(corpus, phone_options, capsys, tmp_path):
    schedule = dict(max_lr=1e-3, min_lr=1e-4, total_steps=9, warmup_steps=3)
    conf = dict(num_iters_per_epoch=None, max_epoch=1, scheduler="exponentialdecaywarmup", scheduler_conf=schedule)
    PhonemeCTCTask.main(cmd=phone_options(tmp_path / "exp", **conf))
    (line,) = read_flops(tmp_path / "exp")
    options = ["--plan", str(tmp_path / "exp.yaml"), "--task", "phoneme_ctc", "--data_dir", f"{corpus}/train"]
    options += ["--token_list", f"{corpus}/phones.txt", "--shell", "--budget"]
    flops.main([*options, str(5 * line["flops"])])
    assert capsys.readouterr().out == f"--max_epoch 5 --scheduler_conf total_steps={5 * line['batches']}\n"
    flops.main([*options, str(5 * line["flops"]), "--options=--freeze_param encoder"])
    frozen = capsys.readouterr().out
    assert int(frozen.split()[1]) > 10  # forward only: about a third
    longer = f"--num_iters_per_epoch {line['batches'] * 50} --accum_grad 50"
    flops.main([*options, str(200 * line["flops"]), f"--options={longer}"])
    assert capsys.readouterr().out == f"--max_epoch 4 --scheduler_conf total_steps={4 * line['batches']}\n"
    flops.main([*options, str(4 * line["flops"]), "--num_ranks", "2"])
    assert int(capsys.readouterr().out.split()[1]) in (3, 4)  # both ranks together; batches are padded otherwise


def test_epochs_for_a_budget():
    cost = EpochCost(mean=10.0, deviation=2.0, batches=4, updates=2, schedule={})
    assert (cost.flops, cost.epoch_deviation) == (40.0, 4.0)
    assert [cost.epochs_for(budget) for budget in (1, 59, 61, 401)] == [1, 1, 2, 10]


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "give either folders of trainings, or --plan CONF"),
        (["exp/none"], "exp/none/flops.jsonl does not exist"),
        (["--plan", "conf/none.yaml"], "needs --data_dir, --llm_dir, --budget"),
        (["--plan", "conf/none.yaml", *GIVEN, "--budget", "inf"], "inf is no number of FLOPs: give one such as"),
        (["--plan", "conf/none.yaml", *GIVEN, "--budget", "nan"], "nan is no number of FLOPs"),
        (["--plan", "conf/none.yaml", *GIVEN, "--budget", "0"], "0 is no number of FLOPs"),
        (["--plan", "conf/none.yaml", *GIVEN], "No such file: conf/none.yaml"),
        (["--plan", "conf/none.yaml", "--task", "phoneme_ctc"], "needs --data_dir, --token_list, --budget"),
    ],
)
def test_mistakes(options, message, command):
    done = command(flops, *options)
    assert done.code == 1 and message in done.err and done.err.count("\n") == 1


def test_a_budget_that_is_spent(trainings, llm_plan, command, tmp_path):
    done = command(flops, *llm_plan(tmp_path / "exp"), "--budget", "90", "--spent", *trainings)
    assert done.code == 1 and "the budget of 9.0000e+01 FLOPs is spent, 1.00e+01 too much" in done.err


def test_a_budget_that_does_not_end_the_warm_up(llm_options, llm_plan, command, tmp_path):
    schedule = dict(max_lr=1e-3, min_lr=1e-4, total_steps=900, warmup_steps=300)
    llm_options(tmp_path / "exp", scheduler="exponentialdecaywarmup", scheduler_conf=schedule)
    done = command(flops, *llm_plan(tmp_path / "exp"), "--budget", "90", "--shell")
    assert done.code == 1 and "the budget is for 2 updates, the warm-up takes 300" in done.err
    done = command(flops, *llm_plan(tmp_path / "exp"), "--budget", "90", "--options=--accumulate 3")
    assert done.code == 1 and "unrecognized arguments: --accumulate 3" in done.err and done.err.count("\n") == 1
