"""A recipe whose run.sh writes at once what a real one would, and fails or hangs on demand; stand-ins for our commands."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from espnet_llmasr.bin import strategy_table
from espnet_llmasr.observe.observations import Observation

RUN_SH = r"""#!/usr/bin/env bash
# fail.NAME: fails there; hang.NAME: hangs there, in a process of its own; NAME is <strategy>.<seed>, pretrain.<seed> or data
set -eu
strategy=ia_sft seed=0 stage=1 base_exp=
while [ $# -gt 0 ]; do printf -v "${1#--}" '%s' "$2"; shift 2; done
mischief() {
    if [ -e "fail.$1" ]; then echo "run_parallel: no memory"; exit 1; fi
    if [ -e "hang.$1" ]; then
        echo "(llmasr.sh) Stage 9: Joint SFT"
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
    [ "$strategy" = char ] || sleep "${pause:-0.5}"
    mkdir -p "$base_exp/pretrain"
    { echo '{"epoch": 1, "flops": 100, "batches": 1}'; echo '{"epoch": 2, "flops": 50, "batches": 1}'; } \
        >"$base_exp/pretrain/flops.jsonl"
    touch "$base_exp/pretrain/finished"
fi
if [ "$stop_stage" = 11 ]; then
    [ "$strategy" = joint_only ] || [ -e "$base_exp/pretrain/finished" ] || { echo "no pretraining"; exit 1; }
    [ -d "$base_exp/llm" ]
    for name in align ia_sft joint_sft; do
        mkdir -p "$expdir/$name"
        echo '{"epoch": 1, "flops": 10, "batches": 1}' >"$expdir/$name/flops.jsonl"
    done
fi
echo "end $job" >>calls
"""


def make_recipe(folder: Path) -> Path:
    """A folder with run.sh."""
    folder.mkdir(exist_ok=True)
    (folder / "run.sh").write_text(RUN_SH)
    (folder / "run.sh").chmod(0o755)
    return folder


def prepared(recipe: Path, out: str = "exp_strategies") -> None:
    """What our commands make before the runs: a driver in another process then needs no stand-ins to come to a run."""
    (recipe / "dump/nonspeech").mkdir(parents=True)
    (recipe / "dump/nonspeech/wav.scp").write_text("a a.wav\n")
    (recipe / out).mkdir()
    (recipe / out / "targets.npz").touch()


def calls(recipe: Path) -> list:
    """What run.sh has done, in time."""
    return (recipe / "calls").read_text().splitlines()


def fake_tool(matrix, log, name, *options) -> None:
    """Stands in for Matrix.tool; the current folder is the recipe's."""
    options = list(map(str, options))
    (matrix.folder / "tools").open("a").write(f"{name} {' '.join(options)}\n")
    if name == "strategy_table":
        strategy_table.main(options)
    elif name == "score":
        hyp = Path(options[options.index("--hyp_dir") + 1])
        hyp.mkdir(parents=True)
        (hyp / "scores.json").write_text(json.dumps({"sets": {"test": spoken(), "nonspeech": silent()}}))
    else:
        out = Path(options[options.index("--out") + 1])
        (out.parent if name == "make_targets" else out).mkdir(parents=True, exist_ok=True)
        if name == "observe":
            rows = [observation(*rest) for rest in (("after", 8.0), ("before", 7.5))]
            names = [option.partition("=")[0] for option in options]
            lines = [json.dumps(asdict(row)) + "\n" for row in rows if row.name in names]
            (out / "observations.jsonl").write_text("".join(lines))
        else:
            (out if name == "make_targets" else out / "wav.scp").write_text("a a.wav\n")


def spoken() -> dict:
    """Of scores.json: a set with speech."""
    rules = {"paper": {"rate": 0.01}, "length": {"rate": 0.02}, "loop": {"rate": 0.0}}
    return {"routes": {"none": {"mer": {"rate": 0.125}}}, "hallucination": rules}


def silent() -> dict:
    """Of scores.json: the clips without speech."""
    non_speech = {"non_empty": {"rate": 0.5}, "chars_per_minute": 12.0}
    return {"non_speech": non_speech, "hallucination": {"loop": {"rate": 0.25}}}


def observation(name: str, pai: float) -> Observation:
    """One measured encoder."""
    return Observation(
        name=name,
        stage="joint_sft",
        step=None,
        model="m",
        set="test",
        utterances=3,
        values=dict(nse=0.75, nse_std=0.0, pai=pai, csai=1.0, pai_baseline=0.375, csai_baseline=0.625),
        cka_text=[],
        cka_text_adaptor=None,
        cka_reference=[0.5, 0.875],
    )


def driver(recipe: Path, *options: str) -> subprocess.Popen:
    """The command in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "espnet_llmasr.bin.run_strategies",
        "--recipe",
        str(recipe),
        "--clips",
        "1",
        *options,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def alive(marker: str) -> bool:
    """Whether a process sleeps so long."""
    return subprocess.run(["pgrep", "-f", f"^sleep {marker}"], capture_output=True).returncode == 0


def wait_for(condition, seconds: float = 120) -> None:
    """Until something holds; fails if it does not come to it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def marker() -> str:
    """Seconds that nobody else sleeps."""
    return f"9876.{os.getpid()}{time.monotonic_ns()}"
