"""Timing, peak memory, made lines and Markdown tables: what several benchmarks need.

The benchmarks run in the environment of `make venv`, from the root of the repository: python benchmarks/<name>.py
"""

import datetime
import os
import platform
import resource
import time
from functools import lru_cache
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from statistics import median

from espnet_llmasr.text.english import read_cmudict
from espnet_llmasr.text.han import HanReader


def cpu_s(function, *args):
    """(seconds of CPU time, what the function returns)."""
    start = time.process_time()
    result = function(*args)
    return time.process_time() - start, result


def rates(jobs, rounds):
    """{name: units per second of CPU time in each round} of jobs {name: (units, function, arguments of its calls)}.

    The jobs take turns, so that their ratios hold on a busy machine, too. A round before the others fills memories.
    """
    seconds = {name: [] for name in jobs}
    for _ in range(rounds + 1):
        for name, (_, function, arguments) in jobs.items():
            seconds[name].append(cpu_s(lambda: [function(argument) for argument in arguments])[0])
    return {name: [jobs[name][0] / value for value in values[1:]] for name, values in seconds.items()}


def peak_mb() -> float:
    """Peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb(process="self") -> float:
    """MiB that a process holds now."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def machine(*packages: str) -> str:
    """Date, machine, and versions of Python and other packages."""
    versions = "".join(f", {package} {version(package)}" for package in packages)
    cores = f"one of {os.cpu_count()} {platform.machine()} cores"
    return f"{datetime.date.today()}; {cores}, Python {platform.python_version()}{versions}"


@lru_cache(maxsize=None)
def zipf_weights(size: int) -> list:
    return list(accumulate(1 / rank for rank in range(10, 10 + size)))


def zipf(rng, words, number: int) -> list:
    """So many of the words, by Zipf's law of their ranks."""
    return rng.choices(words, cum_weights=zipf_weights(len(words)), k=number)


def vocabularies(rng):
    """20,000 English words and 4,000 Han characters of the dictionaries, in any order."""
    words = [word for word in read_cmudict() if word.replace("'", "").isalpha()]
    characters = sorted({character for phrase in HanReader("zh").phrases for character in phrase})
    return rng.sample(words, 20_000), rng.sample(characters, 4_000)


def spread(values, digits: int = 0) -> str:
    """Minimum / median / maximum."""
    return " / ".join(f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))


def table(columns, rows) -> None:
    """Prints a table after a blank line, each row as soon as it is known."""
    print()
    for cells in (columns, ["---"] * len(columns)):
        print("|", " | ".join(cells), "|")
    for cells in rows:
        print("|", " | ".join(map(str, cells)), "|", flush=True)
