"""strategies.sh of the fsdd recipe: it hands on what is asked, and every option of its matrix is one of llmasr.sh."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from espnet_llmasr.bin.run_strategies import get_parser

RECIPE = Path(__file__).parents[2] / "egs2/fsdd/llmasr1"


def words(tmp_path, *options, **environ) -> list:
    """What Python is given."""
    python = tmp_path / "python"
    python.write_text("#!/usr/bin/env bash\nprintf '%s\\0' \"$@\"\n")
    python.chmod(0o755)
    command = [str(RECIPE / "strategies.sh"), *options]
    environ = {**os.environ, "python": str(python), **environ}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\0")[:-1]


def named(options: list) -> dict:
    """Name -> value; a later value replaces an earlier one."""
    assert len(options) % 2 == 0 and all(name.startswith("--") for name in options[::2])
    return dict(zip(options[::2], options[1::2]))


def test_the_options(tmp_path):
    given = words(tmp_path, "--seeds", "1", "2")
    assert given[:2] == ["-m", "espnet_llmasr.bin.run_strategies"]
    place = given.index("--")
    args = get_parser().parse_args(given[2:place])
    assert args.seeds == [1, 2] and args.fs == 8000 and args.jobs == 2 and args.strategies is None  # all
    options = named(given[place + 1 :])
    assert options["--test_sets"] == "test" and "--flops_budget" in options
    assert named(given[place + 1 :] + ["--flops_budget", "2e13"])["--flops_budget"] == "2e13"
    more = words(tmp_path, "--jobs", "1", "--", "--watch_args", "--threshold 0.95")
    assert more[: more.index("--")][-2:] == ["--jobs", "1"]
    assert named(more[more.index("--") + 1 :]) == {**options, "--watch_args": "--threshold 0.95"}
    known = re.findall(r"^([a-z]\w*)=", (RECIPE / "llmasr.sh").read_text(), re.M)
    assert {name.removeprefix("--") for name in options} <= set(known)


def test_all_lengths_and_the_budget_shrink_alike(tmp_path):
    assert words(tmp_path, LENGTH="100") == words(tmp_path)
    half = words(tmp_path, LENGTH="50")
    options = named(half[half.index("--") + 1 :])
    epoch = "--num_iters_per_epoch 25 --valid_max_frames 4000"
    assert options["--flops_budget"] == "575e10" and options["--watch_args"] == "--start_step 100"
    assert options["--pretrain_args"] == (
        f"{epoch} --max_epoch 14 --keep_nbest_models 14 --scheduler_conf total_steps=450 --scheduler_conf warmup_steps=50"
        " --model_conf cr_warmup_batches=115"
    )
    assert options["--ia_sft_args"] == f"{epoch} --scheduler_conf total_steps=400 --scheduler_conf warmup_steps=12"
    assert options["--joint_sft_args"] == "--num_iters_per_epoch 12 --max_frames 1200 --scheduler_conf warmup_steps=12"
    for bad in ("half", "19", "-50", "1.5", "1000", "05", "99999999999999999999"):
        with pytest.raises(AssertionError, match=f"LENGTH={bad}, expected a whole number of percent from 20 to 999"):
            words(tmp_path, LENGTH=bad)
