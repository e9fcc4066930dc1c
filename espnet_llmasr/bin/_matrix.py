"""Runs of a recipe under several strategies and seeds: what each needs, how it is started, what comes out."""

import json
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from espnet_llmasr.files import write_atomically
from espnet_llmasr.observe.observations import read_observations

RUNS = "runs.jsonl"
NONSPEECH = "nonspeech"
NO_JOINT = ("no_joint", "efin")
RULES = ("paper", "length", "loop")


@dataclass(frozen=True)
class Run:
    """One strategy with one seed."""

    strategy: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.strategy}/seed{self.seed}"

    @property
    def model(self) -> str:
        """The folder of the model that is scored."""
        return "ia_sft" if self.strategy in NO_JOINT else "joint_sft"

    @property
    def start(self) -> Optional[str]:
        """The folder of the model with which the joint SFT starts; None without one, or without an earlier encoder."""
        if self.strategy in (*NO_JOINT, "joint_only"):
            return None
        return "align" if self.strategy == "no_ia_sft" else "ia_sft"


class Matrix:
    """A folder of runs. `runs.jsonl` has a line for each that is done; all others are started or taken up again.

    Args:
        out: the folder, under `recipe`. options: of every run.sh.
    """

    def __init__(self, recipe: Path, out: str, options: List[str], python: str):
        self.recipe, self.out, self.options, self.python = recipe, out, options, python
        self.locks: Dict[int, threading.Lock] = {}
        self.writing = threading.Lock()

    @property
    def folder(self) -> Path:
        return self.recipe / self.out

    def lines(self) -> List[dict]:
        """What the finished runs gave."""
        path = self.folder / RUNS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def call(self, log: str, *command: str) -> None:
        """Runs a command in the recipe's folder, its output goes to the end of a log under `out`.

        Raises:
            ValueError: it failed.
        """
        path = self.folder / log
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            done = subprocess.run(command, cwd=self.recipe, stdout=file, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            last = path.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            raise ValueError(f"{path}: {last or command}: mend it and start again, what is done stays done")

    def tool(self, log: str, name: str, *options: object) -> None:
        """One of our commands."""
        self.call(log, self.python, "-m", f"espnet_llmasr.bin.{name}", *map(str, options))

    def recipe_run(self, log: str, *options: object) -> None:
        """The recipe's run.sh; the options of this matrix come first, so that others replace them."""
        self.call(log, "./run.sh", "--python", self.python, *self.options, *map(str, options))

    def prepare(self, clips: int, fs: int, unit_char: bool) -> None:
        """Data, statistics, LLM, clips without speech, targets: the same for all runs."""
        log, common = "prepare.log", f"{self.out}/common"
        self.recipe_run(log, "--stop_stage", 4, "--expdir", common)
        if unit_char:
            self.recipe_run(log, "--strategy", "char", "--stage", 2, "--stop_stage", 2, "--expdir", common)
        for dump in ["dump", "dump_char"] if unit_char else ["dump"]:
            if not (self.recipe / dump / NONSPEECH / "wav.scp").exists():
                wavs = f"{dump}/train/wav.scp"
                self.tool(
                    log,
                    "make_nonspeech",
                    *f"--out {dump}/{NONSPEECH} --clips {clips}".split(),
                    "--wav_scp",
                    wavs,
                    "--fs",
                    fs,
                )
        targets = f"{self.out}/targets.npz"
        if not (self.recipe / targets).exists():
            self.tool(log, "make_targets", "--data_dir", "dump/test", "--embedder", f"{common}/llm", "--out", targets)

    def do(self, run: Run) -> None:
        """Trains, decodes, scores and measures one run, and adds its line to runs.jsonl."""
        began = time.monotonic()
        options = ["--strategy", run.strategy, "--seed", run.seed, "--expdir", f"{self.out}/{run.name}"]
        base = self.base(run)
        options += ["--base_exp", base, "--test_sets", f"test {NONSPEECH}"]
        log, stages = f"{run.name}/run.log", ["--stop_stage", 11, "--skip_stages", 10, "--guard", "off"]
        if run.strategy not in ("char", "joint_only"):
            with self.writing:
                lock = self.locks.setdefault(run.seed, threading.Lock())
            with lock:  # strategies share the pretraining of a seed
                self.recipe_run(log, *options, "--stage", 5, "--stop_stage", 5)
        self.recipe_run(log, *options, "--stage", 5, *stages)
        self.measure(run, log)
        self.add(run, base, time.monotonic() - began)

    def base(self, run: Run) -> str:
        """The experiment that holds statistics, LLM and pretraining, relative to the recipe; its links are made."""
        base = f"{self.out}/{run.name}" if run.strategy == "char" else f"{self.out}/base/seed{run.seed}"
        for name in ("stats", "llm"):
            link = self.recipe / base / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to((self.folder / "common" / name).resolve())
        return base

    def measure(self, run: Run, log: str) -> None:
        """Scores, and the metrics of the encoder before and after the joint SFT."""
        exp, dump = f"{self.out}/{run.name}", "dump_char" if run.strategy == "char" else "dump"
        self.tool(
            log, "score", "--ref", dump, "--hyp", f"{exp}/{run.model}/decode", "--routes", "none", "test", NONSPEECH
        )
        models = ["--model", f"after={exp}/{run.model}"]
        if run.start:
            models += ["--model", f"before={exp}/{run.start}", "--reference", f"{exp}/{run.start}"]
        targets = f"{self.out}/targets.npz"
        self.tool(
            log, "observe", *models, "--data_dir", f"{dump}/test", "--targets", targets, "--out", f"{exp}/observe"
        )

    def add(self, run: Run, base: str, seconds: float) -> None:
        """One line in runs.jsonl."""
        exp = self.folder / run.name
        folders = {"pretrain": self.recipe / base / "pretrain"}
        folders.update({name: exp / name for name in ("align", "ia_sft", "joint_sft")})
        flops = {name: stage_flops(path) for name, path in folders.items() if used(run, name)}
        line = dict(strategy=run.strategy, seed=run.seed, seconds=round(seconds), flops=flops)
        line["values"] = {**scores(exp / run.model / "decode" / "scores.json"), **metrics(exp / "observe", run)}
        with self.writing:
            text = "".join(json.dumps(known) + "\n" for known in [*self.lines(), line])
            write_atomically(self.folder / RUNS, text)


def used(run: Run, stage: str) -> bool:
    """Whether a stage is part of the strategy."""
    left_out = {"joint_only": ("pretrain", "align", "ia_sft"), "no_ia_sft": ("ia_sft",)}
    return stage not in left_out.get(run.strategy, ("joint_sft",) if run.strategy in NO_JOINT else ())


def stage_flops(folder: Path) -> float:
    """All that a training has cost, from its flops.jsonl."""
    return sum(json.loads(line)["flops"] for line in (folder / "flops.jsonl").read_text().splitlines())


def scores(path: Path) -> Dict[str, Optional[float]]:
    """Error and hallucination rates of the test set in %, and what was written where nothing is said."""
    sets = json.loads(path.read_text())["sets"]
    test, silent = sets["test"], sets[NONSPEECH]
    values = {"MER %": 100 * test["routes"]["none"]["mer"]["rate"]}
    values.update({f"hallucinated ({rule}) %": 100 * test["hallucination"][rule]["rate"] for rule in RULES})
    values["nonspeech: non-empty %"] = 100 * silent["non_speech"]["non_empty"]["rate"]
    values["nonspeech: loops %"] = 100 * silent["hallucination"]["loop"]["rate"]
    values["nonspeech: chars/min"] = silent["non_speech"]["chars_per_minute"]
    return values


def metrics(folder: Path, run: Run) -> Dict[str, Optional[float]]:
    """NSE, PAI and CSAI of the final encoder, their change in the joint SFT, and CKA to its start."""
    rows = {row.name: row for row in read_observations(folder / "observations.jsonl")}
    after, before = rows["after"], rows.get("before")
    values = {"NSE": after.nse, "PAI": after.pai, "CSAI": after.csai}
    for name in ("nse", "pai", "csai"):
        change = None if before is None else getattr(after, name) - getattr(before, name)
        values[f"{name.upper()} change"] = change
    values["CKA to start"] = after.cka_reference[-1] if run.start else None
    return values
