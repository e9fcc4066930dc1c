"""What all commands share: a parser that exits with 1 and one clear line, and the wrapper that prints user errors."""

import argparse
import logging
import os
import sys
from typing import Callable, Optional

import soundfile
from espnet2.utils import config_argparse


class Parser(config_argparse.ArgumentParser):
    """An argument parser with --config FILE.yaml, for which every mistake is one line on stderr and exit code 1."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str):
        self.exit(1, f"{self.prog}: {message} (see --help)\n")


def run(main: Callable[[], Optional[int]]) -> None:
    """Runs a command; a ValueError or a file error becomes one line on stderr and exit code 1."""
    name = (getattr(main, "__module__", "") or "").rpartition(".")[2]
    if name == "__main__":
        name = sys.argv[0].rpartition("/")[2].removesuffix(".py")
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR  # one rank speaks for all
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s: %(message)s")
    try:
        sys.exit(main() or 0)
    except (ValueError, OSError, soundfile.LibsndfileError) as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def one_line(error: Exception) -> str:
    """The message in one line; of an error out of a data-loading process only the original message."""
    message = str(error)
    if message.startswith("Caught "):  # torch hands on the process's whole traceback
        message = message.strip().rpartition("\n")[2].partition(": ")[2]
    return " ".join(message.split())
