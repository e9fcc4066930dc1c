"""Runs of a recipe under several strategies and seeds: what each needs, how it is started, what comes out."""

import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from espnet_llmasr.processes import Children
from espnet_llmasr.cli import one_line
from espnet_llmasr.experiments.strategies import BASELINE, Run
from espnet_llmasr.experiments.values import NONSPEECH, Values, metrics, scores, stage_flops
from espnet_llmasr.files import count_rows, write_atomically

RUNS, OPTIONS, TABLE, LOCK, RUNNING = "runs.jsonl", "options.json", "strategies.md", "lock", "running"
SECONDS, FAILED, LOG, PREPARE = "seconds", "failed", "run.log", "prepare.log"


class Matrix:
    """A folder of runs. `runs.jsonl` has a line for each that is done; all others are started or taken up again.

    Args:
        recipe: folder of run.sh. out: the folder of the runs, under `recipe`. options: of every run.sh, as words.
        python: to run everything with.
    """

    def __init__(self, recipe: Path, out: str, options: Sequence[str], python: str):
        self.recipe, self.out, self.options, self.python = recipe, out, list(options), python
        self.folder = recipe / out
        self.children = Children(self.folder / RUNNING)
        self.writing = threading.Lock()

    def lines(self) -> List[dict]:
        """What the finished runs gave."""
        path = self.folder / RUNS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def done(self) -> Dict[Run, dict]:
        """The lines by their runs."""
        return {Run(line["strategy"], line["seed"]): line for line in self.lines()}

    def keep_options(self, **choices: int) -> None:
        """Stores, at the first start, what all runs of the folder have in common: `options` and these choices.

        Raises:
            ValueError: the folder was begun with others.
        """
        path, asked = self.folder / OPTIONS, {**named(self.options), **choices}
        known = json.loads(path.read_text()) if path.exists() else asked
        for name in sorted({*known, *asked}):
            if known.get(name) != asked.get(name):
                there, here = (f"'{values[name]}'" if name in values else "not given" for values in (known, asked))
                raise ValueError(
                    f"{self.folder} was begun with other options: {name} is {there} there, {here} here: "
                    "give the same ones, or choose another --out"
                )
        if not path.exists():
            write_atomically(path, json.dumps(asked, indent=1) + "\n")

    def call(self, log: str, *command: str) -> None:
        """Runs a command in the recipe's folder, its output goes to the end of a log under `out`.

        Raises:
            ValueError: it failed; the log and its last line are named. Stopped: see there.
        """
        path = self.folder / log
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.children.run(log, command, self.recipe, path):
            last = path.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            raise ValueError(f"{path}: {last or 'no message'}")

    def tool(self, log: str, name: str, *options: object) -> None:
        """One of our commands."""
        self.call(log, self.python, "-m", f"espnet_llmasr.bin.{name}", *map(str, options))

    def recipe_run(self, log: str, *options: object) -> None:
        """The recipe's run.sh; the options of this matrix come first, so that others replace them."""
        self.call(log, "./run.sh", "--python", self.python, *self.options, *map(str, options))

    def prepare(self, clips: int, fs: int, runs: Sequence[Run]) -> None:
        """Data, statistics, LLM, clips without speech, targets: the same for all runs."""
        log, common = PREPARE, f"{self.out}/common"
        dumps = {run.plan.dump: run.strategy for run in runs}
        self.recipe_run(log, "--stop_stage", 4, "--expdir", common)
        for dump in {"dump": BASELINE, **dumps}:
            if dump != "dump":
                self.recipe_run(log, "--strategy", dumps[dump], "--stage", 2, "--stop_stage", 2, "--expdir", common)
            self.make_clips(log, dump, clips, fs)
        targets = f"{self.out}/targets.npz"
        if not (self.recipe / targets).exists():
            self.tool(log, "make_targets", "--data_dir", "dump/test", "--embedder", f"{common}/llm", "--out", targets)

    def make_clips(self, log: str, dump: str, clips: int, fs: int) -> None:
        """The clips without speech. Raises ValueError if there are some, but not so many."""
        path, wavs = self.recipe / dump / NONSPEECH / "wav.scp", f"{dump}/train/wav.scp"
        if not path.exists():
            out = f"{dump}/{NONSPEECH}"
            self.tool(log, "make_nonspeech", "--out", out, "--clips", clips, "--wav_scp", wavs, "--fs", fs)
        elif count_rows(path) != clips:
            found = count_rows(path)
            raise ValueError(f"{path.parent} has {found} clips, asked are {clips}: give --clips {found}, or remove it")

    def run_options(self, run: Run) -> List[object]:
        """Of run.sh, for all stages of a run; the links in its base experiment are made."""
        for name in ("stats", "llm"):
            self.link(f"{run.base}/{name}", f"common/{name}")
        places = ["--expdir", f"{self.out}/{run.name}", "--base_exp", f"{self.out}/{run.base}"]
        return ["--strategy", run.strategy, "--seed", run.seed, *places, "--test_sets", f"test {NONSPEECH}"]

    def link(self, name: str, target: str) -> None:
        """Makes one folder of the matrix appear under another name, if it does not yet."""
        link = self.folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to((self.folder / target).resolve())

    def pretrain(self, run: Run) -> None:
        """The pretraining that the strategies of a seed share; only one run at a time may do it."""
        base = self.folder / run.base
        with taking(base / SECONDS, count=not (base / "pretrain" / "finished").exists()):
            self.recipe_run(f"{run.name}/{LOG}", *self.run_options(run), "--stage", 5, "--stop_stage", 5)

    def do(self, run: Run) -> None:
        """Trains, decodes, scores and measures one run, and adds its line to runs.jsonl."""
        log = f"{run.name}/{LOG}"
        stages = ["--stage", 5, "--stop_stage", 11, "--skip_stages", 10, "--guard", "off"]
        with taking(self.folder / run.name / SECONDS):
            self.recipe_run(log, *self.run_options(run), *stages)
            self.measure(run, log)
        self.add(run)

    def measure(self, run: Run, log: str) -> None:
        """Scores, and the metrics of the encoder before and after the joint SFT."""
        exp, dump, start = f"{self.out}/{run.name}", run.plan.dump, run.plan.start
        hyp = f"{exp}/{run.model}/decode"
        self.tool(log, "score", "--ref_dir", dump, "--hyp_dir", hyp, "--routes", "none", "test", NONSPEECH)
        models = ["--model", f"after={exp}/{run.model}"]
        if start:
            models += ["--model", f"before={exp}/{start}", "--reference", f"{exp}/{start}"]
        data = ["--data_dir", f"{dump}/test", "--targets", f"{self.out}/targets.npz"]
        self.tool(log, "observe", *models, *data, "--out", f"{exp}/observe")
        if run.plan.shares_pretraining:
            self.link(f"{run.name}/pretrain", f"{run.base}/pretrain")  # for figures and pages of the run

    def add(self, run: Run) -> None:
        """One line in runs.jsonl."""
        exp, base = self.folder / run.name, self.folder / run.base
        folders = {name: (base if name == "pretrain" else exp) / name for name in run.plan.stages}
        line = dict(strategy=run.strategy, seed=run.seed, seconds=seconds_of(exp))
        line["pretraining_seconds"] = seconds_of(base) if run.plan.shares_pretraining else 0
        line["flops"] = {name: stage_flops(path) for name, path in folders.items()}
        line["values"] = self.values(run)
        with self.writing:
            text = "".join(json.dumps(known) + "\n" for known in [*self.lines(), line])
            write_atomically(self.folder / RUNS, text)

    def values(self, run: Run) -> Values:
        """What the table shows of a run."""
        exp = self.folder / run.name
        return {**scores(exp / run.model / "decode" / "scores.json"), **metrics(exp / "observe")}

    def begin(self, name: str = "") -> None:
        """Forgets why a run ("": what comes before all runs) has failed."""
        (self.folder / name / FAILED).unlink(missing_ok=True)

    def fail(self, error: Exception, name: str = "") -> str:
        """Keeps why it has failed, for `status`; returns that line, which names run and log."""
        text = f"{name or 'preparation'} failed: {one_line(error) or type(error).__name__}"
        log = self.folder / name / (LOG if name else PREPARE)
        text += "" if str(log) in text else f" (log: {log})"
        write_atomically(self.folder / name / FAILED, text + "\n")
        return text

    def write_table(self) -> bool:
        """strategies.md of what is done so far; False while the strategy is missing to which all are compared."""
        if not any(line["strategy"] == BASELINE for line in self.lines()):
            return False
        files = ["--runs", f"{self.out}/{RUNS}", "--out", f"{self.out}/{TABLE}"]
        self.tool("strategies.log", "strategy_table", *files, "--baseline", BASELINE)
        return True


def named(words: Sequence[str]) -> Dict[str, str]:
    """Name -> value of options; line breaks and blanks between the words of a value do not count.

    Raises:
        ValueError: these are not names and values by turns.
    """
    names, values = words[::2], words[1::2]
    for name in [*names[len(values) :], *(name for name in names if not name.startswith("--"))]:
        raise ValueError(f"'{name}' after --: expected options of run.sh, each as --name value")
    return {
        name.replace("-", "_").replace("__", "--", 1): " ".join(value.split()) for name, value in zip(names, values)
    }


@contextmanager
def taking(path: Path, count: bool = True) -> Iterator[None]:
    """Adds the seconds that something takes to those in a small file, also if it fails or is stopped."""
    began = time.monotonic()
    try:
        yield
    finally:
        if count:
            write_atomically(path, f"{(seconds_of(path.parent) or 0) + time.monotonic() - began:.1f}\n")


def seconds_of(folder: Path) -> Optional[float]:
    """Seconds that were spent in a folder; None where they were not counted."""
    path = folder / SECONDS
    return float(path.read_text()) if path.exists() else None
