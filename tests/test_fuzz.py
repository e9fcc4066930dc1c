"""A slice of benchmarks/fuzz.py: bad input for the commands that need no training."""

import subprocess
import sys
from pathlib import Path

import pytest

from espnet_llmasr import bin as commands

ROOT = Path(__file__).resolve().parents[1]
FUZZ = ROOT / "benchmarks/fuzz.py"
LIGHT = "plan_corpora prepare_corpus check_data check_overlap combine_data format_data split_data".split()


def test_bad_input_for_the_light_commands():
    """Not a traceback, not another exit code than 0 and 1, no earlier result that changed."""
    words = [sys.executable, str(FUZZ), "--calls", "56", "--seed", "3", "--only", *LIGHT]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    total = next(line for line in done.stdout.splitlines() if line.startswith("| all |")).split(" | ")
    assert int(total[1]) == 56 and int(total[3]) > 28  # more than half of the calls are refused


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py")))
def test_every_command_is_fuzzed(name):
    """But the one that scripts start: it takes a number only."""
    assert name == "end_with_parent" or f'"{name}"' in FUZZ.with_name("fuzz_commands.py").read_text()
