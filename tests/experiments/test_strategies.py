"""strategies.yaml, and what it means for the stages of llmasr.sh."""

import subprocess
import sys
from pathlib import Path

import pytest

from espnet_llmasr.experiments.strategies import BASELINE, FILE, read_strategies, shell_variables

STRATEGIES = read_strategies()
OPTIONS = dict(unit="phone", expdir="", base_exp="", dumpdir="", ia_sft_epochs="", flops_budget="")


@pytest.mark.parametrize(
    "name, last, start, shares, left_out",
    [
        ("ia_sft", "joint_sft", "ia_sft", True, ()),
        ("no_swap", "joint_sft", "ia_sft", True, ()),
        ("no_ia_sft", "joint_sft", "align", True, (8,)),
        ("no_joint", "ia_sft", None, True, (9,)),
        ("char", "joint_sft", "ia_sft", False, ()),
        ("joint_only", "joint_sft", None, False, (5, 6, 7, 8)),
        ("efin", "ia_sft", None, True, (9,)),
    ],
)
def test_the_seven_strategies(name, last, start, shares, left_out):
    strategy = STRATEGIES[name]
    assert (strategy.last, strategy.start, strategy.shares_pretraining) == (last, start, shares)
    assert strategy.left_out == left_out and strategy.dumpdir == ("dump_char" if name == "char" else "dump")
    assert len(STRATEGIES) == 7 and next(iter(STRATEGIES)) == BASELINE


@pytest.mark.parametrize(
    "name, options, expdir, base_exp, results",
    [
        ("ia_sft", {}, "exp", "exp", "RESULTS.md"),
        ("ia_sft", {"expdir": "e"}, "e", "e", "RESULTS.md"),
        ("char", {}, "exp_char", "exp_char", "exp_char/RESULTS.md"),
        ("efin", {}, "exp_efin", "exp", "exp_efin/RESULTS.md"),
        ("efin", {"expdir": "e", "base_exp": "b"}, "e", "b", "e/RESULTS.md"),
    ],
)
def test_folders(name, options, expdir, base_exp, results):
    shell = shell_variables(STRATEGIES[name], **{**OPTIONS, **options})
    assert (shell["expdir"], shell["base_exp"], shell["results"]) == (expdir, base_exp, results)


@pytest.mark.parametrize(
    "name, options, beside, replay",
    [
        ("ia_sft", {}, "true", ""),
        ("ia_sft", {"flops_budget": "3e14"}, "true", ""),  # the budget sets the length of joint SFT
        ("ia_sft", {"ia_sft_epochs": "5"}, "false", "--replay true"),
        ("no_joint", {}, "true", ""),
        ("no_joint", {"flops_budget": "3e14"}, "false", "--replay true"),
        ("no_swap", {"ia_sft_epochs": "5"}, "false", ""),
        ("joint_only", {}, "false", ""),
    ],
)
def test_stages_side_by_side_or_planned_swaps(name, options, beside, replay):
    shell = shell_variables(STRATEGIES[name], **{**OPTIONS, **options})
    assert (shell["beside"], shell["replay"]) == (beside, replay)


@pytest.mark.parametrize(
    "name, before, joint_from, stage",
    [
        ("ia_sft", "pretrain align ia_sft", "exp/ia_sft/latest.pth", "8"),
        ("no_ia_sft", "pretrain align", "exp_no_ia_sft/align/latest.pth", "7"),
        ("joint_only", "", "exp/llm/llm.pth::llm", "4"),
    ],
)
def test_the_start_of_joint_sft(name, before, joint_from, stage):
    shell = shell_variables(STRATEGIES[name], **OPTIONS)
    assert (shell["trained_before"], shell["joint_from"], shell["joint_stage"]) == (before, joint_from, stage)


@pytest.mark.parametrize(
    "entry, message",
    [
        ("{swaps: true}", "allowed keys are trainings (a list), swaps, unit and expdir"),
        ("{trainings: [joint_sft], stages: 5}", "allowed keys are trainings"),
        ("[joint_sft]", "allowed keys are trainings"),
        ("{trainings: [align, pretrain, joint_sft]}", "allowed are pretrain, align, ia_sft, joint_sft, in this order"),
        ("{trainings: [pretrain, aline, joint_sft]}", "allowed are pretrain, align, ia_sft, joint_sft, in this order"),
        ("{trainings: [pretrain, align]}", "the last training is align, allowed are ia_sft and joint_sft"),
        ("{trainings: [align, joint_sft]}", "trainings have align without pretrain: add pretrain"),
        ("{trainings: [pretrain, joint_sft]}", "trainings have pretrain without align: add align"),
        ("{trainings: [joint_sft], unit: word}", "unit is 'word', allowed are phone and char"),
        ("{trainings: [joint_sft], swaps: true}", "swaps is True, expected true or false, and true only with ia_sft"),
    ],
)
def test_mistakes_in_an_entry_are_named(tmp_path, entry, message):
    path = tmp_path / "strategies.yaml"
    path.write_text(f"mine: {entry}\n")
    with pytest.raises(ValueError) as error:
        read_strategies(path)
    assert "mine" in str(error.value) and str(path) in str(error.value) and message in str(error.value)


def test_every_recipe_finds_the_file():
    recipes = Path(__file__).parents[2] / "egs2"
    files = [path / "conf/strategies.yaml" for path in recipes.glob("[a-z]*/llmasr1")]
    assert files and {path.resolve() for path in files} == {FILE}


def test_the_command_prints_assignments_and_imports_no_torch():
    code = "import sys; from espnet_llmasr.bin import strategy; strategy.main(sys.argv[1:]); "
    code += "assert not {'torch', 'transformers', 'espnet2.tasks'} & {*sys.modules}"
    done = subprocess.run([sys.executable, "-c", code, "efin", "--expdir", "a b"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "expdir='a b'\n" in done.stdout and "base_exp=exp\n" in done.stdout and "left_out=9\n" in done.stdout
