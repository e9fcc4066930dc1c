"""All strategies and seeds of a recipe: first the pretrainings that strategies share, then every strategy and seed.

A run is a list of commands of the recipe, which skips finished steps. An interrupted matrix therefore continues after a
restart; runs.jsonl has a line for each complete run.
"""

import logging
import shlex
from contextlib import closing
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from espnet_llmasr.experiments.runs import Cell, Run, left_of, read_runs
from espnet_llmasr.experiments.statistics import page, statistics_of
from espnet_llmasr.experiments.strategies import BASELINE, Strategy
from espnet_llmasr.files import count_rows, json_lines, read_json, read_json_lines, read_text, write_atomically
from espnet_llmasr.metrics.encoder_metrics import METRICS, SET_METRICS
from espnet_llmasr.metrics.hallucination import DEFINITIONS
from espnet_llmasr.observe.observations import FILE, read_observations
from espnet_llmasr.processes import Job, only_one, run_jobs
from espnet_llmasr.train.flops_log import read_flops

NONSPEECH = "nonspeech"
GRACE_S = 40.0  # the recipe stops its own jobs within seconds
OWN_LLM = "llm"  # the embedder of runs.jsonl where none is given
Values = Dict[str, Optional[float]]


class Matrix:
    """A folder of runs.

    Args:
        recipe: folder of run.sh. out: the folder of the runs, in `recipe`. options: of every run.sh, as words.
        clips: clips without speech. fs: their sample rate in Hz. python: runs all commands. jobs: runs at a time.
    """

    def __init__(self, recipe: Path, out: str, options: Sequence[str], clips: int, fs: int, python: str, jobs: int = 1):
        self.recipe, self.out, self.options, self.python = recipe, out, list(options), python
        self.clips, self.fs, self.jobs, self.folder = clips, fs, jobs, recipe / out
        self.embedder = option_of("--embedder", self.options) or OWN_LLM
        self.runs, self.failed = self.folder / "runs.jsonl", []

    def run(self, cells: Sequence[Cell]) -> None:
        """Makes all runs that runs.jsonl lacks, and the table.

        Raises:
            ValueError: no recipe, another matrix runs in the folder, other options than at the first start, or failed runs
                (after the end of all others).
        """
        if not (self.recipe / "run.sh").is_file():
            raise ValueError(f"no run.sh in {self.recipe}: give the recipe's folder with --recipe")
        with only_one(self.folder, "matrix"):
            self._run(cells)

    def _run(self, cells: Sequence[Cell]) -> None:
        self.check_runs()
        self.check_options()
        left = left_of(self.runs, cells)
        logging.info("%d of %d runs to make, logs in %s/*/*/run.log", len(left), len(cells), self.folder)
        if left:
            self.run_all([self.preparation(left)])
        if self.failed:
            raise ValueError(self.failed[0])
        shared = {seed: strategy for strategy, seed in left if strategy.shares_pretraining}  # any of them
        pretrained = self.run_all([self.pretraining(strategy, seed) for seed, strategy in shared.items()])
        jobs = {
            self.job(*cell): cell for cell in left if not cell[0].shares_pretraining or self.base(*cell) in pretrained
        }
        self.run_all(list(jobs), lambda job: self.add(*jobs[job]))
        self.write_table()
        if self.failed:
            raise ValueError(f"{len(self.failed)} failed; start again to try again. The first: {self.failed[0]}")

    def run_all(self, jobs: Sequence[Job], after: Callable[[Job], None] = lambda job: None) -> List[str]:
        """Runs the jobs, and `after` for each that succeeded; returns their names. The others are added to `failed`."""
        succeeded = []
        with closing(run_jobs(jobs, self.jobs, GRACE_S)) as ended:
            for job in ended:
                try:
                    if job.returncode():
                        raise ValueError(f"{job.log}: {(job.tail() or ['no message'])[-1]}")
                    after(job)
                    succeeded.append(job.name)
                    logging.info("%s: done in %.0f s; %d of %d", job.name, job.seconds(), len(succeeded), len(jobs))
                except Exception as error:  # whatever is wrong with one run, the others go on
                    self.failed.append(f"{job.name} failed: {error}")
                    logging.error(self.failed[-1], exc_info=not isinstance(error, (ValueError, OSError)))
        return succeeded

    def check_options(self) -> None:
        """Stores the options at the first start. Raises ValueError if the folder was begun with others."""
        path = self.folder / "options"
        options = shlex.join(["--clips", str(self.clips), "--fs", str(self.fs), *self.options])
        first = read_text(path).strip() if path.exists() else options
        if first != options:
            raise ValueError(
                f"{self.folder} was begun with the options {first}, these are {options}: give the same ones, or choose "
                "another --out"
            )
        write_atomically(path, f"{options}\n")

    def check_runs(self) -> None:
        """Raises ValueError if a run in runs.jsonl, which may be copied, was measured with another embedder."""
        begun_here = (self.folder / "options").exists()  # by an older version perhaps, which did not name it
        for row in read_json_lines(self.runs):
            found = row.get("embedder", self.embedder if begun_here else OWN_LLM)
            if found != self.embedder:
                raise ValueError(
                    f"{self.runs} has runs whose CSAI was measured with --embedder {found}, these ask for {self.embedder}:"
                    " choose another --out"
                )

    def finished(self) -> List[Run]:
        """The runs in runs.jsonl."""
        return read_runs(self.runs) if self.runs.exists() else []

    def recipe_run(self, *options: object) -> str:
        """A command: run.sh with the options of this matrix, and these, which replace them."""
        return shlex.join(["./run.sh", "--python", self.python, *self.options, *map(str, options)])

    def tool(self, name: str, *options: object) -> str:
        """A command of this package."""
        return shlex.join([self.python, "-m", f"espnet_llmasr.bin.{name}", *map(str, options)])

    def in_turn(self, name: str, *commands: str) -> Job:
        """Commands one after the other, until one fails; their output goes to <name>/run.log."""
        log = self.folder / name / "run.log"
        return Job(name, log, "\n".join(["set -e", *commands]), self.recipe, into_log=True)

    def preparation(self, cells: Sequence[Cell]) -> Job:
        """Data, statistics, LLM, clips without speech, targets of the metrics: the same for all runs."""
        common, targets = f"{self.out}/common", f"{self.out}/targets.npz"
        commands = [self.recipe_run("--stop_stage", 4, "--expdir", common), *self.clip_commands("dump")]
        commands.append(shlex.join(["mkdir", "-p", f"{common}/stats"]))  # for --init_encoder, which is read in stage 5
        for dump, strategy in {cell[0].dumpdir: cell[0] for cell in cells if cell[0].unit}.items():
            where = ["--stage", 2, "--stop_stage", 2, "--expdir", common]
            commands += [self.recipe_run("--strategy", strategy.name, *where), *self.clip_commands(dump)]
        if not (self.recipe / targets).exists():
            llm = f"{common}/llm"
            files = ["--data_dir", "dump/test", "--embedder", llm if self.embedder == OWN_LLM else self.embedder]
            files += ["--text_embeddings", llm, "--inventory", option_of("--inventory", self.options) or "zh_en"]
            commands.append(self.tool("make_targets", *files, "--out", targets))
        return self.in_turn("common", *commands)

    def clip_commands(self, dump: str) -> List[str]:
        """The command that makes the clips without speech. Raises ValueError if there is another number of clips."""
        path = self.recipe / dump / NONSPEECH / "wav.scp"
        if not path.exists():
            files = ["--out", f"{dump}/{NONSPEECH}", "--wav_scp", f"{dump}/train/wav.scp"]
            return [self.tool("make_nonspeech", *files, "--clips", self.clips, "--fs", self.fs)]
        if (clips := count_rows(path)) != self.clips:
            raise ValueError(f"{path.parent} has {clips} clips, not {self.clips}: give --clips {clips}, or remove it")
        return []

    def base(self, strategy: Strategy, seed: int) -> str:
        """The folder of statistics, LLM and pretraining of a run, in the matrix's; strategies share that of a seed."""
        return f"base/seed{seed}" if strategy.unit is None else f"{strategy.name}/seed{seed}"

    def seed_options(self, strategy: Strategy, seed: int) -> List[object]:
        """Options of run.sh of a run; makes the links in its base folder."""
        base = self.base(strategy, seed)
        for name in ("stats", "llm"):
            self.link(f"{base}/{name}", f"common/{name}")
        return ["--strategy", strategy.name, "--seed", seed, "--base_exp", f"{self.out}/{base}"]

    def link(self, name: str, target: str) -> None:
        """Makes a folder of the matrix appear under another name."""
        link = self.folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to((self.folder / target).resolve())

    def pretraining(self, strategy: Strategy, seed: int) -> Job:
        """The pretraining that the strategies of a seed share."""
        base = self.base(strategy, seed)
        stage = ["--expdir", f"{self.out}/{base}", "--stage", 5, "--stop_stage", 5]
        return self.in_turn(base, self.recipe_run(*self.seed_options(strategy, seed), *stage))

    def job(self, strategy: Strategy, seed: int) -> Job:
        """Trains, decodes, scores and measures one run: the encoder before and after joint SFT."""
        name, dump, start = f"{strategy.name}/seed{seed}", strategy.dumpdir, strategy.start
        exp, sets = f"{self.out}/{name}", ["test", NONSPEECH]
        stages = ["--stage", 5, "--stop_stage", 11, "--skip_stages", 10, "--guard", "off", "--expdir", exp]
        hypotheses, data = f"{exp}/{strategy.last}/decode", ["--data_dir", f"{dump}/test"]
        data += ["--targets", f"{self.out}/targets.npz", "--out", f"{exp}/observe"]
        models = ["--model", f"after={exp}/{strategy.last}"]
        if start:
            models += ["--model", f"before={exp}/{start}", "--reference", f"{exp}/{start}"]
        if strategy.shares_pretraining:
            self.link(f"{name}/pretrain", f"{self.base(strategy, seed)}/pretrain")  # for figures and pages of the run
        return self.in_turn(
            name,
            self.recipe_run(*self.seed_options(strategy, seed), *stages, "--test_sets", " ".join(sets)),
            self.tool("score", "--ref_dir", dump, "--hyp_dir", hypotheses, "--routes", "none", *sets),
            self.tool("measure_encoders", *models, *data),
        )

    def add(self, strategy: Strategy, seed: int) -> None:
        """Adds the line of a complete run to runs.jsonl, and makes the table anew."""
        exp, base = self.folder / strategy.name / f"seed{seed}", self.folder / self.base(strategy, seed)
        rows = [*read_json_lines(self.runs), {**collect(strategy, seed, exp, base), "embedder": self.embedder}]
        write_atomically(self.runs, json_lines(rows))
        self.write_table()

    def write_table(self) -> None:
        """strategies.md of the runs so far, once a run of the baseline is among them."""
        runs = self.finished()
        if any(run.strategy == BASELINE for run in runs):
            write_atomically(self.folder / "strategies.md", page(statistics_of(runs, BASELINE)))


def option_of(name: str, options: Sequence[str]) -> Optional[str]:
    """The value of an option of run.sh, its last one; None without it."""
    values = [value for option, value in zip(options, options[1:]) if option == name]
    return values[-1] if values else None


def collect(strategy: Strategy, seed: int, exp: Path, base: Path) -> Dict:
    """The line of a run in the folder `exp`, whose pretraining is in `base`.

    Raises:
        ValueError, OSError: a result is missing.
    """
    folders = {name: (base if name == "pretrain" else exp) / name for name in strategy.trainings}
    flops = {name: sum(epoch["flops"] for epoch in read_flops(folder)) for name, folder in folders.items()}
    values = {**scores(exp / strategy.last / "decode" / "scores.json"), **metrics(exp / "observe")}
    return dict(strategy=strategy.name, seed=seed, flops=flops, values=values)


def scores(path: Path) -> Values:
    """Error and hallucination rates of the test set in %, and output for the clips without speech."""
    sets = read_json(path)["sets"]
    test, silent = sets["test"], sets[NONSPEECH]
    values = {"MER %": 100 * test["routes"]["none"]["mer"]["rate"]}
    values.update({f"hallucinated ({rule}) %": 100 * test["hallucination"][rule]["rate"] for rule in DEFINITIONS})
    values["nonspeech: non-empty %"] = 100 * silent["non_speech"]["non_empty"]["rate"]
    values["nonspeech: loops %"] = 100 * silent["hallucination"]["loop"]["rate"]
    values["nonspeech: chars/min"] = silent["non_speech"]["chars_per_minute"]
    return values


def metrics(folder: Path) -> Values:
    """All metrics of the final encoder ("after"), those of the set with their bias (permuted utterances).

    Then their change in joint SFT, and CKA to the encoder from which joint SFT started ("before"); null without one.
    """
    rows = {row.name: row for row in read_observations(folder / FILE)}
    after, before = rows["after"], rows.get("before")
    values = {}
    for name, metric in METRICS.items():
        values[metric.name] = after.values[name]
        if name in SET_METRICS:
            values[f"{metric.name} baseline"] = after.values[f"{name}_baseline"]
    for name, metric in METRICS.items():
        values[f"{metric.name} change"] = None if before is None else after.values[name] - before.values[name]
    values["CKA to start"] = None if before is None else after.cka_reference[-1]
    return values
