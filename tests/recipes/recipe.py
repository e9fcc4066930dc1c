"""A copy of a recipe that runs with a stand-in for Python."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
MADE = ("data", "dump", "exp", "downloads", "RESULTS.md", "ROBUSTNESS.md")


class Recipe:
    """egs2/<name>/llmasr1 under `folder`, without what earlier runs made; the rest of the repository is linked."""

    def __init__(self, folder: Path, name: str = "mini_zh_en", script: str = "run.sh"):
        self.script = script
        self.dir, self.record, self.mark = folder / "egs2" / name / "llmasr1", folder / "record", str(uuid.uuid4())
        (folder / "egs2").mkdir()
        (folder / "egs2" / "TEMPLATE").symlink_to(REPO / "egs2" / "TEMPLATE")
        (folder / "conf").symlink_to(REPO / "conf")
        source = REPO / "egs2" / name / "llmasr1"
        shutil.copytree(source, self.dir, symlinks=True, ignore=shutil.ignore_patterns(*MADE))

    def start(self, *options, **environment) -> subprocess.Popen:
        """Starts run.sh; its output comes as text in one stream."""
        environment = {**os.environ, "RECORD": str(self.record), "RUN_MARK": self.mark, **environment}
        environment.update(PYTHONPATH=str(REPO), TEST_PYTHON=sys.executable)
        signals = ["env", "--default-signal=HUP,INT"]  # whether the tests run under nohup or not
        command = [
            *signals,
            f"./{self.script}",
            "--python",
            str(Path(__file__).with_name("stand_in.sh")),
            *map(str, options),
        ]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.dir, env=environment, start_new_session=True, **streams)

    def run(self, *options, **environment):
        """Runs run.sh to its end; returns (exit code, output). What it recorded earlier is forgotten."""
        self.record.write_text("")
        process = self.start(*options, **environment)
        output, _ = process.communicate(timeout=1500)
        return process.returncode, output

    def hanging(self, *options, hang, words, **environment) -> subprocess.Popen:
        """Starts run.sh; returns once the command that `hang` names hangs: its record has a line with one of `words`."""
        self.record.write_text("")
        process = self.start(*options, HANG=hang, REAL_PYTHON=sys.executable, **environment)
        deadline = time.monotonic() + 300
        while not any(word in line for line in self.calls() for word in words) or len(self.processes()) < 4:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)
        return process

    def succeed(self, *options, **environment) -> str:
        """Runs run.sh, which must end well; returns its output."""
        code, output = self.run(*options, **environment)
        assert code == 0, output
        return output

    def fail(self, *options, **environment) -> str:
        """Runs run.sh, which must end with exit code 1; returns its output."""
        code, output = self.run(*options, **environment)
        assert code == 1, output
        return output

    def calls(self, command: str = ""):
        """What was called, without run_parallel: lines "threads arguments" that have `command` in them."""
        lines = self.record.read_text().splitlines()
        return [line for line in lines if ".run_parallel" not in line and command in line]

    def names(self):
        """The commands' names; trainings by the name of their folder."""
        return [name_of(line) for line in self.calls()]

    def left_over(self):
        """Processes of this recipe that do not end within a minute: they need some seconds, on a busy machine more."""
        deadline = time.monotonic() + 60
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return found

    def processes(self):
        """Command lines of the processes of this recipe."""
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in environ.read_bytes():
                    found.append(environ.with_name("cmdline").read_bytes())
            except OSError:
                continue  # it has ended, or belongs to another user
        return found


def value_of(line: str, option: str):
    """What follows an option in a recorded call, None without the option."""
    words = shlex.split(line)
    return words[words.index(option) + 1] if option in words else None


def name_of(line: str) -> str:
    training = re.search(r"_train .*--output_dir exp/(\w+)", line)
    if training:
        return training.group(1)
    return re.search(r"(?:espnet_llmasr\.bin\.|local/)(\w+)", line).group(1)
