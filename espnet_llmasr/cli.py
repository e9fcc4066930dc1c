"""What all commands share: a parser that exits with 1 and one clear line, and the wrapper that prints user errors."""

import argparse
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Callable, Optional, Sequence

import soundfile
import yaml
from espnet2.utils import config_argparse


MIN_FS = 1000  # Hz; less is a slip, such as 16 for 16000


class Parser(config_argparse.ArgumentParser):
    """An argument parser with --config FILE.yaml, for which every mistake is one line on stderr and exit code 1."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        kwargs.setdefault("prog", command_name())
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def set_defaults(self, **values):
        """Numbers of a --config file become text, which the parser checks as it checks the command line."""
        numbers = {key: str(value) for key, value in values.items() if type(value) in (int, float)}
        super().set_defaults(**{**values, **numbers})

    def error(self, message: str):
        self.exit(1, f"{self.prog}: {message} (see --help)\n")


def at_least(minimum: int) -> Callable[[str], int]:
    """An argument type: a whole number that is not below `minimum`."""

    def whole_number(value: str) -> int:
        if not value.isdigit() or int(value) < minimum:
            raise argparse.ArgumentTypeError(f"{value} is no whole number of at least {minimum}")
        return int(value)

    return whole_number


def device(value: str) -> str:
    """An argument type: a device that is there."""
    import torch  # slow, and most commands do without

    if value != "cpu" and not (value.startswith("cuda") and torch.cuda.is_available()):
        raise argparse.ArgumentTypeError(f"no device '{value}' here: give cpu, or cuda where a GPU is")
    return value


def command_name() -> str:
    """The command that runs: phone_train for .../bin/phone_train.py."""
    return Path(sys.argv[0]).name.removesuffix(".py")


def train(task, cmd: Optional[Sequence[str]]) -> None:
    """Runs a training task; its parser makes the same one line of a mistake as `Parser`, in the command's name."""
    parser = task.get_parser()
    parser.prog, parser.error = command_name(), partial(Parser.error, parser)
    task.main(args=parser.parse_args(cmd))


def run(main: Callable[[], Optional[int]]) -> None:
    """Runs a command; a ValueError or a file error becomes one line on stderr and exit code 1."""
    name = (getattr(main, "__module__", "") or "").rpartition(".")[2]
    if name == "__main__":
        name = command_name()
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR  # one rank speaks for all
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s: %(message)s")
    try:
        sys.exit(main() or 0)
    except (ValueError, OSError, soundfile.LibsndfileError, yaml.YAMLError) as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def one_line(error: Exception) -> str:
    """The message in one line; of an error out of a data-loading process only the original message."""
    try:
        message = str(error)
    except TypeError:  # a LibsndfileError that torch rebuilt from its message in a data-loading process
        message = str(error.args[0])
    if message.startswith("Caught "):  # torch hands on the process's whole traceback
        message = message.strip().rpartition("\n")[2].partition(": ")[2]
    return " ".join(message.split())
