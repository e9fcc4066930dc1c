"""Runs an ESPnet command with our components registered: python -m espnet_llmasr -m espnet2.bin.asr_train ...

ESPnet starts its workers by `spawn`, which imports the main module again by name. __main__.py puts this module in its
place, so that every worker registers the components too.
"""

import importlib
import sys

from espnet_llmasr.register import register

register()


def main() -> None:
    """Expects -m MODULE and its arguments on the command line."""
    if len(sys.argv) < 3 or sys.argv[1] != "-m":
        sys.exit("espnet_llmasr: expected -m MODULE [options], such as -m espnet2.bin.asr_train --help")
    sys.argv = sys.argv[2:]
    importlib.import_module(sys.argv[0]).main()
