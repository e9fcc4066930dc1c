"""Kills short fsdd runs: do they leave processes, do two starts at once exclude each other, are the weights the same?

    FSDD=<dir> python benchmarks/kills.py [--kills 20] [--seed 0] [--ranks 2 [--zero2]]     minutes for each kill

Stages 5 to 10 (pretraining, watcher and fine-tuning side by side, joint SFT, CTC head) of a copy of the tracked files.
Kills are SIGKILLs at random moments, in turn of run.sh while a training writes its config.yaml, of run.sh, and of any
one process of the run (a rank, the watcher, a process that loads data, a shell). After a kill of run.sh no process may be
left 5 s later. The same command, until it ends well, then has to leave the SHA-256 of an uninterrupted run: of the last
weights of all trainings and of all published encoders. The state is saved every 20 updates, which is not every epoch. Two
ranks share a CPU through gloo. The results are in benchmarks/kills.md.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from espnet_llmasr.files import digest
from espnet_llmasr.processes import processes_with

ROOT = Path(__file__).resolve().parents[1]
GRACE_S, PATIENCE_S = 5, 900
WEIGHTS = ("*/latest.pth", "encoders/encoder.*.pth")
EPOCH = "--num_iters_per_epoch 10 --valid_max_frames 4000 --save_interval 20 --num_workers 1"
DATA = ["--local_data_opts", "--nj 2 --num_train 200 --num_valid 20 --num_cka 20 --num_test 10"]
OPTIONS = {
    "pretrain_args": f"{EPOCH} --max_epoch 5 --scheduler_conf total_steps=4000 --model_conf cr_warmup_batches=1300",
    "watch_args": "--start_step 10 --threshold 1.0",  # publishes every epoch
    "align_args": f"{EPOCH} --max_epoch 2",
    "ia_sft_args": f"{EPOCH} --pace 10 --final_epochs 2 --accum_grad 3",
    "joint_sft_args": f"{EPOCH} --max_epoch 3 --scheduler_conf total_steps=2000",
    "ctc_head_args": f"{EPOCH} --max_epoch 1",
}
RANKS = """#!/usr/bin/env bash
# The Python of run.sh, with which trainings run in two ranks.
case "${2:-}" in
espnet_llmasr.bin.*_train)
    exec "%s" -m torch.distributed.run --standalone --nproc_per_node %d "$@" --dist_backend gloo \\
        --multiprocessing_distributed false %s ;;
esac
exec "%s" "$@"
"""


class Run:
    """run.sh in a recipe's folder, with a mark by which its processes are found."""

    def __init__(self, recipe: Path, number: int, *options: str):
        self.mark, self.log = f"KILLS_RUN={os.getpid()}.{number}", recipe / f"run.{number}.log"
        name, value = self.mark.split("=")
        words = ["--llm_conf", "llm.yaml", "--nthreads", "1", *DATA]
        words += [word for option, text in OPTIONS.items() for word in (f"--{option}", text)]
        paths = [str(recipe.parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, name: value, "PYTHONPATH": ":".join(filter(None, paths))}
        with open(self.log, "w") as log:
            command = ["./run.sh", "--python", str(recipe / "python"), *words, *options]
            self.process = subprocess.Popen(
                command, cwd=recipe, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self, any_process: bool) -> str:
        """SIGKILL to run.sh alone, or to any process of it; returns its name. The processes that are left end soon."""
        pids = sorted(processes_with(self.mark.encode())) if any_process else []
        pid = random.choice(pids) if pids else self.process.pid
        name = "run.sh" if pid == self.process.pid else name_of(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if pid == self.process.pid:
            self.process.wait()
        return name

    def ends_by(self, moment: float) -> None:
        """Waits until this moment (time.monotonic) or the end of run.sh."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, moment - time.monotonic()))

    def left(self) -> int:
        """How many processes there are GRACE_S after the end of run.sh."""
        time.sleep(GRACE_S)
        return len(processes_with(self.mark.encode()))

    def succeed(self) -> None:
        """Waits for the end. Raises SystemExit, with the end of the output, for an exit code other than 0."""
        if self.process.wait():
            sys.exit(f"run.sh failed:\n{self.log.read_text()[-3000:]}")


def name_of(pid: int) -> str:
    """The command of a process of ours, or its program."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return "a process that has ended"
    commands = [word.rpartition(".")[2] for word in words if word.startswith("espnet_llmasr.bin.")]
    return commands[0] if commands else " ".join(Path(word).name for word in words[:2])


def prepare(folder: Path, ranks: int, zero2: bool) -> Path:
    """A copy of the repository with the data, statistics and LLM of the recipe; returns the recipe's folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    recipe = folder / "egs2/fsdd/llmasr1"
    lines = (recipe / "conf/llm.yaml").read_text().splitlines()
    lines = ["num_updates: 20" if line.startswith("num_updates:") else line for line in lines]
    (recipe / "llm.yaml").write_text("\n".join(lines) + "\n")
    more = f"--deepspeed_config {folder}/conf/ds_zero2.json" if zero2 else ""
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    if ranks > 1:
        python = RANKS % (sys.executable, ranks, more, sys.executable)
    (recipe / "python").write_text(python)
    (recipe / "python").chmod(0o755)
    Run(recipe, 0, "--stop_stage", "4").succeed()
    (recipe / "exp").rename(recipe / "prepared")
    return recipe


def start(recipe: Path, number: int, again: bool = False) -> Run:
    """Stages 5 to 10, from the beginning unless `again`."""
    if not again:
        shutil.rmtree(recipe / "exp", ignore_errors=True)
        shutil.copytree(recipe / "prepared", recipe / "exp", symlinks=True)
    return Run(recipe, number, "--stage", "5", "--stop_stage", "10")


def hashes(recipe: Path) -> dict:
    """SHA-256 of the last weights of all trainings and of all encoders."""
    exp = recipe / "exp"
    return {str(file.relative_to(exp)): digest(file) for pattern in WEIGHTS for file in sorted(exp.glob(pattern))}


def wait_for_config(recipe: Path, until: float) -> bool:
    """Returns when a training writes its config.yaml, True, or at the time `until`."""
    while time.monotonic() < until:
        if any(recipe.glob("exp/*/.starting")):
            return True
        time.sleep(0.002)
    return False


def kill_once(recipe: Path, number: int, seconds: float, expected: dict) -> tuple:
    """Kills a run, waits for its end and starts it again; returns (what happened, none left, the weights are equal).

    A run that ends before its moment, since the machine has become faster, is repeated with its own duration.
    """
    run, began = start(recipe, 3 * number), time.monotonic()
    moment = began + random.uniform(0, seconds)
    in_config = False
    if number % 3 == 0:
        time.sleep(random.uniform(0, seconds / 3))
        in_config = wait_for_config(recipe, moment + seconds)
    else:
        run.ends_by(moment)
    after = time.monotonic() - began
    if run.process.poll() is not None:
        return kill_once(recipe, number, after, expected)
    name = run.kill(any_process=number % 3 == 2)
    try:
        code = run.process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        sys.exit(f"run.sh has not ended {PATIENCE_S} s after the kill of {name}: {run.log}")
    left = run.left()
    if code:
        start(recipe, 3 * number + 1, again=True).succeed()
    words = f"{after:.0f} | {name}{', in config.yaml' if in_config else ''} | {left}"
    return f"{words} | {'again' if code else 'no'}", left == 0, hashes(recipe) == expected


def two_at_once(recipe: Path, expected: dict) -> str:
    """Starts the same command twice; says in words what came of both."""
    runs = [start(recipe, -1), start(recipe, -2, again=True)]
    codes = [run.process.wait() for run in runs]
    refused = [run for run, code in zip(runs, codes) if code]
    last = refused[0].log.read_text().strip().splitlines()[-1] if refused else "none"
    same = hashes(recipe) == expected
    return f"exit codes {codes}, weights {'the same' if same else 'OTHERS'}; refused: {last}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--ranks", type=int, default=1, help="processes of each training")
    parser.add_argument("--zero2", action="store_true", help="with DeepSpeed's ZeRO-2")
    args = parser.parse_args()
    random.seed(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        recipe = prepare(Path(folder), args.ranks, args.zero2)
        began = time.monotonic()
        start(recipe, 1).succeed()
        seconds, expected = time.monotonic() - began, hashes(recipe)
        print(f"uninterrupted: {seconds:.0f} s, {len(expected)} files of weights", flush=True)
        print("two starts at once:", two_at_once(recipe, expected), flush=True)
        print(
            "| kill | after s | of | left 5 s later | started again | weights |\n|---|---|---|---|---|---|", flush=True
        )
        same = clean = 0
        for number in range(1, args.kills + 1):
            what, none_left, equal = kill_once(recipe, number, seconds, expected)
            same, clean = same + equal, clean + none_left
            print(f"| {number} | {what} | {'same' if equal else 'OTHER'} |", flush=True)
        print(f"{same} of {args.kills} ended with identical SHA-256; {clean} of {args.kills} left no process after 5 s")


if __name__ == "__main__":
    main()
