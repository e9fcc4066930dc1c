"""The parser of all commands: --config FILE.yaml, and one line for every mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

from espnet_llmasr.cli import Parser, one_line


@pytest.fixture
def parse(tmp_path):
    """(text of the YAML file, arguments) -> the options."""

    def parse_(text, *arguments):
        parser = Parser(prog="p")
        parser.add_argument("--beam", type=int, default=1)
        parser.add_argument("--folder", type=Path)
        parser.add_argument("--names", nargs="+")
        parser.add_argument("--strict", action="store_true")
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
        return parser.parse_args(["--config", str(tmp_path / "c.yaml"), *arguments])

    return parse_


def test_a_file_replaces_defaults_and_the_command_line_wins(parse):
    args = parse("beam: 3\nfolder: a/b\nnames: [x, y]\nstrict: true\n")
    assert (args.beam, args.folder, args.names, args.strict) == (3, Path("a/b"), ["x", "y"], True)
    assert parse("beam: 3\n", "--beam", "5").beam == 5
    assert parse("folder: null\n").folder is None and parse("{}\n").beam == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("beams: 3\nbeam: 3\nold: 1\n", "p: unrecognized arguments: beams old (from "),
        ("beam: 1.5\n", "p: argument --beam: invalid int value: '1.5'"),
        ("- beam\n", "must hold lines 'option: value', not list"),
        ("", "must hold lines 'option: value', not NoneType"),
    ],
)
def test_mistakes_in_the_file(parse, capsys, text, message):
    with pytest.raises(SystemExit) as stopped:
        parse(text)
    error = capsys.readouterr().err
    assert stopped.value.code == 1 and message in error and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--config", "none.yaml"], ["--config=none.yaml"], ["--config"]])
def test_no_file(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        Parser(prog="p").parse_args(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 1 and error.count("\n") == 1
    assert ("expected one argument" if arguments == ["--config"] else "No such file: none.yaml") in error


def test_results_for_a_full_disk_end_in_one_line_and_1():
    """Python itself would end with 120 and a traceback that is ignored."""
    code = "import sys; from espnet_llmasr import cli; cli.run(lambda: print('x'))"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "No space left on device: make room and start again" in done.stderr


def test_one_line():
    assert one_line(ValueError("a\n  b")) == "a b"
    worker = "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback:\n  File\nValueError: u: bad: x\n"
    assert one_line(ValueError(worker)) == "u: bad: x"
