"""Every link of the documents leads somewhere, and every command in them exists with the options that it is given."""

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    ROOT / name
    for name in subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True).stdout.split()
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"--([a-z][a-z_]*)")
LONGEST_README = 150  # lines
FOLDERS = (ROOT, ROOT / "espnet_llmasr", *sorted(ROOT.glob("egs2/*/llmasr1")))  # where a path of a document may begin


def anchors(path: Path) -> set:
    """GitHub's anchors of the headings of a Markdown file."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(path: Path) -> list:
    """Command lines of a document: indented and fenced blocks, continued lines joined, and code within sentences."""
    text = path.read_text(encoding="utf-8")
    fenced = "\n".join(re.findall(r"(?ms)^```(?:bash|sh)?\n(.*?)^```", text))
    indented = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    blocks = f"{fenced}\n{indented}".replace("\\\n", " ")
    return [re.sub(r"(^|\s)#.*", "", line) for line in [*blocks.splitlines(), *CODE.findall(text)]]


def words_after(pattern: str, path: Path) -> list:
    """(match, its command's words) wherever a command of a document matches the pattern."""
    found = []
    for line in commands(path):
        for match in re.finditer(pattern, line):
            rest = re.split(r"\s(?:&&|\||>|&|--)(?:\s|$)", line[match.end() :])[0]  # what follows -- is another's
            found.append((match, shlex.split(re.sub(r"[<>();]", " ", rest).replace("'", ""))))
    return found


def option_names(words: list) -> set:
    return {match[1] for match in map(OPTION.fullmatch, (word.split("=")[0] for word in words)) if match}


def known_options(parser) -> set:
    return {name.lstrip("-") for action in parser._actions for name in action.option_strings}


def recipe_options() -> set:
    block = (ROOT / "egs2/TEMPLATE/llmasr1/llmasr.sh").read_text(encoding="utf-8").split("# End of options")[0]
    return {"help", *re.findall(r"(?m)^([a-z_]+)=", block)}


def recipe_options_of(path: Path) -> set:
    """The options of ./run.sh in a document; those of ESPnet's asr.sh are given by run.sh, but for five."""
    if path.parent.name != "asr1":
        return recipe_options()
    given = OPTION.findall((path.parent / "run.sh").read_text(encoding="utf-8"))
    return {*given, "stage", "stop_stage", "use_lightning", "asr_args", "asr_tag"}


def exists(name: str, document: Path) -> bool:
    return any((folder / name).exists() for folder in (*FOLDERS, document.parent))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), f"{path.name} links {target}"
        assert not anchor or anchor in anchors(file), f"{path.name} links {target}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist_with_their_options(path):
    for match, words in words_after(r"-m espnet_llmasr\.bin\.(\w+)|(?<!espnet2\.)\bbin\.(\w+)", path):
        module = importlib.import_module(f"espnet_llmasr.bin.{match[1] or match[2]}")
        if hasattr(module, "get_parser"):
            unknown = option_names(words) - known_options(module.get_parser())
            assert not unknown, f"{path.name}: {module.__name__} has no --{unknown}"
    for match, _ in words_after(r"(?:\.\./)*\b((?:local|benchmarks)/[\w/]+\.(?:py|sh))", path):
        assert exists(match[1], path), f"{path.name}: no {match[1]}"
    for match, words in words_after(r"(?:^|\s)\./(?:run|llmasr)\.sh", path):
        unknown = option_names(words) - recipe_options_of(path)
        assert not unknown, f"{path.name}: run.sh has no --{unknown}"
    for match, _ in words_after(r"(?:^|\s)make (?:\w+=\S+ )*([a-z][\w-]*)", path):
        assert re.search(rf"(?m)^{match[1]}:", (ROOT / "Makefile").read_text()), f"{path.name}: make {match[1]}"


def test_modules_and_files_that_the_documents_name_exist():
    """A path below the package, such as `encoder_swap/rule.py` or `espnet_llmasr/asr`."""
    named = re.compile(r"`(?:espnet_llmasr/)?((?!exp/|dump/)(?:\w+/)+\w+\.(?:py|sh|yaml|md))`")
    for path in DOCUMENTS:
        for name in named.findall(path.read_text(encoding="utf-8")):
            assert exists(name, path), f"{path.relative_to(ROOT)} names {name}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README
