"""Runs an ESPnet command with our components registered: python -m espnet_llmasr -m espnet2.bin.asr_train ..."""

import importlib
import sys

from espnet_llmasr import register


def main() -> None:
    """Expects -m MODULE and its arguments on the command line."""
    if len(sys.argv) < 3 or sys.argv[1] != "-m":
        sys.exit("espnet_llmasr: expected -m MODULE [options], such as -m espnet2.bin.asr_train --help")
    sys.argv = sys.argv[2:]
    importlib.import_module(sys.argv[0]).main()


if __name__ == "__main__":
    # ESPnet starts its workers by `spawn`. A worker imports the main module again by name, but skips a `__main__.py`;
    # with register.py in its place every worker registers the components too.
    sys.modules["__main__"] = register
    register.register()
    main()
