"""Bad input for every command: damaged files and wrong options must end in one line, and change no earlier result.

    python benchmarks/fuzz.py [--calls 300] [--seed 0] [--only score compare]

It makes a tiny experiment (half a minute on one core; paths with blanks) with the commands themselves, and notes the
files that each of them reads. A call is a command of that list with one file damaged or one option wrong, in a copy of
the experiment and a process of its own, with a time limit. Counted are, for each command,

    traceback   "Traceback" in the output
    exit        an exit code other than 0 and 1, or no end within the time limit
    changed     a file that was there before has another content, or is gone, although the call failed; config.yaml of
                a training that goes on does not count, as it has the options of the last start
    unnamed     a damaged file, and a message that names neither it nor its folder

The same seed gives the same calls. The exit code is 1 if anything is counted in the first three columns.
"""

import argparse
import ctypes
import hashlib
import importlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", MSR_86K="corpus")

import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import yaml  # noqa: E402
from common import table  # noqa: E402
from fuzz_commands import COMMANDS, RATE, Command  # noqa: E402

from espnet_llmasr import cli  # noqa: E402

LIMIT_S, MEMORY_GB = 60, 12
WORDS = ("red", "blue", "green", "cat", "dog", "你", "好", "天", "气")
SECONDS = (0.8, 1.9, 0.9, 1.6, 0.7, 1.2, 0.9, 1.0)
UTTERANCES = dict(train=24, valid=4)
ENCODER = dict(output_size=64, num_blocks=2, attention_heads=2, kernel_size=9, dropout_rate=0.1, pe_maxlen=200)
TRAINING = dict(
    max_epoch=2,
    num_iters_per_epoch=2,
    max_frames=500,
    optim="adam",
    optim_conf=dict(lr=0.001),
    scheduler="exponentialdecaywarmup",
    scheduler_conf=dict(max_lr=0.001, min_lr=0.0001, total_steps=20, warmup_steps=2),
    grad_clip=5.0,
    encoder_conf=ENCODER,
    keep_nbest_models=5,
    normalize_conf=dict(stats_file="my exp/stats/feats_stats.npz"),
    use_matplotlib=False,
    use_tensorboard=False,
    num_workers=0,
    ngpu=0,
)


# ---- the experiment --------------------------------------------------------------------------------------------------


def tone(seconds: float, rng) -> np.ndarray:
    """Two tones with noise, (N,)."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.1 * np.sin(2 * np.pi * np.outer(rng.uniform(150, 3000, 2), t)).sum(0)).astype(np.float32) + (
        0.02 * rng.standard_normal(len(t)).astype(np.float32)
    )


def write(path: str, content: object) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")


def write_inputs() -> None:
    """Data directories, a corpus, configurations, and runs of strategies, in the current folder."""
    for number, (name, utterances) in enumerate(UTTERANCES.items()):
        rng, lines = (
            np.random.default_rng(number),
            {key: [] for key in ("wav.scp", "text", "utt2spk", "utt2lang", "utt2dur")},
        )
        for index, seconds in enumerate((SECONDS * 3)[:utterances]):
            uid, wav = f"{name}_{index}", f"my audio/{name}/{index}.wav"
            Path(wav).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(wav, tone(seconds, rng), RATE)
            text = " ".join(rng.choice(WORDS, max(1, int(2 * seconds))))
            for key, value in zip(lines, (wav, text, uid, "en", seconds)):
                lines[key].append(f"{uid} {value}\n")
        lines["spk2utt"] = lines["utt2spk"]
        for key, rows in lines.items():
            write(f"data/{name}/{key}", "".join(sorted(rows)))
    rows = [dict(id=f"a{n}", audio="0.wav", text="red cat") for n in range(3)]
    write("corpus/en/list.jsonl", "".join(json.dumps(entry) + "\n" for entry in rows))
    shutil.copy("my audio/train/0.wav", "corpus/en/0.wav")
    shutil.copy("my audio/train/0.wav", "corpus/0.wav")
    write("conf/own.csv", "audio,text,set\n0.wav,red cat,train\n1.wav,red,valid\n2.wav,cat,test\n")
    write(
        "conf/corpora.yaml",
        dict(
            train=[dict(corpus="msr_86k", src="MSR_86K", parts=["en"])],
            valid=[],
            test=[dict(corpus="msr_86k", src="MSR_86K", parts=["en"])],
        ),
    )
    write("conf/phones.yaml", {**TRAINING, "specaug": "masks", "model_conf": dict(cr_warmup_batches=2)})
    write("conf/text.yaml", TRAINING)
    benchmarks = [dict(name="ASCEND", scenario="Code-switch", cells=dict(test="valid"))]
    write("conf/benchmark.yaml", dict(route="none", benchmarks=benchmarks))
    names, budgets = ("ia_sft", "efin"), (1, 2, 4, 8, 16)
    for path, amounts in (("my runs/runs.jsonl", budgets[:1]), ("conf/budgets.jsonl", budgets)):
        runs = [
            dict(strategy=name, seed=seed, flops=dict(pretrain=1e13 * amount), values={"MER %": 9 / amount + seed})
            for name in names
            for seed in (1, 2)
            for amount in amounts
        ]
        write(path, "".join(json.dumps(run) + "\n" for run in runs))
    shutil.copy(Path(cli.__file__).with_name("experiments") / "strategies.yaml", "conf/strategies.yaml")
    write(
        "my other/valid/text", "".join(f"valid_{number} {WORDS[number]} cat\n" for number in range(UTTERANCES["valid"]))
    )
    write("run.sh", "exit 1\n")
    write_release("FireRedASR")
    write_hub("hub/wav2vec2")


def write_release(folder: str) -> None:
    """A tiny FireRedASR-AED as it is published."""
    import torch

    from espnet_llmasr.asr.conformer import FireRedConformerEncoder

    encoder = {f"encoder.{name}": value for name, value in FireRedConformerEncoder(**ENCODER).state_dict().items()}
    options = dict(idim=80, odim=9, d_model=64, n_head=2, n_layers_enc=2, n_layers_dec=1, kernel_size=9, pe_maxlen=200)
    write(f"{folder}/dict.txt", "a 0\n")
    torch.save(dict(args=argparse.Namespace(**options), model_state_dict=encoder), f"{folder}/model.pth.tar")
    sizes = b"".join(b"\4" + size.to_bytes(4, "little") for size in (2, 81))
    sums = np.ones((2, 81)) * [[1000.0], [9000.0]]
    Path(folder, "cmvn.ark").write_bytes(b"\0BDM " + sizes + sums.tobytes())


def write_hub(folder: str) -> None:
    """A tiny wav2vec 2.0 as it is on the hub."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    layers = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    convolutions = dict(conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
    Wav2Vec2Model(Wav2Vec2Config(**layers, **convolutions)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


# ---- a call in a process of its own ----------------------------------------------------------------------------------


class Done(NamedTuple):
    """Exit code (None: stopped at the time limit), output and error output, and files that were opened for reading."""

    code: Optional[int]
    out: str
    err: str
    read: List[str]

    @property
    def message(self) -> str:
        """The last line."""
        return (self.err.strip().splitlines() or [""])[-1]


def call(name: str, arguments: Sequence[str], folder: Path, obeys_modes: bool = False) -> Done:
    """`python -m espnet_llmasr.bin.<name> <arguments>` in `folder`, in a fork that has imported everything."""
    with tempfile.TemporaryDirectory() as scratch:
        streams = {number: Path(scratch, key) for number, key in ((1, "out"), (2, "err"), (3, "read"))}
        child = os.fork()
        if child == 0:
            os._exit(_run(name, arguments, folder, streams, obeys_modes))
        code = _wait(child)
        out, err, read = (path.read_text(errors="replace") for path in streams.values())
    return Done(code, out, err, sorted(set(read.splitlines())))


def _run(name: str, arguments: Sequence[str], folder: Path, streams: Dict[int, Path], obeys_modes: bool) -> int:
    """The child: returns the exit code."""
    os.setsid()
    os.chdir(folder)
    for number, path in streams.items():
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.set_inheritable(3, False)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_GB << 30,) * 2)
    if obeys_modes:
        _obey_modes()
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)
    root = f"{folder.resolve()}/"
    sys.addaudithook(lambda event, detail: event == "open" and _note(root, *detail))
    module = importlib.import_module(f"espnet_llmasr.bin.{name}")
    sys.argv = [module.__file__, *arguments]
    try:
        cli.run(module.main)
        code = 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    return code & 255


def _obey_modes() -> None:
    """Drops the capabilities by which root reads what it may not read."""
    version, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(version, none) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")


def _note(root: str, path: object, mode: Optional[str], flags: int) -> None:
    if isinstance(path, (str, os.PathLike)) and flags & os.O_ACCMODE == os.O_RDONLY:
        path = os.path.abspath(path)
        if path.startswith(root) and "\n" not in path:
            os.write(3, f"{path.removeprefix(root)}\n".encode(errors="replace"))


def _wait(child: int) -> Optional[int]:
    deadline = time.monotonic() + LIMIT_S
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    try:
        os.killpg(child, signal.SIGKILL)  # and whatever the call has started
    except ProcessLookupError:
        pass
    if not ended:
        os.waitpid(child, 0)
        return None
    return os.waitstatus_to_exitcode(status)


# ---- what is done to the input ---------------------------------------------------------------------------------------


def damage(path: Path, kind: str, rng: random.Random) -> None:
    """Puts a damaged file in the place of a file."""
    content = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(DAMAGES[kind](content, rng))
        if kind == "unreadable":
            path.chmod(0)


DAMAGES = {
    "empty": lambda content, rng: b"",
    "cut": lambda content, rng: content[: len(content) // 2],
    "null": lambda content, rng: b"null\n",
    "list": lambda content, rng: b"[1, 2]\n",
    "object": lambda content, rng: b'{"a": null}\n',
    "number": lambda content, rng: b"3\n",
    "binary": lambda content, rng: rng.randbytes(300),
    "changed": lambda content, rng: content[: len(content) // 2] + b"\xa5\x00" + content[len(content) // 2 + 2 :],
    "twice": lambda content, rng: content + content,
    "negative": lambda content, rng: re.sub(rb"\d+", b"-5", content),
    "words": lambda content, rng: re.sub(rb"\d+", b"x", content),
    "pipe": None,
    "folder": None,
    "missing": None,
    "unreadable": lambda content, rng: content,
}
VALUES = ("", " ", "-1", "0", "1e30", "9" * 30, "abc", "nan", "no/such file", "/dev/null", "a b=[", "{", "true", "1.5")
OPTION = re.compile(r"^  (?:-\w(?: \S+)?, )?(--[a-z]\w*)", re.M)
# Options that ask for work, memory, processes or connections without end: what they ask for is done, and no mistake.
ENDLESS = re.compile(r"--(dist_|multiproc|wandb|use_wandb|distributed|ngpu|num_att_plot|poll_s|detect_anomaly|help)")
LARGE = re.compile(
    r"--(nj|jobs|.*num_workers|max_epoch|num_updates|clips|num_splits|seeds|epochs|.*_size|num_layers|.*beam.*)"
)


class Case(NamedTuple):
    """A bad call: the command with this number, and a file with its damage, or options that are added."""

    number: int
    file: str = ""
    kind: str = ""
    options: Tuple[str, ...] = ()


def cases_of(number: int, command: Command, done: Done, usage: str, rng: random.Random) -> List[Case]:
    """All bad calls of a command, in random order; two of three damage a file."""
    files = [Case(number, file, kind) for file in done.read if not file.startswith("my audio") for kind in DAMAGES]
    wrong = [Case(number, options=(option, value)) for option in OPTION.findall(usage) for value in VALUES
             if not ENDLESS.match(option) and not (LARGE.match(option) and value in VALUES[4:6])]  # fmt: skip
    wrong += [Case(number, options=options) for options in (("--no_such", "1"), ("stray",), ("--config",))]
    rng.shuffle(files)
    rng.shuffle(wrong)
    mixed = []
    while files or wrong:
        mixed += [part.pop() for part in (files, files, wrong) if part]
    return mixed


def hashes(folder: Path) -> Dict[str, str]:
    """SHA-256 of every regular file."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ---- the calls and their table ---------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What is wrong with the end of a call: names of columns; and the files that changed."""

    faults: List[str]
    changed: List[str]


def judge(case: Case, done: Done, before: Dict[str, str], after: Dict[str, str], goes_on_in: Sequence[str]) -> Verdict:
    """The faults of a call; see the head of this file. `goes_on_in`: folders of trainings that it resumes."""
    changed = []
    if done.code != 0:
        spared = {case.file, *(f"{out}/config.yaml" for out in goes_on_in)}
        changed = [name for name, digest in before.items() if name not in spared and after.get(name) != digest]
    named = not case.file or any(
        part in done.err + done.out for part in {Path(case.file).name, Path(case.file).parent.name} - {""}
    )
    faults = {
        "traceback": "Traceback (most recent call last)" in done.err + done.out or "--- Logging error" in done.err,
        "exit": done.code not in (0, 1),
        "changed": bool(changed),
        "unnamed": done.code == 1 and not named,
    }
    return Verdict([name for name, found in faults.items() if found], changed)


def bad_call(case: Case, command: Command, world: Path, rng: random.Random) -> Tuple[Done, Verdict]:
    """Makes a bad call in a copy of the experiment."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "copy")
        shutil.copytree(world, copy, symlinks=True)
        if case.file:
            damage(copy / case.file, case.kind, rng)
        before = hashes(copy)
        done = call(command.name, [*(command.bad or command.arguments), *case.options], copy, case.kind == "unreadable")
        words = command.arguments
        goes_on_in = [words[words.index("--output_dir") + 1]] if "--resume" in words else []
        return done, judge(case, done, before, hashes(copy), goes_on_in)


def commands_before(wanted: Sequence[str]) -> Sequence[Command]:
    """The commands up to the last wanted one."""
    last = max(number for number, command in enumerate(COMMANDS) if command.name in wanted)
    return COMMANDS[: last + 1]


def make_world(world: Path, wanted: Sequence[str]) -> Tuple[List[Command], List[Done]]:
    """Makes the experiment up to the last wanted command."""
    os.chdir(world)
    write_inputs()
    chosen, ends = commands_before(wanted), []
    for command in chosen:
        with tempfile.TemporaryDirectory() as scratch:  # a resumed training would change what others read
            place = world if "--resume" not in command.arguments else Path(scratch, "copy")
            if place != world:
                shutil.copytree(world, place, symlinks=True)
            done = call(command.name, command.arguments, place)
        ends.append(done._replace(read=[name for name in done.read if Path(name).is_file()]))
        if done.code != 0:
            sys.exit(f"fuzz: {command.name} {' '.join(command.arguments)}: {done.code}\n{done.err}")
    return chosen, ends


def show(case: Case, command: Command, done: Done, verdict: Verdict) -> None:
    """A call with a fault, in full."""
    what = f"{case.file} {case.kind}" if case.file else " ".join(map(repr, case.options))
    print(f"\n{', '.join(verdict.faults)}: {command.name} ({case.number}), {what}: exit code {done.code}")
    print(f"    {done.message[:600]}")
    if verdict.changed:
        print(f"    changed: {', '.join(verdict.changed)}")


def main() -> int:
    names = sorted({command.name for command in COMMANDS})
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="COMMAND", choices=names, help="default: all")
    args = parser.parse_args()
    wanted, rng = args.only or names, random.Random(args.seed)
    for name in {command.name for command in commands_before(wanted)}:
        importlib.import_module(f"espnet_llmasr.bin.{name}")  # once, for all forks
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.environ["ESPNET_LLMASR_CACHE"] = f"{folder}/cache"
        world = Path(folder, "experiment")
        world.mkdir()
        chosen, ends = make_world(world, wanted)
        usages = {name: call(name, ["--help"], world).out for name in wanted}
        queues = [
            cases_of(number, command, end, usages[command.name], rng)
            for number, (command, end) in enumerate(zip(chosen, ends))
            if command.name in wanted
        ]
        counts = {name: Counter() for name in wanted}
        for index in range(args.calls):
            queue = queues[index % len(queues)]
            case = queue.pop(0)
            command = chosen[case.number]
            done, verdict = bad_call(case, command, world, rng)
            counts[command.name].update(["calls", f"exit {done.code}", *verdict.faults])
            if verdict.faults:
                show(case, command, done, verdict)
    columns = ("calls", "exit 0", "exit 1", "traceback", "exit", "changed", "unnamed")
    counts["all"] = total = sum(counts.values(), Counter())
    table(("command", *columns), ([name, *(count[column] for column in columns)] for name, count in counts.items()))
    return int(any(total[column] for column in ("traceback", "exit", "changed")))


if __name__ == "__main__":
    sys.exit(main())
