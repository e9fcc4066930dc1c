"""strategies.sh of the fsdd recipe: it hands on what is asked, and every option of its matrix is one of llmasr.sh."""

import os
import re
import subprocess
from pathlib import Path

from espnet_llmasr.bin._matrix import named
from espnet_llmasr.bin.run_strategies import get_parser

RECIPE = Path(__file__).parents[2] / "egs2/fsdd/llmasr1"


def words(tmp_path, *options) -> list:
    """What Python is given."""
    python = tmp_path / "python"
    python.write_text("#!/usr/bin/env bash\nprintf '%s\\0' \"$@\"\n")
    python.chmod(0o755)
    command = [str(RECIPE / "strategies.sh"), *options]
    done = subprocess.run(
        command, env={**os.environ, "python": str(python)}, capture_output=True, text=True, check=True
    )
    return done.stdout.split("\0")[:-1]


def test_the_options(tmp_path):
    given = words(tmp_path, "--status", "true")
    assert given[:2] == ["-m", "espnet_llmasr.bin.run_strategies"]
    place = given.index("--")
    args = get_parser().parse_args(given[2:place])
    assert args.status and args.fs == 8000 and args.seeds == [1, 2, 3, 4, 5] and len(args.strategies) == 7
    options = named(given[place + 1 :])
    assert options["--test_sets"] == "test" and "--flops_budget" in options
    assert named(given[place + 1 :] + ["--flops_budget", "2e13"])["--flops_budget"] == "2e13"
    more = words(tmp_path, "--jobs", "1", "--", "--watch_args", "--threshold 0.95")
    assert more[: more.index("--")][-2:] == ["--jobs", "1"]
    assert named(more[more.index("--") + 1 :]) == {**options, "--watch_args": "--threshold 0.95"}
    known = re.findall(r"^([a-z]\w*)=", (RECIPE / "llmasr.sh").read_text(), re.M)
    assert {name.removeprefix("--") for name in options} <= set(known)
