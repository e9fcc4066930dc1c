"""Who may import whom (CONTRIBUTING, Layers), what imports cost, and that nothing but register.py tries the network."""

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import espnet_llmasr

ROOT = Path(espnet_llmasr.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
ALLOWED = {
    "text": {"text"},
    "metrics": {"metrics", "text"},
    "asr": {"asr", "text.prompt", "text.loops"},
    "train": {"train", "asr", "text", "metrics", "files", "audio", "espnet_versions"},
    "tasks": {"tasks", "train", "asr", "text", "files"},
    "guard": {"guard", "tasks", "train", "asr", "text", "metrics", "files", "audio"},
    "observe": {"observe", "tasks", "train", "asr", "text", "metrics", "files", "audio", "register"},
    "bin": {"bin", "observe", "guard", "tasks", "train", "asr", "text", "metrics", "files", "audio", "__version__"}
    | {"espnet_versions"},
    "register.py": {"asr", "espnet_versions"},
    "run.py": {"register"},
    "__main__.py": {"run"},
    "__init__.py": set(),
    "files.py": set(),
    "espnet_versions.py": {"files"},
    "audio.py": set(),
}
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


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_who_may_import_whom(path):
    own = {name.removeprefix("espnet_llmasr.") for name in imports(path) if name.startswith("espnet_llmasr.")}
    allowed = ALLOWED[path.parts[0]]
    wrong = {name for name in own if not any(name == a or name.startswith(f"{a}.") for a in allowed)}
    assert not wrong, f"{path} imports {wrong}, allowed is {allowed}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] in ("text", "metrics", "files.py")], ids=str)
def test_text_and_metrics_do_without_espnet(path):
    assert not {name for name in imports(path) if name.split(".")[0] in ("espnet", "espnet2", "espnetez")}


def test_only_register_imports_the_stock_asr_task():
    users = {str(path) for path in MODULES for name in imports(path) if f"{name}.".startswith("espnet2.tasks.asr.")}
    assert users == {"register.py"}


def test_importing_the_package_is_free():
    code = "import time; t = time.process_time(); import espnet_llmasr; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.1


def test_no_module_tries_the_network(tiny_llm):
    """One process imports them all, builds an LLM and loads a tokenizer with every connection refused."""
    skipped = ("register.py", "run.py", "__main__.py")
    names = [".".join(("espnet_llmasr", *path.with_suffix("").parts)) for path in MODULES if str(path) not in skipped]
    names = [name.removesuffix(".__init__") for name in names]
    done = subprocess.run([sys.executable, "-c", OFFLINE, str(tiny_llm), *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_sizes():
    """STYLE: median function <= 12 lines, none over 60; no file over 300 lines."""
    files = [path for top in (ROOT, ROOT.parent / "local") for path in top.rglob("*.py")]
    spans = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, path
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        spans += [node.end_lineno - node.lineno + 1 for node in nodes]
    assert statistics.median(spans) <= 12 and max(spans) <= 60


def test_one_module_knows_the_versions_of_espnet():
    """ESPnet moves espnet.* and espnet2.legacy.* from release to release: nothing else may depend on where they are."""
    moved = ("espnet.", "espnet2.legacy.")
    users = {str(path) for path in MODULES for name in imports(path) if f"{name}.".startswith(moved)}
    assert users == {"espnet_versions.py"}
    number = re.compile(r"\b202[4-9](0[1-9]|1[0-2])\b|espnet\.__version__|version\(.espnet.\)|sys\.version_info")
    knowing = {str(path) for path in MODULES if number.search((ROOT / path).read_text(encoding="utf-8"))}
    assert knowing == {"espnet_versions.py"}
