"""The matrix of strategies: order, sharing, failures, interruptions, and what is written down."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from espnet_llmasr import processes
from espnet_llmasr.bin import run_strategies
from espnet_llmasr.experiments import matrix
from espnet_llmasr.experiments.runs import read_runs
from espnet_llmasr.observe.observations import Observation

RUN_SH = r"""#!/usr/bin/env bash
# fail.NAME: fails there; hang.NAME: hangs there; NAME is <strategy>.<seed>, pretrain.<seed> or data
set -eu
strategy=ia_sft seed=0 stage=1 base_exp=
while [ $# -gt 0 ]; do printf -v "${1#--}" '%s' "$2"; shift 2; done
mischief() {
    if [ -e "fail.$1" ]; then echo "run_parallel: no memory"; exit 1; fi
    if [ -e "hang.$1" ]; then
        trap 'kill $child || true; echo "stopped $1" >>calls; exit 143' TERM
        setsid sleep "$(cat "hang.$1")" &  # as run_parallel starts trainings
        child=$!
        wait
    fi
}
if [ "$stop_stage" -le 4 ]; then
    echo "data $strategy" >>calls
    mischief data
    mkdir -p "$expdir"/{stats,llm} dump/train dump_char/train
    exit
fi
job=$strategy.$seed
[ "$stop_stage" = 11 ] || job=pretrain.$seed
echo "begin $job" >>calls
mischief "$job"
if [ "$stop_stage" = 5 ] || [ "$strategy" = char ]; then
    mkdir -p "$base_exp/pretrain"
    { echo '{"epoch": 1, "flops": 100, "batches": 1}'; echo '{"epoch": 2, "flops": 50, "batches": 1}'; } \
        >"$base_exp/pretrain/flops.jsonl"
fi
if [ "$stop_stage" = 11 ]; then
    [ "$strategy" = joint_only ] || [ -e "$base_exp/pretrain/flops.jsonl" ] || { echo "no pretraining"; exit 1; }
    [ -d "$base_exp/llm" ] && [ "$test_sets" = "test nonspeech" ]
    for name in align ia_sft joint_sft; do
        mkdir -p "$expdir/$name"
        echo '{"epoch": 1, "flops": 10, "batches": 1}' >"$expdir/$name/flops.jsonl"
    done
fi
echo "end $job" >>calls
"""
PYTHON = r"""#!/usr/bin/env bash
# Stands in for Python: notes the command and makes its results
set -eu
name=${2#espnet_llmasr.bin.}
echo "$name ${*:3}" >>tools
value() { local name=$1; while shift; [ "$1" != "$name" ]; do :; done; echo "$2"; }
case $name in
    score) hyp=$(value --hyp_dir "$@"); mkdir -p "$hyp"; cp scores.json "$hyp" ;;
    measure_encoders)
        out=$(value --out "$@"); mkdir -p "$out"; cp after.jsonl "$out/observations.jsonl"
        [[ "$*" != *before=* ]] || cat before.jsonl >>"$out/observations.jsonl" ;;
    make_targets) touch "$(value --out "$@")" ;;
    make_nonspeech) out=$(value --out "$@"); mkdir -p "$out"; echo a a.wav >"$out/wav.scp" ;;
    *) exit 1 ;;
esac
"""


def observation(name: str, pai: float) -> str:
    """One measured encoder."""
    values = dict(nse=0.75, nse_std=0.0, pai=pai, csai=1.0, pai_baseline=0.375, csai_baseline=0.625)
    layers = dict(cka_text=[], cka_text_adaptor=None, cka_reference=[0.5, 0.875])
    names = dict(name=name, stage="joint_sft", step=None, model="m", set="test", utterances=3)
    return json.dumps(asdict(Observation(**names, values=values, **layers))) + "\n"


@pytest.fixture()
def recipe(tmp_path, monkeypatch):
    """A recipe, which is the current folder, with a stand-in for Python."""
    rules = {"paper": {"rate": 0.01}, "length": {"rate": 0.02}, "loop": {"rate": 0.0}}
    spoken = {"routes": {"none": {"mer": {"rate": 0.125}}}, "hallucination": rules}
    non_speech = {"non_empty": {"rate": 0.5}, "chars_per_minute": 12.0}
    silent = {"non_speech": non_speech, "hallucination": {"loop": {"rate": 0.25}}}
    (tmp_path / "scores.json").write_text(json.dumps({"sets": {"test": spoken, "nonspeech": silent}}))
    (tmp_path / "after.jsonl").write_text(observation("after", 8.0))
    (tmp_path / "before.jsonl").write_text(observation("before", 7.5))
    for name, script in (("run.sh", RUN_SH), ("python", PYTHON)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def go(strategies="ia_sft", seeds="1", *options, after=()):
    """The command in this process."""
    words = ["--strategies", *strategies.split(), "--seeds", *seeds.split(), "--clips", "1", *options]
    return run_strategies.main([*words, "--", *after])


def calls(recipe) -> list:
    """What run.sh has done, in time."""
    return (recipe / "calls").read_text().splitlines()


def lines(recipe) -> dict:
    return {run.strategy: run for run in read_runs(recipe / "exp_strategies/runs.jsonl")}


def test_pretrainings_come_first_and_are_shared(recipe):
    assert go("ia_sft no_swap char joint_only", "1 2", "--jobs", "2") == 0
    done = calls(recipe)
    assert len(read_runs(recipe / "exp_strategies/runs.jsonl")) == 8
    assert {done.count(f"begin pretrain.{seed}") for seed in (1, 2)} == {1}
    first_run = min(done.index(f"begin {name}.1") for name in ("ia_sft", "no_swap", "char", "joint_only"))
    assert max(done.index(f"end pretrain.{seed}") for seed in (1, 2)) < first_run


def test_the_status_says_what_is_complete_and_runs_nothing(recipe, capsys):
    assert go("ia_sft efin", "1 2", "--status") == 0
    assert not (recipe / "calls").exists()
    go("ia_sft efin", "1")
    capsys.readouterr()
    assert go("ia_sft efin", "1 2 3", "--status") == 0
    wanted = (
        "exp_strategies/ia_sft: 1 of 3 complete, left: seed 2 3\nexp_strategies/efin: 1 of 3 complete, left: seed 2 3\n"
    )
    assert capsys.readouterr().out == wanted
    go("efin", "1", "--status")
    assert capsys.readouterr().out == "exp_strategies/efin: 1 of 1 complete\n"


def test_embedder_and_inventory_of_the_options_make_the_targets(recipe):
    go("joint_only")
    go("joint_only", "1", "--out", "other", after=["--embedder", "minilm", "--inventory", "zh_en_yue"])
    made = [line for line in (recipe / "tools").read_text().splitlines() if line.startswith("make_targets")]
    own, other = (line[line.index("--embedder") :] for line in made)
    llm = "exp_strategies/common/llm"
    assert own == f"--embedder {llm} --text_embeddings {llm} --inventory zh_en --out exp_strategies/targets.npz"
    llm = "other/common/llm"
    assert other == f"--embedder minilm --text_embeddings {llm} --inventory zh_en_yue --out other/targets.npz"


def test_runs_of_another_embedder_are_not_gone_on_with(recipe):
    """Copied from elsewhere, without the file of the options."""
    go("joint_only", "1", after=["--embedder", "minilm"])
    copied = recipe / "copied/runs.jsonl"
    copied.parent.mkdir()
    copied.write_text((recipe / "exp_strategies/runs.jsonl").read_text())
    assert json.loads(copied.read_text())["embedder"] == "minilm"
    with pytest.raises(ValueError, match="measured with --embedder minilm, these ask for llm: choose another --out"):
        go("joint_only", "1 2", "--out", "copied")
    assert len(read_runs(copied)) == 1
    go("joint_only", "1 2", "--out", "copied", after=["--embedder", "minilm"])
    assert len(read_runs(copied)) == 2


def test_as_many_jobs_at_a_time_as_asked(recipe):
    go("joint_only", "1 2 3", "--jobs", "1")
    alone = [f"{what} joint_only.{seed}" for seed in (1, 2, 3) for what in ("begin", "end")]
    assert [line for line in calls(recipe) if "joint" in line] == alone
    for seed in (4, 5):
        (recipe / f"hang.joint_only.{seed}").write_text("5")
    go("joint_only", "4 5", "--jobs", "2")
    assert sorted(calls(recipe)[-4:-2]) == ["begin joint_only.4", "begin joint_only.5"]  # in either order


def test_the_line_of_a_run(recipe):
    go("ia_sft char joint_only no_joint", "1")
    runs = lines(recipe)
    assert list(runs) == ["ia_sft", "no_joint", "char", "joint_only"]  # as in strategies.yaml
    full = {"pretrain": 150, "align": 10, "ia_sft": 10, "joint_sft": 10}
    assert runs["ia_sft"].flops == runs["char"].flops == full
    assert runs["joint_only"].flops == {"joint_sft": 10}
    assert runs["no_joint"].flops == {"pretrain": 150, "align": 10, "ia_sft": 10}
    rates = {"MER %": 12.5, "hallucinated (paper) %": 1.0, "hallucinated (length) %": 2.0, "hallucinated (loop) %": 0.0}
    silent = {"nonspeech: non-empty %": 50.0, "nonspeech: loops %": 25.0, "nonspeech: chars/min": 12.0}
    encoder = {"NSE": 0.75, "PAI": 8.0, "PAI baseline": 0.375, "CSAI": 1.0, "CSAI baseline": 0.625}
    change = {"NSE change": 0.0, "PAI change": 0.5, "CSAI change": 0.0, "CKA to start": 0.875}
    assert runs["ia_sft"].values == {**rates, **silent, **encoder, **change}
    assert runs["joint_only"].values == {**rates, **silent, **encoder, **dict.fromkeys(change)}


def test_models_that_are_scored_and_measured(recipe):
    go("no_ia_sft no_joint char", "1")
    tools = (recipe / "tools").read_text().splitlines()
    scored = [line for line in tools if line.startswith("score")]
    models = {"no_ia_sft": "joint_sft", "no_joint": "ia_sft", "char": "joint_sft"}
    decoded = [f"exp_strategies/{name}/seed1/{model}/decode" for name, model in models.items()]
    assert [line.split("--hyp_dir ")[1].split()[0] for line in scored] == decoded
    assert [line.split("--ref_dir ")[1].split()[0] for line in scored] == ["dump", "dump", "dump_char"]
    observed = {line.split("--out exp_strategies/")[1]: line for line in tools if line.startswith("measure")}
    assert "--reference exp_strategies/no_ia_sft/seed1/align " in observed["no_ia_sft/seed1/observe"]
    assert "--reference" not in observed["no_joint/seed1/observe"]
    assert "--data_dir dump_char/test" in observed["char/seed1/observe"]
    folder = recipe / "exp_strategies"
    for strategy, linked in (("no_ia_sft", True), ("char", False)):
        pretraining = folder / strategy / "seed1" / "pretrain"
        assert pretraining.is_symlink() == linked
        assert not linked or pretraining.resolve() == (folder / "base/seed1/pretrain").resolve()


def test_the_table_is_made_of_complete_runs_and_nothing_is_done_twice(recipe):
    table = recipe / "exp_strategies/strategies.md"
    go("joint_only", "1")
    assert not table.exists()  # without the baseline
    go("ia_sft joint_only", "1 2")
    assert "| joint_only | 2 |" in table.read_text() and "PAI baseline" in table.read_text()
    table.unlink()
    before = calls(recipe)
    go("ia_sft joint_only", "1 2")
    assert table.exists() and calls(recipe) == before


@pytest.mark.parametrize(
    "fault, message, done",
    [
        ("no_swap.1", "^1 failed.* no_swap/seed1 failed: exp_strategies/no_swap/seed1/run.log: .* no memory", 2),
        ("pretrain.1", "^1 failed.* base/seed1 failed: exp_strategies/base/seed1/run.log: .* no memory", 1),
        ("data", "^common failed: exp_strategies/common/run.log: run_parallel: no memory", 0),
    ],
)
def test_a_failure_is_named_spares_the_others_and_is_tried_again(recipe, caplog, fault, message, done):
    (recipe / f"fail.{fault}").touch()
    with pytest.raises(ValueError, match=message):
        go("ia_sft no_swap joint_only", "1")
    runs = recipe / "exp_strategies/runs.jsonl"
    assert (len(read_runs(runs)) if done else runs.exists()) == done
    assert any("no memory" in line for line in caplog.messages)
    (recipe / f"fail.{fault}").unlink()
    assert go("ia_sft no_swap joint_only", "1") == 0
    assert [calls(recipe).count(f"end {name}.1") for name in ("ia_sft", "no_swap", "joint_only")] == [1, 1, 1]


def test_an_unforeseen_failure_names_the_run(recipe, monkeypatch, caplog):
    monkeypatch.setattr(matrix, "collect", lambda *args: {}["mer"])
    with pytest.raises(ValueError, match="ia_sft/seed1 failed: 'mer'"):
        go()
    assert any(record.exc_info for record in caplog.records)


def test_other_options_are_refused(recipe):
    go(after=["--flops_budget", "1e13"])
    with pytest.raises(ValueError, match="begun with the options .*_budget 1e13, these are .* 2e13: give the"):
        go(after=["--flops_budget", "2e13"])
    with pytest.raises(ValueError, match="begun with the options .*--fs 16000 .*, these are .*--fs 8000"):
        go("ia_sft", "1", "--fs", "8000", after=["--flops_budget", "1e13"])


def test_a_second_matrix_in_the_same_folder_is_refused(recipe, monkeypatch):
    monkeypatch.setattr(processes, "LOCK_WAIT_S", 0.0)
    with processes.only_one(recipe / "exp_strategies", "matrix"):
        with pytest.raises(ValueError, match="a matrix runs in exp_strategies already .process .*: wait for its end"):
            go()
    assert go() == 0


def test_clips_of_another_number_are_refused(recipe):
    (recipe / "dump/nonspeech").mkdir(parents=True)
    (recipe / "dump/nonspeech/wav.scp").write_text("a a.wav\nb b.wav\n")
    with pytest.raises(ValueError, match="dump/nonspeech has 2 clips, not 1: give --clips 2, or remove it"):
        go()


def test_a_folder_without_recipe_and_an_unknown_strategy(tmp_path, recipe):
    with pytest.raises(ValueError, match="no run.sh in .*: give the recipe's folder with --recipe"):
        run_strategies.main(["--recipe", str(tmp_path / "none")])
    with pytest.raises(ValueError, match="--strategies is 'both', allowed are ia_sft, no_swap"):
        go("both")


def test_the_recipe_has_strategies_of_its_own(recipe):
    (recipe / "conf").mkdir()
    mine = "last: {trainings: [joint_sft]}\nmine: {trainings: [pretrain, align, joint_sft]}\nia_sft: {trainings: [joint_sft]}\n"
    (recipe / "conf/strategies.yaml").write_text(mine)
    go("mine ia_sft last", "1")
    assert list(lines(recipe)) == ["last", "mine", "ia_sft"]
    table = (recipe / "exp_strategies/strategies.md").read_text()
    assert table.index("| last |") < table.index("| mine |")
    assert lines(recipe)["mine"].flops == {"pretrain": 150, "align": 10, "joint_sft": 10}


# ---- signals -------------------------------------------------------------------------------------------------------


def alive(seconds: str) -> bool:
    """Whether a process sleeps so long."""
    return subprocess.run(["pgrep", "-f", f"^sleep {seconds}"], capture_output=True).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_that_runs(recipe, number, monkeypatch):
    python, seconds = os.path.realpath("/proc/self/exe"), f"9876.{os.getpid()}{time.monotonic_ns()}"
    (recipe / "hang.ia_sft.1").write_text(seconds)
    (recipe / "dump/nonspeech").mkdir(parents=True)  # nothing is left to a real Python
    (recipe / "dump/nonspeech/wav.scp").write_text("a a.wav\n")
    (recipe / "exp_strategies").mkdir()
    (recipe / "exp_strategies/targets.npz").touch()
    code = "from espnet_llmasr.bin import run_strategies; from espnet_llmasr.cli import run; run(run_strategies.main)"
    command = [
        "env",
        "--default-signal=HUP,INT",
        python,
        "-c",
        code,
        "--strategies",
        "ia_sft",
        "--seeds",
        "1",
        "--clips",
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not alive(seconds) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    while process.poll() is None:  # impatient users press again and again, also when all jobs have ended
        process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    assert process.returncode == 130
    assert process.stderr.read().splitlines()[-1:] == ["run_strategies: stopped; start it again to go on"]
    assert not alive(seconds) and calls(recipe)[-1] == "stopped ia_sft.1"
    assert not (recipe / "exp_strategies/runs.jsonl").exists()
    (recipe / "hang.ia_sft.1").unlink()
    assert go() == 0 and calls(recipe)[-1] == "end ia_sft.1"
