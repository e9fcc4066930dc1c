"""Kills short fsdd runs: do they leave processes, do two starts at once exclude each other, are the weights the same?

    FSDD=<dir> python benchmarks/kills.py [--kills 20] [--seed 0]     a minute or two for each kill on two cores

Stages 5 to 9 (pretraining, watcher and fine-tuning side by side, then joint SFT) of a copy of the tracked files. Each
kill is a SIGKILL of run.sh at a random moment, every third one while a training writes its config.yaml. 5 s later no
process may be left; the same command then has to end with the SHA-256 of an uninterrupted run.
"""

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from espnet_llmasr.processes import processes_with

ROOT = Path(__file__).resolve().parents[1]
GRACE_S = 5
TRAININGS = ("pretrain", "align", "ia_sft", "joint_sft")
EPOCH = "--num_iters_per_epoch 10 --valid_max_frames 4000"
DATA = ["--local_data_opts", "--nj 2 --num_train 200 --num_valid 20 --num_cka 20 --num_test 10"]
OPTIONS = {
    "pretrain_args": f"{EPOCH} --max_epoch 5 --scheduler_conf total_steps=4000 --model_conf cr_warmup_batches=1300",
    "watch_args": "--start_step 10 --threshold 1.0",  # publishes every epoch
    "align_args": f"{EPOCH} --max_epoch 2",
    "ia_sft_args": f"{EPOCH} --pace 10 --final_epochs 2",
    "joint_sft_args": f"{EPOCH} --max_epoch 2 --scheduler_conf total_steps=2000",
}


class Run:
    """run.sh in a recipe's folder, with a mark by which its processes are found."""

    def __init__(self, recipe: Path, number: int, *options: str):
        self.mark, self.log = f"KILLS_RUN={os.getpid()}.{number}", recipe / f"run.{number}.log"
        name, value = self.mark.split("=")
        words = ["--llm_conf", "llm.yaml", "--nthreads", "1", *DATA]
        words += [word for option, text in OPTIONS.items() for word in (f"--{option}", text)]
        environment = {**os.environ, name: value, "PYTHONPATH": str(recipe.parents[2])}
        with open(self.log, "w") as log:
            command = ["./run.sh", "--python", sys.executable, *words, *options]
            self.process = subprocess.Popen(
                command, cwd=recipe, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self) -> int:
        """SIGKILL to run.sh alone; returns how many of its processes are left a little later."""
        self.process.kill()
        self.process.wait()
        time.sleep(GRACE_S)
        return len(processes_with(self.mark.encode()))

    def succeed(self) -> None:
        """Waits for the end. Raises SystemExit, with the end of the output, for an exit code other than 0."""
        if self.process.wait():
            sys.exit(f"run.sh failed:\n{self.log.read_text()[-3000:]}")


def prepare(folder: Path) -> Path:
    """A copy of the repository with the data, statistics and LLM of the recipe; returns the recipe's folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    recipe = folder / "egs2/fsdd/llmasr1"
    lines = (recipe / "conf/llm.yaml").read_text().splitlines()
    lines = ["num_updates: 20" if line.startswith("num_updates:") else line for line in lines]
    (recipe / "llm.yaml").write_text("\n".join(lines) + "\n")
    Run(recipe, 0, "--stop_stage", "4").succeed()
    (recipe / "exp").rename(recipe / "prepared")
    return recipe


def start(recipe: Path, number: int, again: bool = False) -> Run:
    """Stages 5 to 9, from the beginning unless `again`."""
    if not again:
        shutil.rmtree(recipe / "exp", ignore_errors=True)
        shutil.copytree(recipe / "prepared", recipe / "exp", symlinks=True)
    return Run(recipe, number, "--stage", "5", "--stop_stage", "9")


def hashes(recipe: Path) -> dict:
    """SHA-256 of the weights of all trainings."""
    files = {name: recipe / "exp" / name / "latest.pth" for name in TRAININGS}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}


def wait_for_config(recipe: Path, until: float) -> bool:
    """Returns when a training writes its config.yaml, True, or at the time `until`."""
    while time.monotonic() < until:
        if any(recipe.glob("exp/*/.starting")):
            return True
        time.sleep(0.002)
    return False


def kill_once(recipe: Path, number: int, seconds: float, expected: dict) -> tuple:
    """Kills a run and starts it again; returns (moment in words, processes left, the weights are the same)."""
    run, began = start(recipe, 2 * number), time.monotonic()
    moment = began + random.uniform(0, seconds)
    if number % 3 == 0:
        time.sleep(random.uniform(0, seconds / 3))
        in_config = wait_for_config(recipe, moment + seconds)
    else:
        in_config = False
        time.sleep(moment - began)
    after = f"{time.monotonic() - began:.1f} s{', in config.yaml' if in_config else ''}"
    left = run.kill()
    start(recipe, 2 * number + 1, again=True).succeed()
    return after, left, hashes(recipe) == expected


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
    args = parser.parse_args()
    random.seed(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        recipe = prepare(Path(folder))
        began = time.monotonic()
        start(recipe, 1).succeed()
        seconds, expected = time.monotonic() - began, hashes(recipe)
        print(
            f"uninterrupted: {seconds:.0f} s", *(f"{name} {value[:12]}" for name, value in expected.items()), flush=True
        )
        print("two starts at once:", two_at_once(recipe, expected), flush=True)
        same = clean = 0
        for number in range(1, args.kills + 1):
            after, left, equal = kill_once(recipe, number, seconds, expected)
            same, clean = same + equal, clean + (left == 0)
            print(
                f"kill {number} after {after}: {left} processes left, {'same' if equal else 'OTHER'} weights",
                flush=True,
            )
        print(f"{same} of {args.kills} ended with identical SHA-256; {clean} of {args.kills} left no process after 5 s")


if __name__ == "__main__":
    main()
