"""Shared by all commands: a parser that exits with 1 and one clear line, and the wrapper that prints user errors."""

import argparse
import logging
import math
import os
import sys
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence, Tuple, Type

import yaml

from espnet_llmasr.files import naming_full_disk, printable, read_yaml

MIN_FS = 1000  # Hz; less is a slip, such as 16 for 16000


class Parser(argparse.ArgumentParser):
    """An argument parser for which every mistake is one line on stderr and exit code 1.

    `--config FILE.yaml` replaces the defaults of options, as in ESPnet; the command line wins over the file.
    """

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        kwargs.setdefault("prog", command_name())
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self.add_argument("--config", help="YAML file of options; the command line wins over it")

    def parse_known_args(self, args=None, namespace=None):
        only_config = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        only_config.add_argument("--config", nargs="?")
        path = only_config.parse_known_args(args)[0].config
        if path is not None:
            self.set_defaults(**self._read_config(path))
        return super().parse_known_args(args, namespace)

    def _read_config(self, path: str) -> Dict[str, object]:
        if not Path(path).is_file():
            self.error(f"No such file: {path}")
        try:
            values = read_yaml(path, kind=object)
        except ValueError as error:
            self.error(str(error))
        if not isinstance(values, dict):
            self.error(f"{path} must hold lines 'option: value', not {type(values).__name__}")
        unknown = sorted(map(str, values.keys() - {action.dest for action in self._actions}))
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)} (from {path})")
        return values

    def set_defaults(self, **values):
        """Numbers become text, so that the parser checks those of a --config file as it checks the command line."""
        numbers = {key: str(value) for key, value in values.items() if type(value) in (int, float)}
        super().set_defaults(**{**values, **numbers})

    def error(self, message: str):
        self.exit(1, f"{self.prog}: {message} (see --help)\n")


class Print(argparse.Action):
    """An option that prints what the function `text` returns, and ends the command."""

    def __init__(self, option_strings, dest, text: Callable[[], str], help=None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)
        self.text = text

    def __call__(self, parser, namespace, values, option_string=None):
        print(self.text(), end="")
        parser.exit()


def at_least(minimum: int) -> Callable[[str], int]:
    """An argument type: a whole number that is not below `minimum`."""

    def whole_number(value: str) -> int:
        if not value.isdigit() or int(value) < minimum:
            raise argparse.ArgumentTypeError(f"{value} is no whole number of at least {minimum}")
        return int(value)

    return whole_number


def between(lowest: float, highest: float = math.inf) -> Callable[[str], float]:
    """An argument type: a finite number from `lowest` to `highest`; argparse takes nan and inf for numbers."""
    bounds = f"at least {lowest:g}" if highest == math.inf else f"{lowest:g} to {highest:g}"

    def number(value: str) -> float:
        if not (math.isfinite(float(value)) and lowest <= float(value) <= highest):
            raise argparse.ArgumentTypeError(f"{value} is no finite number of {bounds}")
        return float(value)

    return number


def device(value: str) -> str:
    """An argument type: a device that this machine has."""
    import torch  # slow, and most commands do without

    if value != "cpu" and not (value.startswith("cuda") and torch.cuda.is_available()):
        raise argparse.ArgumentTypeError(f"no device '{value}' here: give cpu, or cuda where a GPU is")
    return value


def add_ctc_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the commands that run a CTC head over a set."""
    add = parser.add_argument
    add("--ctc_train_config", required=True, help="config.yaml of the CTC head, or of the pretraining")
    add("--ctc_model_file", type=Path, required=True, help="its weights; guard.json lies beside those of the head")
    add("--max_frames", type=at_least(1), default=10000, help="padded frames per batch")
    add("--device", type=device, default="cpu", help="cpu or cuda")


def command_name() -> str:
    """The command that runs: score for .../bin/score.py."""
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
        with naming_full_disk():
            code = main() or 0
            sys.stdout.flush()  # here, where a full disk still is an error; Python's own flush comes after the exit code
        sys.exit(code)
    except _errors_of_users() as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        _give_up_output()
        sys.exit(1)


def _errors_of_users() -> Tuple[Type[Exception], ...]:
    soundfile = sys.modules.get("soundfile")  # loads numpy, half of the start of a command that reads no audio
    return (ValueError, OSError, yaml.YAMLError, *((soundfile.LibsndfileError,) if soundfile else ()))


def _give_up_output() -> None:
    """Drops results that cannot be written, as on a full disk: Python would try again at its end, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def one_line(error: Exception) -> str:
    """The message in one line; of an error out of a data-loading process only the original message."""
    try:
        message = str(error)
    except TypeError:  # a LibsndfileError that torch rebuilt from its message in a data-loading process
        message = str(error.args[0])
    if message.startswith("Caught "):  # torch hands on the process's whole traceback
        message = message.strip().rpartition("\n")[2].partition(": ")[2]
    return printable(" ".join(message.split()))
