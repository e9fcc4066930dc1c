"""The matrix of strategies: order, sharing, failures, what is written down, and what --status tells."""

import importlib.util
import json
import threading
from pathlib import Path

import pytest

from espnet_llmasr.bin import run_strategies
from espnet_llmasr.experiments.matrix import Matrix, named
from espnet_llmasr.experiments.strategies import STRATEGIES, Run
from espnet_llmasr.experiments.status import time_text
from espnet_llmasr.experiments.turns import Turns
from espnet_llmasr.experiments.runs import ORDER, read_runs

spec = importlib.util.spec_from_file_location("matrix_recipe", Path(__file__).with_name("matrix_recipe.py"))
made_up = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made_up)
calls, fake_tool, make_recipe = (
    made_up.calls,
    made_up.fake_tool,
    made_up.make_recipe,
)


@pytest.fixture()
def recipe(tmp_path, monkeypatch):
    """A recipe, which is the current folder."""
    monkeypatch.setattr(Matrix, "tool", fake_tool)
    monkeypatch.chdir(make_recipe(tmp_path / "recipe"))
    return tmp_path / "recipe"


def go(strategies="ia_sft", seeds="1", *options, after=()):
    """The driver, in this process."""
    command = ["--strategies", *strategies.split(), "--seeds", *seeds.split(), "--clips", "1", *options, "--", *after]
    return run_strategies.main(command)


def said(capsys, *args):
    """What --status tells."""
    capsys.readouterr()
    go(*(args or ("ia_sft", "1")), "--status", "true")
    return capsys.readouterr().out


def lines(recipe):
    return [json.loads(line) for line in (recipe / "exp_strategies/runs.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "strategy,model,start,shares",
    [
        ("ia_sft", "joint_sft", "ia_sft", True),
        ("no_swap", "joint_sft", "ia_sft", True),
        ("no_ia_sft", "joint_sft", "align", True),
        ("no_joint", "ia_sft", None, True),
        ("char", "joint_sft", "ia_sft", False),
        ("joint_only", "joint_sft", None, False),
        ("efin", "ia_sft", None, True),
    ],
)
def test_what_a_strategy_consists_of(strategy, model, start, shares):
    run = Run(strategy, 3)
    assert (run.model, run.plan.start, run.plan.shares_pretraining) == (model, start, shares)
    assert run.base == ("char/seed3" if strategy == "char" else "base/seed3")
    assert tuple(STRATEGIES) == ORDER


def test_nobody_waits_while_there_is_something_to_do():
    turns = Turns([Run(name, seed) for seed in (1, 2) for name in ("ia_sft", "no_swap", "char", "joint_only")])
    first = turns.take()
    assert first.name == "ia_sft/seed1"
    with turns.pretraining(first) as wanted:
        assert wanted
        others = [turns.take().name for _ in range(5)]
    assert others == ["char/seed1", "joint_only/seed1", "ia_sft/seed2", "char/seed2", "joint_only/seed2"]
    one = turns.take()
    with turns.pretraining(one) as wanted:
        assert one.name == "no_swap/seed1" and not wanted


def test_who_must_wait_goes_on_when_the_pretraining_is_there_and_tries_it_if_it_failed():
    turns, taken = Turns([Run(name, 1) for name in ("ia_sft", "no_swap")]), []
    first = turns.take()
    waiting = threading.Thread(target=lambda: taken.append(turns.take()))
    waiting.start()
    with pytest.raises(ValueError), turns.pretraining(first):
        assert not taken
        raise ValueError
    waiting.join(10)
    assert taken == [Run("no_swap", 1)]
    with turns.pretraining(taken[0]) as wanted:
        assert wanted
    assert turns.take() is None


def test_the_end_wakes_those_who_wait():
    turns, taken = Turns([Run(name, 1) for name in ("ia_sft", "no_swap")]), []
    turns.take()
    waiting = threading.Thread(target=lambda: taken.append(turns.take()))
    waiting.start()
    turns.end()
    waiting.join(10)
    assert taken == [None]


def test_two_workers_share_a_pretraining_and_do_not_wait_for_it(recipe, monkeypatch):
    monkeypatch.setenv("pause", "3")
    assert go("ia_sft no_swap char joint_only", "1 2", "--jobs", "2") == 0
    done = calls(recipe)
    assert len(lines(recipe)) == 8
    assert {done.count(f"begin pretrain.{seed}") for seed in (1, 2)} == {1}
    made = done.index("end pretrain.1")
    assert "begin char.1" in done[:made] and "begin joint_only.1" in done[:made]
    assert min(done.index("begin ia_sft.1"), done.index("begin no_swap.1")) > made


def test_the_line_of_a_run(recipe):
    go("ia_sft char joint_only no_joint", "1")
    rows = {row["strategy"]: row for row in lines(recipe)}
    assert list(rows) == ["ia_sft", "char", "joint_only", "no_joint"]
    full = {"pretrain": 150, "align": 10, "ia_sft": 10, "joint_sft": 10}
    assert rows["ia_sft"]["flops"] == rows["char"]["flops"] == full
    assert rows["joint_only"]["flops"] == {"joint_sft": 10}
    assert rows["no_joint"]["flops"] == {"pretrain": 150, "align": 10, "ia_sft": 10}
    values = rows["ia_sft"]["values"]
    rates = {"MER %": 12.5, "hallucinated (paper) %": 1.0, "hallucinated (length) %": 2.0, "hallucinated (loop) %": 0.0}
    silent = {"nonspeech: non-empty %": 50.0, "nonspeech: loops %": 25.0, "nonspeech: chars/min": 12.0}
    encoder = {"NSE": 0.75, "PAI": 8.0, "PAI baseline": 0.375, "CSAI": 1.0, "CSAI baseline": 0.625}
    change = {"NSE change": 0.0, "PAI change": 0.5, "CSAI change": 0.0, "CKA to start": 0.875}
    assert values == {**rates, **silent, **encoder, **change}
    assert rows["joint_only"]["values"] == {**rates, **silent, **encoder, **dict.fromkeys(change)}
    shared = rows["ia_sft"]["pretraining_seconds"]
    assert shared >= 0.5 and rows["no_joint"]["pretraining_seconds"] == shared
    assert rows["char"]["pretraining_seconds"] == rows["joint_only"]["pretraining_seconds"] == 0
    assert rows["no_joint"]["seconds"] >= 0  # rounded


def test_models_that_are_scored_and_measured(recipe):
    go("no_ia_sft no_joint char", "1")
    tools = (recipe / "exp_strategies/tools").read_text().splitlines()
    scored = [line for line in tools if line.startswith("score")]
    models = {"no_ia_sft": "joint_sft", "no_joint": "ia_sft", "char": "joint_sft"}
    decoded = [f"exp_strategies/{name}/seed1/{model}/decode" for name, model in models.items()]
    assert [line.split("--hyp_dir ")[1].split()[0] for line in scored] == decoded
    assert [line.split("--ref_dir ")[1].split()[0] for line in scored] == ["dump", "dump", "dump_char"]
    observed = {line.split("--out exp_strategies/")[1]: line for line in tools if line.startswith("observe")}
    assert "--reference exp_strategies/no_ia_sft/seed1/align " in observed["no_ia_sft/seed1/observe"]
    assert "--reference" not in observed["no_joint/seed1/observe"]
    assert "--data_dir dump_char/test" in observed["char/seed1/observe"]
    matrix = recipe / "exp_strategies"
    for strategy, linked in (("no_ia_sft", True), ("char", False)):
        folder = matrix / strategy / "seed1" / "pretrain"
        assert folder.is_symlink() == linked
        assert not linked or folder.resolve() == (matrix / "base/seed1/pretrain").resolve()


def test_the_table_is_made_of_what_is_done(recipe, capsys):
    go("joint_only", "1")
    assert "no run of ia_sft is done" in said(capsys, "joint_only", "1")
    go("ia_sft joint_only", "1 2")
    table = recipe / "exp_strategies/strategies.md"
    assert "| joint_only | 2 |" in table.read_text() and "PAI baseline" in table.read_text()
    assert len(read_runs(recipe / "exp_strategies/runs.jsonl")) == 4
    table.unlink()
    before = calls(recipe)
    go("ia_sft joint_only", "1 2")
    assert table.exists() and calls(recipe) == before  # nothing is done twice, nor prepared for nothing
    assert f"table of the runs done: {table.relative_to(recipe)}" in said(capsys)


def test_a_failed_run_is_told_in_one_line_and_tried_again(recipe, capsys, caplog):
    (recipe / "fail.no_swap.1").touch()
    with pytest.raises(ValueError, match="^1 runs failed; start again to try them again. The first: no_swap/seed1"):
        go("ia_sft no_swap joint_only", "1")
    assert [row["strategy"] for row in lines(recipe)] == ["ia_sft", "joint_only"]
    line = "no_swap/seed1 failed: exp_strategies/no_swap/seed1/run.log: run_parallel: no memory"
    assert line in caplog.messages
    text = said(capsys, "ia_sft no_swap joint_only", "1")
    assert "2 of 3 runs are done" in text and f"  {line}\n" in text and "begun" not in text
    (recipe / "fail.no_swap.1").unlink()
    go("ia_sft no_swap joint_only", "1")
    assert [calls(recipe).count(f"end {name}.1") for name in ("ia_sft", "no_swap", "joint_only")] == [1, 1, 1]
    assert "failed" not in said(capsys, "ia_sft no_swap joint_only", "1")


def test_an_unforeseen_failure_names_run_and_log(recipe, monkeypatch, caplog):
    monkeypatch.setattr(Matrix, "values", lambda matrix, run: {}["mer"])
    with pytest.raises(ValueError, match=r"ia_sft/seed1 failed: 'mer' \(log: exp_strategies/ia_sft/seed1/run.log\)"):
        go()
    assert any(record.exc_info for record in caplog.records)


def test_a_failed_preparation_is_told(recipe, capsys):
    (recipe / "fail.data").touch()
    with pytest.raises(ValueError, match="preparation failed: exp_strategies/prepare.log: run_parallel: no memory"):
        go()
    assert "preparation failed: " in said(capsys)
    (recipe / "fail.data").unlink()
    go()
    assert "failed" not in said(capsys)


def test_a_failed_pretraining_is_tried_by_the_next_run(recipe):
    (recipe / "fail.pretrain.1").touch()
    with pytest.raises(ValueError, match="^2 runs failed"):
        go("ia_sft no_swap joint_only", "1")
    assert calls(recipe).count("begin pretrain.1") == 2 and len(lines(recipe)) == 1


def test_other_options_are_refused(recipe):
    go(after=["--flops_budget", "1e13", "--align_args", "--max_epoch 3\n  --x y"])
    go(after=["--flops_budget", "1e13", "--align-args", "--max_epoch 3 --x y"])  # the same, written otherwise
    with pytest.raises(ValueError, match="other options: --flops_budget is '1e13' there, '2e13' here: give the same"):
        go(after=["--flops_budget", "2e13", "--align_args", "--max_epoch 3 --x y"])
    with pytest.raises(ValueError, match="--align_args is '--max_epoch 3 --x y' there, not given here"):
        go(after=["--flops_budget", "1e13"])
    with pytest.raises(ValueError, match="fs is '16000' there, '8000' here"):
        go("ia_sft", "1", "--fs", "8000", after=["--flops_budget", "1e13", "--align_args", "--max_epoch 3 --x y"])


@pytest.mark.parametrize("words", [["--nj"], ["nj", "2"], ["--nj", "2", "more"]])
def test_options_that_are_none(words):
    with pytest.raises(ValueError, match="expected options of run.sh, each as --name value"):
        named(words)


def test_clips_of_another_number_are_refused(recipe):
    (recipe / "dump/nonspeech").mkdir(parents=True)
    (recipe / "dump/nonspeech/wav.scp").write_text("a a.wav\nb b.wav\n")
    with pytest.raises(ValueError, match="dump/nonspeech has 2 clips, asked are 1: give --clips 2, or remove it"):
        go()


def test_a_folder_without_recipe(tmp_path):
    with pytest.raises(ValueError, match="no run.sh in .*: give the recipe's folder with --recipe"):
        run_strategies.main(["--recipe", str(tmp_path)])


def test_the_time_left(recipe, capsys):
    assert "0 of 2 runs are done; time left: unknown" in said(capsys, "ia_sft char", "1")
    known = [("ia_sft", 1, 100, 200), ("char", 1, 300, 0)]
    (recipe / "exp_strategies/base/seed1/pretrain").mkdir(parents=True)
    (recipe / "exp_strategies/base/seed1/pretrain/finished").touch()
    with open(recipe / "exp_strategies/runs.jsonl", "w") as file:
        for strategy, seed, seconds, pretraining in known:
            row = dict(strategy=strategy, seed=seed, seconds=seconds, pretraining_seconds=pretraining)
            file.write(json.dumps(row) + "\n")
    text = said(capsys, "ia_sft no_swap char", "1 2", "--jobs", "2")
    assert "2 of 6 runs are done, 300 s a run with its pretraining, 300 s the longest" in text
    assert "time left: about 8 min" in text  # (100 + 2 x 200 + 300, and 200 for the pretraining of seed 2) / 2 = 500 s


def test_time_text():
    assert [time_text(seconds) for seconds in (5, 599, 3660, 36000)] == [
        "about 1 min",
        "about 10 min",
        "about 1 h 01 min",
        "about 10 h 00 min",
    ]
