"""Timing, peak memory, made lines and Markdown rows: what several benchmarks need.

The benchmarks run in the environment of `make venv`, from the root of the repository: python benchmarks/<name>.py
"""

import os
import platform
import resource
import time
from itertools import accumulate
from statistics import median


def cpu_s(function, *args):
    """(seconds of CPU time, what the function returns)."""
    start = time.process_time()
    result = function(*args)
    return time.process_time() - start, result


def cpu_s_of_lines(function, lines) -> float:
    """Seconds of CPU time to call the function with each line."""
    return cpu_s(lambda: [function(line) for line in lines])[0]


def peak_mb() -> float:
    """Peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> str:
    return f"one of {os.cpu_count()} {platform.machine()} cores, Python {platform.python_version()}"


def zipf_weights(size: int) -> list:
    """Cumulative weights of words by rank, for `random.choices`."""
    return list(accumulate(1 / rank for rank in range(10, 10 + size)))


def spread(values, digits: int = 0) -> str:
    """Minimum / median / maximum."""
    return " / ".join(f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))


def row(*cells) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*columns) -> None:
    """The head of a table, after a blank line."""
    print()
    row(*columns)
    row(*["---"] * len(columns))
