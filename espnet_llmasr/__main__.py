"""Runs Python with our components registered, for --python of ESPnet's recipes ("python3 -m espnet_llmasr").

python -m espnet_llmasr -m MODULE | -c CODE | FILE, and the arguments of either: as without `-m espnet_llmasr`.
"""

import importlib
import os
import runpy
import sys
from types import ModuleType

from espnet_llmasr import register

USAGE = "espnet_llmasr: expected -m MODULE, -c CODE or the path of a script, such as -m espnet2.bin.asr_train --help"


def main() -> None:
    """Runs what the command line names."""
    kind, rest = sys.argv[1:2], sys.argv[2:]
    if kind in (["-m"], ["-c"]) and rest:
        sys.argv = [kind[0], *rest[1:]]
        (run_module if kind == ["-m"] else run_code)(rest[0])
    elif kind and not kind[0].startswith("-"):
        sys.argv = kind + rest
        run_script(kind[0])
    else:
        sys.exit(USAGE)


def run_module(name: str) -> None:
    """Calls the main() of a module, as all commands of ESPnet have it; a module without one is run as by python -m."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            sys.exit(f"espnet_llmasr: No module named {name}")
        raise
    os.environ[register.MODULE] = name  # for launchers that start the program again, see register.py
    if callable(getattr(module, "main", None)):
        sys.argv[0] = module.__file__
        module.main()
    else:
        del sys.modules[name]  # it is imported again under the name __main__
        runpy.run_module(name, run_name="__main__", alter_sys=True)


def run_code(code: str) -> None:
    """Runs a string."""
    module = ModuleType("__main__")
    module.__spec__ = register.__spec__  # for spawned workers, see below
    sys.modules["__main__"], sys.path[0] = module, ""
    exec(compile(code, "<string>", "exec"), module.__dict__)


def run_script(path: str) -> None:
    """Runs a file. Its spawned workers import the file, not this module: it has to call register() for them."""
    if not os.path.exists(path):
        sys.exit(f"espnet_llmasr: there is no file {path}")
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    # ESPnet starts its workers by `spawn`. A worker imports the main module again by name, but skips a `__main__.py`;
    # with register.py in its place every worker registers the components too.
    sys.modules["__main__"] = register
    register.register()
    main()
