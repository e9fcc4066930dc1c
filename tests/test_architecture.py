"""Who may import whom (floors), what imports cost, and that nothing but register.py tries the network."""

import ast
import re
import statistics
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import espnet_llmasr

ROOT = Path(espnet_llmasr.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
NAMES = {".".join(path.with_suffix("").parts).removesuffix("__init__").rstrip("."): path for path in MODULES}
FLOORS = (  # a module may import its own package and those of lower floors (the earlier lines)
    {"files", "audio", "containers", "cli", "processes", "__version__"},
    {"text"},
    {"metrics", "data"},
    {"scoring"},
    {"asr", "espnet_versions"},
    {"train", "encoder_swap"},
    {"tasks", "register"},
    {"guard", "doctor", "zoo"},
    {"inference", "vllm_plugin"},
    {"serve"},
    {"observe"},
    {"experiments"},
    {"report"},
    {"bin"},
    {"__main__", "__init__"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
UNIMPORTED = ("register", "__main__", "vllm_plugin.model")  # the last only where there is vLLM
WITHOUT_ESPNET = ("files", "audio", "containers", "cli", "processes", "text", "metrics", "data", "scoring")
OFFLINE = """
import importlib, socket, sys

def refuse(*args, **kwargs):
    tried.append(args)
    raise OSError("no network in this test")

tried = []
for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse
for name in sys.argv[2:]:
    importlib.import_module(name)
from espnet_llmasr.asr.llm import build_llm, load_tokenizer
build_llm(sys.argv[1] + "/config.json")
assert load_tokenizer(sys.argv[1] + "/tokenizer.json").chat_template
assert not tried, tried
assert "espnet2.tasks.asr" not in sys.modules
"""


def imports(path: Path) -> set:
    """Dotted names of all imports in a file, also those inside functions."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(path: Path) -> set:
    """Names below espnet_llmasr that a file imports."""
    return {name.removeprefix("espnet_llmasr.") for name in imports(path) if name.startswith("espnet_llmasr.")}


def package_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_who_may_import_whom(path):
    package = package_of(path)
    parts = {name.split(".")[0] for name in own_imports(path)} - {package}
    wrong = {part for part in parts if FLOOR[part] > FLOOR[package]}
    assert not wrong, f"{path} imports {wrong} of a higher floor"


def module_of(name: str) -> str:
    """The module of the package that a dotted name is in: its file, or a folder with an __init__.py."""
    while name not in NAMES:
        name = name.rpartition(".")[0]
    return name


def test_no_circles_among_packages_or_modules():
    """Both can be laid out in a line so that each imports only earlier ones, also by imports inside functions."""
    packages, modules = {}, {}
    for name, path in NAMES.items():
        used = own_imports(path)
        packages.setdefault(package_of(path), set()).update({part.split(".")[0] for part in used} - {package_of(path)})
        modules[name] = {module_of(part) for part in used} - {name}
    assert len(modules) == len(MODULES) and any(len(used) > 5 for used in modules.values())
    for needs in (packages, modules):
        TopologicalSorter(needs).prepare()  # raises CycleError


def test_nobody_imports_a_command():
    assert not [path for path in MODULES if any(name.startswith("bin") for name in own_imports(path))]
    outside = [*ROOT.parent.glob("local/**/*.py"), *ROOT.parent.glob("benchmarks/*.py")]
    assert not [path for path in outside if any(name.startswith("espnet_llmasr.bin") for name in imports(path))]


def test_commands_only_parse_call_and_print():
    commands = [path for path in (ROOT / "bin").glob("*.py") if path.name != "__init__.py"]
    assert not [path.name for path in commands if path.name.startswith("_")]
    long = {path.name: lines for path in commands if (lines := len(path.read_text().splitlines())) > 60}
    assert not long


@pytest.mark.parametrize("path", [p for p in MODULES if package_of(p) in WITHOUT_ESPNET], ids=str)
def test_lower_floors_do_without_espnet(path):
    assert not {name for name in imports(path) if name.split(".")[0] in ("espnet", "espnet2", "espnetez")}


def test_only_register_imports_the_stock_asr_task():
    users = {str(path) for path in MODULES for name in imports(path) if f"{name}.".startswith("espnet2.tasks.asr.")}
    assert users == {"register.py"}


def test_importing_the_package_is_free():
    code = "import time; t = time.process_time(); import espnet_llmasr; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.1


def test_scoring_imports_neither_torch_nor_espnet():
    commands = ("score", "compare", "benchmark", "nonspeech_table")
    names = [f"espnet_llmasr.scoring.{path.stem}" for path in ROOT.glob("scoring/*.py")]
    names += [f"espnet_llmasr.text.routes.{path.stem}" for path in ROOT.glob("text/routes/*.py")]
    names += [f"espnet_llmasr.bin.{name}" for name in commands]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "espnet", "espnet2", "transformers"}


def test_no_module_tries_the_network(tiny_llm):
    """One process imports them all, builds an LLM and loads a tokenizer with every connection refused."""
    names = [f"espnet_llmasr.{name}".rstrip(".") for name in NAMES if name not in UNIMPORTED]
    done = subprocess.run([sys.executable, "-c", OFFLINE, str(tiny_llm), *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("path", sorted(ROOT.parent.glob("benchmarks/*.py")), ids=lambda path: path.name)
def test_what_benchmarks_share_is_there(path):
    """Some need packages that the tests lack, so that nothing else imports them."""
    known = {getattr(node, "name", "") for node in ast.parse(path.with_name("common.py").read_text()).body}
    wanted = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert {alias.name for node in wanted if node.module == "common" for alias in node.names} <= known


def test_sizes():
    """STYLE: median function <= 12 lines, none over 60; no file over 500 lines; all commands together 1,800."""
    tops = (ROOT, *(ROOT.parent / name for name in ("local", "benchmarks")), *ROOT.parent.glob("egs2/*/*/local"))
    files = [path for top in tops for path in top.rglob("*.py")]
    spans = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 500, path
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, functions)]
        spans += [node.end_lineno - node.lineno + 1 for node in nodes]
    assert statistics.median(spans) <= 12 and max(spans) <= 60
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "bin").glob("*.py")) <= 1800


def test_one_module_knows_the_versions_of_espnet():
    """ESPnet moves espnet.* and espnet2.legacy.* from release to release: nothing else may depend on where they are."""
    moved = ("espnet.", "espnet2.legacy.")
    users = {str(path) for path in MODULES for name in imports(path) if f"{name}.".startswith(moved)}
    assert users <= {"espnet_versions.py"}
    modules = r"espnet\.nets|espnet2\.legacy"
    number = r"\b202[4-9](0[1-9]|1[0-2])\b|espnet\.__version__|version\(.espnet.\)|sys\.version_info"
    number = re.compile(f"{modules}|{number}")
    knowing = {str(path) for path in MODULES if number.search((ROOT / path).read_text(encoding="utf-8"))}
    assert knowing == {"espnet_versions.py"}


ALLOWED_TO_LOAD = {  # function that reads a file -> what it must be given
    "torch.load": {"weights_only": True},
    "np.load": {"allow_pickle": False},
    "yaml.safe_load": {},
}
MAY_RUN_CODE = re.compile(
    r"(torch|np|numpy|joblib|dill|cloudpickle|marshal)\.loads?|(torch\.jit|torch\.hub)\.load|shelve\.open|eval|exec"
    r"|_?pickle\.(loads?|Unpickler)|yaml\.(\w+_)?load(_all)?|(pd|pandas)\.read_pickle"
)


def loads_of(path: Path) -> list:
    """(function, keywords with their constants) of the calls in a file that could run what a file or a text says."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in (
            "torch",
            "numpy",
            "yaml",
            "pickle",
            "joblib",
            "marshal",
        ):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name, {"import": True}) for name in names if MAY_RUN_CODE.fullmatch(name)]
        elif isinstance(node, (ast.Name, ast.Attribute)) and MAY_RUN_CODE.fullmatch(name := ast.unparse(node)):
            found.append((name, None))  # also as an argument, such as type=yaml.safe_load
        elif isinstance(node, ast.Call):
            words = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
            if MAY_RUN_CODE.fullmatch(name := ast.unparse(node.func)):
                found.append((name, words))
            if words.get("trust_remote_code"):
                found.append(("trust_remote_code", words))
    return found


def test_no_file_that_is_read_can_run_code():
    """Weights without pickled objects, arrays without pickle, YAML without tags; nothing else that reads objects."""
    top, counts = ROOT.parent, dict.fromkeys(ALLOWED_TO_LOAD, 0)
    files = {file for folder in (ROOT, top / "benchmarks", top / "local") for file in folder.rglob("*.py")}
    for path in files - {ROOT / "__main__.py"}:  # which runs what its command line says, as Python does
        for name, words in loads_of(path):
            assert name in ALLOWED_TO_LOAD and (words is None or "import" not in words), f"{path}: {name}"
            for word, value in ALLOWED_TO_LOAD[name].items() if words is not None else ():
                assert words.get(word) is value, f"{path}: {name} without {word}={value}"
            counts[name] += words is not None
    assert all(counts.values()) and counts["torch.load"] == 2


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f)",
        "yaml.load(f, Loader=yaml.Loader)",
        "yaml.unsafe_load(f)",
        "from pickle import load",
        "pickle.loads(b)",
        "eval(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_what_the_check_of_reading_finds(line, tmp_path):
    (tmp_path / "m.py").write_text(line)
    found = [pair for pair in loads_of(tmp_path / "m.py") if pair[1] is not None]
    assert found
    for name, words in found:
        wanted = ALLOWED_TO_LOAD.get(name)
        assert wanted is None or any(words.get(word) is not value for word, value in wanted.items())
