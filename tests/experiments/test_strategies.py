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
    "name, options, expected",
    [
        ("ia_sft", {}, dict(expdir="exp", base_exp="exp", results="RESULTS.md", beside="true", watched="every")),
        ("ia_sft", dict(expdir="e"), dict(expdir="e", base_exp="e", results="RESULTS.md")),
        ("char", {}, dict(expdir="exp_char", base_exp="exp_char", results="exp_char/RESULTS.md")),
        ("efin", {}, dict(expdir="exp_efin", base_exp="exp", results="exp_efin/RESULTS.md")),
        ("efin", dict(expdir="e", base_exp="b"), dict(expdir="e", base_exp="b", results="e/RESULTS.md")),
        ("ia_sft", dict(flops_budget="3e14"), dict(beside="true", watched="every")),  # the budget is that of joint SFT
        ("ia_sft", dict(ia_sft_epochs="5"), dict(beside="false", watched="stored")),
        ("no_joint", {}, dict(beside="true", watched="every")),
        ("no_joint", dict(flops_budget="3e14"), dict(beside="false", watched="stored")),
        ("no_swap", dict(ia_sft_epochs="5"), dict(beside="false", watched="last")),
        ("joint_only", {}, dict(beside="false", watched="last")),
        ("ia_sft", {}, dict(trained_before="pretrain align ia_sft", joint_from="exp/ia_sft/latest.pth")),
        ("ia_sft", {}, dict(joint_stage="8")),
        ("no_ia_sft", {}, dict(trained_before="pretrain align", joint_from="exp_no_ia_sft/align/latest.pth")),
        ("no_ia_sft", {}, dict(joint_stage="7")),
        ("joint_only", {}, dict(trained_before="", joint_from="exp/llm/llm.pth::llm", joint_stage="4")),
    ],
)
def test_shell_variables(name, options, expected):
    """Folders, stages side by side or planned swaps, and the start of joint SFT."""
    shell = shell_variables(STRATEGIES[name], **{**OPTIONS, **options})
    assert {key: shell[key] for key in expected} == expected


@pytest.mark.parametrize(
    "entry, message",
    [
        ("{swaps: true}", "allowed keys are trainings (a list), swaps, unit and expdir"),
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
